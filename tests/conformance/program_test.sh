#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# program.c, built with cc and what pkg-config says of the installed library, shared and static, and run.
#
#   program_test.sh BUILD_DIR [COMPILER_FLAGS]
set -eu
build=${1:?usage: $0 BUILD_DIR [COMPILER_FLAGS]}
flags=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
pc=$(find "$work/prefix" -name scpair.pc)
[ -n "$pc" ] || { echo "FAIL no scpair.pc is installed"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$pc")
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
for libs in "$(pkg-config --libs scpair)" "$LD_LIBRARY_PATH/libscpair.a -pthread"; do
    # shellcheck disable=SC2046,SC2086 # words
    cc -std=c11 -Wall -Wextra -Werror $flags $(pkg-config --cflags scpair) "$here/program.c" \
        -o "$work/program" $libs
    out=$("$work/program")
    echo "$out"
    case $out in
    "hdisk0 on scsi0: "*" what was read is what was written") ;;
    *) echo "FAIL unexpected output; rerun: $0 $build"; exit 1 ;;
    esac
done
