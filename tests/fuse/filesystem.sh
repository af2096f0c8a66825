#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# filesystem.sh BUILD - strangers' programs on the mounted disks: mkfs, e2fsck, debugfs, fio.
#
# With 4096-byte blocks ext4's tools read a superblock at byte 1024, which is no block of that disk:
# rhdisk0 lets them, without O_DIRECT and in multiples of 512 (docs/decisions/0006).
set -u
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/sbin:/usr/sbin

fio_verify() {
    fio --name="$1" --filename="$mnt/$1" --rw=randrw --bsrange="$2-1m" --blockalign="$2" \
        --size=24m --io_size=24m \
        --verify=crc32c --verify_fatal=1 --ioengine=libaio --iodepth=16 --direct="$3" --allow_file_create=0 \
        --end_fsync=1 --verify_state_save=0 --output="$work/fio.log" --minimal
}

# refused TEXT COMMAND...: the command fails with EINVAL.
refused() {
    text=$1
    shift
    equal "$text is refused" "Invalid argument" "$("$@" 2>&1 | grep -o 'Invalid argument' | head -n 1)"
}

for block in 512 4096; do
    node=rhdisk0
    rm -f "$work/disk.img"
    truncate -s 256M "$work/disk.img"
    check "mount with block=$block" "$scpair" mount --disk "$work/disk.img,block=$block" "$mnt"
    check "mkfs.ext4 on $node" mkfs.ext4 -q -F "$mnt/$node"
    check "e2fsck on $node" e2fsck -fn "$mnt/$node"
    check "write a file with debugfs" debugfs -w -R "write $scpair prog" "$mnt/$node"
    check "read it back" debugfs -R "dump prog $work/prog" "$mnt/$node"
    check "it is the same" cmp "$scpair" "$work/prog"
    check "e2fsck again" e2fsck -fn "$mnt/$node"
    refused "a read of 100 bytes" dd if="$mnt/rhdisk0" of=/dev/null bs=100 count=1
    [ "$block" -eq 4096 ] &&
        refused "512 bytes with O_DIRECT" dd if="$mnt/rhdisk0" of=/dev/null bs=512 count=1 iflag=direct
    check "fio verify on rhdisk0" fio_verify rhdisk0 4k 1
    check "fio verify on hdisk0" fio_verify hdisk0 4k 0
    equal "no errors counted" 0 "$(stat_of errors)"
    check "umount" "$scpair" umount "$mnt"
done
finish
