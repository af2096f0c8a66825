#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# contract.sh BUILD - reads, writes, fallocate and lseek on the mounted disks, with both block sizes
# (the checks are in contract.py).
set -u
. "$(dirname "$0")/lib.sh"

for block in 512 4096; do
    rm -f "$work/disk.img"
    truncate -s 64M "$work/disk.img"
    check "mount with block=$block" \
        "$scpair" mount --max-transfer 131072 --disk "$work/disk.img,block=$block" "$mnt"
    if python3 "$here/contract.py" "$mnt" "$work/disk.img" "$block"; then
        ok "contract.py with block=$block"
    else
        fail "contract.py with block=$block"
    fi
    equal "no error counted against the driver's bookkeeping" "0 0" "$(stat_of pending) $(stat_of in_process)"
    check "umount" "$scpair" umount "$mnt"
done
finish
