#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# No function of the core (device driver, adapter core, shim, kernel services) takes more than 2 KiB of
# stack, nor one of the simulated bus more than 4.5 KiB: kernels have little. Prints the largest of each.
#
#   stack_test.sh [CFLAGS]     gcc -fstack-usage counts
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v gcc >/dev/null || { echo "skip: no gcc"; exit 77; }
bad=0

# check NAME LIMIT FILE...
check()
{
    name=$1 limit=$2
    shift 2
    mkdir -p "$work/$name"
    for file in "$@"; do
        # shellcheck disable=SC2086 # a list of words
        (root=$PWD && cd "$work/$name" && gcc -std=c11 -O2 -ffreestanding -fstack-usage \
            -I"$root/include" -I"$root/src" $cflags -c "$root/$file" -o "$(basename "$file").o")
    done
    cat "$work/$name"/*.su | sed "s,$PWD/,," | awk -F'\t' '{print $2, $1}' | sort -rn >"$work/list"
    echo "$name: largest frame $(head -n 1 "$work/list" | sed 's/ .*:/ bytes in /')"
    awk -v limit="$limit" '$1 > limit {print "FAIL " $2 ": " $1 " bytes of stack, at most " limit}' \
        "$work/list" >"$work/over"
    if [ -s "$work/over" ]; then
        cat "$work/over"
        bad=1
    fi
}

cflags=${1-}
# shellcheck disable=SC2046 # lists of words
check core 2048 $(ls src/shim/*.c src/shim/kern/*.c src/devdrv/*.c src/adapter/*.c)
# shellcheck disable=SC2046
check simulator 4608 $(ls src/adapter/sim/*.c)
[ $bad -eq 0 ] || { echo "rerun: $0 $cflags"; exit 1; }
