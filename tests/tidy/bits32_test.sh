#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Builds the kernel services for a 32-bit machine and runs bits32.c on them. Needs gcc-multilib.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 'int main(void) { return 0; }' >"$work/probe.c"
if ! gcc -m32 -o "$work/probe" "$work/probe.c" 2>/dev/null || ! "$work/probe"; then
    echo "skip: gcc -m32 makes no program that runs here (gcc-multilib)"
    exit 77
fi
# shellcheck disable=SC2046 # a list of words
gcc -m32 -std=c11 -O1 -Wall -Werror -Iinclude -Isrc -o "$work/bits32" tests/tidy/bits32.c \
    $(ls src/shim/*.c src/shim/kern/*.c src/shim/det/*.c)
"$work/bits32"
