#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The third-party head against the *installed* library: `cmake --install` into an empty prefix,
# then built once with cc and pkg-config, once with find_package(scpair), static and shared, and
# run with and without gathered writes. The tree's own include folder is out of reach.
#
#   head_test.sh BUILD_DIR [EXTRA_CFLAGS]      EXTRA_CFLAGS: for instance -fsanitize=address
set -eu
if [ $# -lt 1 ] || [ ! -f "$1/CMakeCache.txt" ]; then
    echo "usage: $0 BUILD_DIR [EXTRA_CFLAGS], BUILD_DIR being a finished CMake build" >&2
    exit 2
fi
build=$1
extra=${2-}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
finish()
{
    [ "$1" -eq 0 ] || echo "rerun: $0 $build $extra"
    rm -rf "$work"
}
trap 'finish $?' EXIT
prefix=$work/prefix

cmake --install "$build" --prefix "$prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
pc=$(find "$prefix" -name scpair.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH

# shellcheck disable=SC2046,SC2086 # pkg-config prints words
{
    cflags=$(pkg-config --cflags scpair)
    libdir=$(pkg-config --variable=libdir scpair)
    static=$(pkg-config --static --libs-only-l --libs-only-other scpair)
    cc -std=c11 -Wall -Wextra -Wconversion -Wshadow -Werror $extra $cflags \
        "$here/head/main.c" "$here/head/thead.c" \
        -L"$libdir" -Wl,-Bstatic -lscpair -Wl,-Bdynamic $(echo "$static" | sed 's/-lscpair//') \
        -o "$work/by_pkg_config"
}
{
    cmake -G Ninja -S "$here/head" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="$extra" &&
        cmake --build "$work/cmake"
} >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }

for program in "$work/by_pkg_config" "$work/cmake/thead_static" "$work/cmake/thead_shared"; do
    echo "== $(basename "$program")"
    LD_LIBRARY_PATH=$libdir "$program"
    LD_LIBRARY_PATH=$libdir "$program" --no-gather | tail -n 2
done
