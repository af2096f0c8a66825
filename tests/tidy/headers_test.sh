#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Every header compiles on its own: first in a file, and twice in a row. Public ones and the
# adapter's private contracts, hosted and freestanding, with gcc and with clang when it is there.
# Hosted builds ask for plain C11 so that nothing leans on an extension.
#
#   headers_test.sh [HEADER...]     rerun for some headers only
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$root" || exit 1
[ $# -gt 0 ] || set -- include/sys/*.h include/scpair/*.h src/adapter/*.h src/adapter/*/*.h \
    src/adapter/sim/posix/*.h src/devdrv/*.h src/shim/*.h src/shim/kern/*.h
warn="-std=c11 -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Werror -Iinclude -fsyntax-only"
compilers=gcc
command -v clang >/dev/null && compilers="gcc clang"
bad=0 done=0
for header in "$@"; do
    [ -f "$header" ] || continue
    line="#include \"$root/$header\""
    printf '%s\n%s\nextern int only_this;\n' "$line" "$line" >"$work/one.c"
    for cc in $compilers; do
        own=$($cc -print-file-name=include)
        # shellcheck disable=SC2086 # $warn is a list of words
        for mode in "" "-ffreestanding -nostdinc -isystem $own"; do
            done=$((done + 1))
            $cc $warn $mode "$work/one.c" >"$work/out" 2>&1 && continue
            [ $bad -gt 0 ] || echo "rerun: $0 $header"
            bad=$((bad + 1))
            echo "FAIL $header: $cc ${mode:+freestanding}"
            head -n 5 "$work/out"
        done
    done
done
echo "headers: $done compilations, $bad failed"
[ $done -gt 0 ] && [ $bad -eq 0 ]
