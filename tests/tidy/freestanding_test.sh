#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The core needs no C library and no host header: every core file compiles with nothing but the
# compiler's own headers, for 64 and 32 bits, little and big endian; linked together (`ld -r`) the
# only names still missing are the four memory functions every C compiler demands and,
# on 32 bits, the compiler's own 64-bit arithmetic.
#
# "port" is x86_64 in a kernel with types, errno numbers and a struct iovec of its own (port_types.h).
#
#   freestanding_test.sh [TARGET...]    TARGET: x86_64 i386 powerpc64 aarch64 port
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$root" || exit 1
[ $# -gt 0 ] || set -- x86_64 i386 powerpc64 aarch64 port

core=$(ls src/shim/*.c src/shim/kern/*.c src/devdrv/*.c src/adapter/*.c src/adapter/sim/*.c)
flags="-std=c11 -O2 -ffreestanding -nostdinc -Wall -Wextra -Wconversion -Wshadow -Werror -Iinclude -c"
# Code the compiler inserts by itself on a 32-bit machine.
helpers='__u?(div|mod|divmod)di[34]|__(ashl|lshr|ashr)di3|__atomic_[a-z_]+_8|__muldi3'
helpers="$helpers|\.TOC\.|_GLOBAL_OFFSET_TABLE_|__x86\.get_pc_thunk\.[a-z]+"
bad=0

fail()
{
    [ $bad -gt 0 ] || echo "rerun: $0 $target"
    bad=$((bad + 1))
    echo "FAIL $target: $1"
}

for target in "$@"; do
    case $target in
    x86_64) cc="gcc" ;;
    port) cc="gcc -DSCPAIR_PORT_TYPES_H=\"tests/tidy/port_types.h\" -I." ;;
    i386) cc="gcc -m32" ;;
    powerpc64 | aarch64) cc="clang --target=$target-unknown-elf" ;;
    *) echo "$0: no target '$target'; one of x86_64 i386 powerpc64 aarch64 port" >&2; exit 2 ;;
    esac
    if ! command -v "${cc%% *}" >/dev/null; then
        echo "skip $target: no ${cc%% *} here"
        continue
    fi
    own=$(${cc%% *} -print-file-name=include)
    mkdir -p "$work/$target"
    n=0
    for file in $core; do
        object=$work/$target/$(echo "$file" | tr / _).o
        # shellcheck disable=SC2086 # lists of words
        if $cc $flags -isystem "$own" -o "$object" "$file" 2>"$work/out"; then
            n=$((n + 1))
        else
            fail "$file does not compile freestanding"
            head -n 5 "$work/out"
        fi
    done
    # nm knows every machine as long as the objects are ELF; no linker for that machine is needed.
    nm="nm"
    command -v llvm-nm >/dev/null && nm="llvm-nm"
    $nm --defined-only -P "$work/$target"/*.o | awk 'NF >= 2 {print $1}' | sort -u >"$work/defined"
    $nm --undefined-only -P "$work/$target"/*.o | awk 'NF >= 2 {print $1}' | sort -u >"$work/undefined"
    comm -13 "$work/defined" "$work/undefined" >"$work/outside"
    missing=$(grep -Evx "memcpy|memmove|memset|memcmp|$helpers" "$work/outside")
    if [ -n "$missing" ]; then
        fail "needs more than memcpy, memmove, memset, memcmp: $(echo "$missing" | tr '\n' ' ')"
    fi
    echo "freestanding $target: $n files compiled, undefined: $(tr '\n' ' ' <"$work/outside")"
done
[ $bad -eq 0 ]
