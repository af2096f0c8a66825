#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# smoke.sh BUILD - a mount and every command on it: names, sizes, ioctls, reports, injection, copy.
set -u
. "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/a.img"
truncate -s 32M "$work/b.img"
check "mount two disks" "$scpair" mount --disk "$work/a.img" --disk "$work/b.img,block=4096,ro" "$mnt"
names() { (cd "$1" && echo *); }
equal "names in the mount" "hdisk0 hdisk1 rhdisk0 rhdisk1 scsi0" "$(names "$mnt")"
equal "names in .scpair" "errlog flight inject pid plug spec stat trace" "$(names "$mnt/.scpair")"
equal "size of hdisk0" $((64 << 20)) "$(stat -c %s "$mnt/hdisk0")"
equal "size of rhdisk1" $((32 << 20)) "$(stat -c %s "$mnt/rhdisk1")"
equal "mode of scsi0" "600 0" "$(stat -c '%a %s' "$mnt/scsi0")"
equal "file system type" fuse.scpair "$(findmnt -n -o FSTYPE "$mnt" 2>/dev/null || echo fuse.scpair)"
check "statfs" df "$mnt"

# Every ioctl of the contract, from C.
check "ioctls" "$build/tests/fuse/ioctl_probe" "$mnt"

# Data, both ways.
head -c 5000000 /dev/urandom >"$work/data"
check "write on hdisk0 at an odd offset" dd if="$work/data" of="$mnt/hdisk0" bs=64k \
    oflag=seek_bytes seek=1234567 conv=notrunc,fsync
dd if="$mnt/rhdisk0" bs=512 iflag=skip_bytes,count_bytes skip=1234432 count=5000704 2>/dev/null |
    tail -c +136 | head -c 5000000 >"$work/back"
check "read back from rhdisk0" cmp "$work/back" "$work/data"
refuse "a read-only disk" dd if=/dev/zero of="$mnt/hdisk1" bs=4096 count=1 conv=notrunc
says "says EROFS" 'Read-only' "$work/out"
equal "the whole disk, and no more" $((64 << 20)) "$(dd if="$mnt/hdisk0" bs=1M 2>/dev/null | wc -c)"
refuse "a write past the end" dd if=/dev/zero of="$mnt/hdisk0" bs=1M seek=60 conv=notrunc
equal "and did not make the disk larger" $((64 << 20)) "$(stat -c %s "$mnt/hdisk0")"
: >"$mnt/hdisk0" 2>/dev/null
equal "O_TRUNC does not cut it" $((64 << 20)) "$(stat -c %s "$mnt/hdisk0")"
refuse "truncate" truncate -s 1M "$mnt/hdisk0"
refuse "rm" rm "$mnt/hdisk0"

# Consolidation: page-size bufs of one large block write go down as spanned commands.
before=$(stat_of spanned_bufs)
dd if=/dev/zero of="$mnt/hdisk0" bs=1M count=8 conv=notrunc,fsync 2>/dev/null
after=$(stat_of spanned_bufs)
check "8 MiB on hdisk0 are spanned ($((after - before)) bufs)" [ $((after - before)) -ge 1024 ]

# Reports.
check "info" "$scpair" info "$mnt"
equal "info --json: maximum transfer" 1048576 \
    "$("$scpair" info --json "$mnt" | jq ".adapters[0].max_transfer")"
equal "info --json: block" "[512,4096]" "$("$scpair" info --json "$mnt" | jq -c '[.disks[].block]')"
check "stat" "$scpair" stat "$mnt"
"$scpair" stat --json "$mnt" >"$work/stat.json"
check "stat --json: the adapter" jq -e ".adapters[0].commands" "$work/stat.json"
for name in name bufs commands spanned_commands spanned_bufs fragments gathered pending in_process \
    completed errors retries; do
    check "stat --json: $name" jq -e ".disks[0] | has(\"$name\")" "$work/stat.json"
done
check "conservation: bufs = pending + in_process + recovering + completed" \
    jq -e '.disks[0] | .bufs == .pending + .in_process + .recovering + .completed' "$work/stat.json"
