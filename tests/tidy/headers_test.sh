#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Every header compiles on its own: first in a file, and twice in a row. Public ones and the
# adapter's private contracts, as plain C11 so that nothing leans on an extension, hosted and
# freestanding, with gcc and with clang when it is there. The public ones also as C++17, and in
# a kernel that has types, errno numbers and a struct iovec of its own (port_types.h), and all of
# them together.
#
#   headers_test.sh [HEADER...]     rerun for some headers only
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$root" || exit 1
public="$(echo include/sys/*.h include/scpair/*.h)"
# shellcheck disable=SC2086 # lists of words
if [ $# -eq 0 ]; then
    for header in $public; do
        echo "#include \"$root/$header\""
    done >"$work/all.h"
    set -- "$work/all.h" $public src/adapter/*.h src/adapter/*/*.h src/devdrv/*.h src/shim/*.h \
        src/shim/kern/*.h
fi
warn="-Wall -Wextra -Wconversion -Werror -Iinclude -fsyntax-only"
c="-std=c11 -Wshadow -Wstrict-prototypes"
# Not -Wshadow: in C++ a function may not share a structure's name without a word about it.
cxx="-x c++ -std=c++17 -pedantic"
bad=0 done=0

# try HEADER SOURCE COMMAND...: one compilation.
try()
{
    header=$1
    shift
    done=$((done + 1))
    "$@" >"$work/out" 2>&1 && return
    [ $bad -gt 0 ] || echo "rerun: $0 $header"
    bad=$((bad + 1))
    echo "FAIL $header: $*"
    head -n 5 "$work/out"
}

for header in "$@"; do
    [ -f "$header" ] || continue
    case $header in /*) line="#include \"$header\"" ;; *) line="#include \"$root/$header\"" ;; esac
    printf '%s\n%s\nextern int only_this;\n' "$line" "$line" >"$work/one.c"
    for cc in gcc clang; do
        command -v $cc >/dev/null || continue
        bare="-ffreestanding -nostdinc -isystem $($cc -print-file-name=include)"
        # shellcheck disable=SC2086 # lists of words
        {
            try "$header" $cc $c $warn "$work/one.c"
            try "$header" $cc $c $warn $bare "$work/one.c"
            case " $public $work/all.h " in *" $header "*) ;; *) continue ;; esac
            try "$header" $cc $c $warn $bare \
                "-DSCPAIR_PORT_TYPES_H=\"$root/tests/tidy/port_types.h\"" "$work/one.c"
            command -v $cc++ >/dev/null || [ $cc = gcc ] && command -v g++ >/dev/null || continue
            [ $cc = gcc ] && cpp=g++ || cpp=clang++
            try "$header" $cpp $cxx $warn "$work/one.c"
        }
    done
done

# A kernel's own struct iovec and errno numbers beside shim.h, with nothing said to us about it.
if [ $# -gt 1 ]; then
    own=$(gcc -print-file-name=include)
    # shellcheck disable=SC2086 # lists of words
    try tests/tidy/clash.c gcc $c $warn -ffreestanding -nostdinc -isystem "$own" tests/tidy/clash.c
fi
echo "headers: $done compilations, $bad failed"
[ $done -gt 0 ] && [ $bad -eq 0 ]
