#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The C program of iocinfo.c, built with cc and what pkg-config says of the installed library, run
# on a mount with gathered writes and on one without. Skips (77) where FUSE cannot be used.
#
#   iocinfo_test.sh BUILD_DIR
set -eu
if [ $# -lt 1 ] || [ ! -x "$1/scpair" ]; then
    echo "usage: $0 BUILD_DIR, BUILD_DIR holding the scpair command" >&2
    exit 2
fi
build=$1
here=$(cd "$(dirname "$0")" && pwd)
if [ ! -w /dev/fuse ] || ! command -v fusermount3 >/dev/null; then
    echo "skip: FUSE is not usable here (no /dev/fuse or no fusermount3)"
    exit 77
fi
work=$(mktemp -d)
mount=$work/mnt
finish()
{
    [ "$1" -eq 0 ] || echo "rerun: $0 $build"
    mountpoint -q "$mount" && fusermount3 -u "$mount"
    rm -rf "$work"
}
trap 'finish $?' EXIT
mkdir "$mount"

cmake --install "$build" --prefix "$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name scpair.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # pkg-config prints words
cc -std=c11 -Wall -Wextra -Werror \
    $(pkg-config --cflags scpair) "$here/iocinfo.c" -o "$work/iocinfo"

expect()
{
    if ! echo "$report" | grep -q "$1"; then
        echo "FAIL expected '$1' in: $report"
        exit 1
    fi
}

truncate -s 64M "$work/image"
for options in "" "--no-gather --max-transfer 131072"; do
    # shellcheck disable=SC2086 # words
    if ! "$build/scpair" mount --disk "$work/image" $options "$mount" >"$work/log" 2>&1; then
        cat "$work/log"
        grep -qi "permission\|not permitted" "$work/log" && { echo "skip: no right to mount here"; exit 77; }
        exit 1
    fi
    echo "== scpair mount $options"
    "$work/iocinfo" "$mount"
    report=$("$work/iocinfo" --json "$mount")
    expect '"blksize":512'
    expect '"numblks":131072'
    if [ -z "$options" ]; then
        expect '"max_transfer":1048576'
        expect '"sciogthw":0,'
    else
        expect '"max_transfer":131072'
        expect '"max_request":131072'
        expect '"sciogthw":-1,"sciogthw_errno":"EINVAL"'
    fi
    "$build/scpair" umount "$mount"
done
echo ok