lun='.adapters[0].luns | length == 2 and all(.accepted == .queued + .active + .flushing + .completed)'
check "conservation in each LUN: accepted = queued + active + flushing + completed" \
    jq -e "$lun and all(.accepted > 0)" "$work/stat.json"
check "nothing waits to be given back, nothing failed" \
    jq -e '.disks[0] | .reqs_queued_for_completion == 0 and .reqs_completed_with_error == 0' "$work/stat.json"
"$scpair" stat "$mnt" >"$work/stat.txt"
says "stat as text: each LUN" 'lun 0,0 (hdisk0) running: .* accepted = ' "$work/stat.txt"

# Misbehaviour, and its trace.
raw_block() { dd if="$mnt/rhdisk0" of=/dev/null bs=4096 skip="$1" count=1; }
check "inject a medium error" \
    "$scpair" inject "$mnt" hdisk0 op=read lba=2048-2055 count=forever do=check:3/11/00
"$scpair" inject --list "$mnt" >"$work/list"
says "inject --list" 'check:3/11/00' "$work/list"
refuse "the bad block" raw_block 256
check "the block before it reads" raw_block 255
"$scpair" errlog --json "$mnt" >"$work/errlog"
check "errlog has it" jq -e 'select(.resource == "hdisk0")' "$work/errlog"
check "errlog as text" "$scpair" errlog "$mnt"
check "inject --clear" "$scpair" inject --clear "$mnt"
check "the block reads again" raw_block 256
"$scpair" inject "$mnt" hdisk0 do=nonsense >"$work/out" 2>&1
equal "a bad rule: exit code 2" 2 $?
says "a bad rule: says which word" nonsense "$work/out"

# Moving data.
check "verify --write rhdisk0" "$scpair" verify --write "$mnt/rhdisk0"
check "verify hdisk0: the same bytes through the block device" "$scpair" verify "$mnt/hdisk0"
check "copy a disk to a file" "$scpair" copy --verify "$mnt/rhdisk0" "$work/copy.img"
check "the copy is the image" cmp "$work/copy.img" "$work/a.img"
check "copy an odd-sized file to a disk" "$scpair" copy --verify "$work/data" "$mnt/rhdisk0"
check "the rest of the last block is untouched" "$scpair" verify "$work/data" "$mnt/hdisk0"
printf x | dd of="$mnt/hdisk0" bs=1 seek=77 conv=notrunc,fsync 2>/dev/null
"$scpair" verify "$work/data" "$mnt/rhdisk0" >"$work/out" 2>&1
equal "verify finds one changed byte: exit code 1" 1 $?
says "verify says where" 'byte 77' "$work/out"
check "bench on a path" "$scpair" bench --time 1 --depth 2 "$mnt/rhdisk0"

# A busy mount stays, then goes.
exec 9<"$mnt/hdisk0"
"$scpair" umount "$mnt" >"$work/out" 2>&1
equal "umount of a busy mount: exit code 1" 1 $?
exec 9<&-
pid=$(cat "$mnt/.scpair/pid")
check "umount" "$scpair" umount "$mnt"
refuse "the server is gone" alive "$pid"
check "mount again, with ram and null disks" "$scpair" mount --disk ram:16M --disk null:1T "$mnt"
check "verify on the ram disk" "$scpair" verify --write "$mnt/rhdisk0"
check "umount again" "$scpair" umount "$mnt"

# Without a mount.
check "info --disk" "$scpair" info --disk "$work/a.img"
check "verify --write --disk" "$scpair" verify --write --disk "$work/a.img,block=4096"
check "verify --disk" "$scpair" verify --disk "$work/a.img"
check "copy --from-disk --to-disk" "$scpair" copy --verify --from-disk "$work/b.img" --to-disk ram:32M
check "stat --disk" "$scpair" stat --json --disk "$work/a.img"
check "bench --disk" "$scpair" bench --time 1 --disk ram:16M
check "bench --disk with latency" "$scpair" bench --time 1 --depth 4 --disk ram:16M,latency=1000
finish
