#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# silent.sh BUILD - a disk that stops answering stops nobody else, whatever number of requests wait for it
# (the checks are in silent.py).
set -u
. "$(dirname "$0")/lib.sh"

truncate -s 16M "$work/a.img" "$work/b.img"
need "mount" "$scpair" mount --disk "$work/a.img" --disk "$work/b.img,queue=16" \
    --disk ram:16M,queue=4 --disk ram:16M,rw_timeout=1 "$mnt"
if python3 "$here/silent.py" "$scpair" "$mnt" "$work/b.img"; then
    ok "silent.py"
else
    fail "silent.py"
fi
check "umount while a disk is silent" "$scpair" umount "$mnt"
# One thread for a disk: what waits for it waits without one, and the other disk has its own.
need "mount --threads 1" "$scpair" mount --threads 1 --disk ram:16M --disk ram:16M "$mnt"
check "inject" "$scpair" inject "$mnt" hdisk1 count=forever do=hang
for i in 1 2 3; do
    dd if="$mnt/rhdisk1" of=/dev/null bs=4096 count=1 2>"$work/dd.$i" &
    children="$children $!"
done
until [ "$("$scpair" stat --json "$mnt" | jq '.disks[1] | .pending + .in_process')" -eq 1 ]; do :; done
check "the other disk is read" dd if="$mnt/rhdisk0" of=/dev/null bs=4096 count=100
# shellcheck disable=SC2086
check "while three wait for the silent one" kill -0 $children
"$scpair" unplug "$mnt" hdisk1 >/dev/null
wait
children=
equal "and end with it" 3 "$(cat "$work"/dd.? | grep -c 'No such device or address')"
check "umount" "$scpair" umount "$mnt"
finish
