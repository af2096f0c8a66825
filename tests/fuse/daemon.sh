#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# daemon.sh BUILD - what a server keeps of whoever started it (nothing), which privileges it keeps
# (none), and who may use its files.
set -u
. "$(dirname "$0")/lib.sh"
user_begin

truncate -s 16M "$work/disk.img"
head -c 1048576 /dev/urandom >"$work/data"

# All combinations of closed standard streams.
for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- 2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
    eval 'timeout 20 "$scpair" mount --disk "$work/disk.img" "$mnt"' "$closed"
    equal "mount $closed" 0 $?
    dd if="$work/data" of="$mnt/rhdisk0" bs=64k conv=notrunc,fsync 2>/dev/null
    check "mount $closed: the disk works" cmp -n 1048576 "$work/data" "$mnt/hdisk0"
    pid=$(cat "$mnt/.scpair/pid")
    equal "mount $closed: standard streams" "/dev/null /dev/null /dev/null" \
        "$(echo $(for fd in 0 1 2; do readlink "/proc/$pid/fd/$fd"; done))"
    check "mount $closed: umount" timeout 20 "$scpair" umount "$mnt"
done
eval '"$scpair" info' 2>&- >&-
equal "a usage error without stderr: exit code" 2 $?
cp "$work/data" "$work/copy"
"$scpair" copy "$work/data" "$work/missing/x" 2>&- >&-
"$scpair" copy "$work/data" "$work/copy" 2>&- >&-
check "copy without stdout and stderr prints into no file" cmp "$work/data" "$work/copy"

# A lock of the script that mounts, and a pipe somebody reads to its end.
(
    flock -n 9
    "$scpair" mount --disk "$work/disk.img" "$mnt" 8>"$work/other"
) 9>"$work/lock"
check "an inherited lock is free afterwards" flock -n "$work/lock" true
check "umount" "$scpair" umount "$mnt"
said=$(timeout 20 "$scpair" mount --disk "$work/disk.img" "$mnt" 2>&1)
equal "a pipe of the caller's ends with the command" "0 " "$? $said"
pid=$(cat "$mnt/.scpair/pid")
equal "no file of the caller's is open in the server" "" \
    "$(for p in "$pid" $(cat "/proc/$pid/task/"*/children 2>/dev/null); do
        for fd in "/proc/$p/fd/"*; do readlink "$fd"; done
    done | grep -v -e '^/dev/' -e '^socket:' -e "^$work/disk.img\$")"

if [ "$(id -u)" -eq 0 ]; then
    # A thread the sanitizer's runtime started before main() is its own.
    equal "a server of root's has no capabilities" "0000000000000000 0000000000000000" \
        "$(echo $(sed -n 's/^Cap\(Prm\|Eff\):[[:space:]]*//p' "/proc/$pid/status"))"
    equal "and gets none back" 1 "$(sed -n 's/^NoNewPrivs:[[:space:]]*//p' "/proc/$pid/status")"
    for task in "/proc/$pid/task/"*; do
        case $(cat "$task/comm") in
        scpair) equal "thread $(basename "$task"): no capabilities" 0000000000000000 \
            "$(sed -n 's/^CapPrm:[[:space:]]*//p' "$task/status")" ;;
        esac
    done
    helper=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
    [ -n "$helper" ] && equal "the process that unmounts for it has two" 0000000000200004 \
        "$(sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/${helper% }/status")"
fi
check "a server without privileges writes" dd if="$work/data" of="$mnt/rhdisk0" bs=64k conv=notrunc,fsync
check "umount" "$scpair" umount "$mnt"
check "mount with direct" "$scpair" mount --disk "$work/disk.img,direct" "$mnt"
check "and writes with O_DIRECT" dd if="$work/data" of="$mnt/rhdisk0" bs=64k conv=notrunc,fsync
check "umount" "$scpair" umount "$mnt"

# Access.
check "mount as it is by default" "$scpair" mount --disk "$work/disk.img" "$mnt"
equal "default mode and owner" "600 $(id -u) $(id -g)" "$(stat -c '%a %u %g' "$mnt/rhdisk0")"
[ -n "$user" ] && refuse "another user is not let in" as_user ls "$mnt"
check "umount" "$scpair" umount "$mnt"
if [ -n "$user" ]; then
    uid=$(id -u "$user")
    gid=$(id -g "$user")
    check "mount for a group" "$scpair" mount --allow-other --mode 0640 --gid "$gid" \
        --disk "$work/disk.img" "$mnt"
    equal "mode and owner" "640 0 $gid" "$(stat -c '%a %u %g' "$mnt/rhdisk0")"
    equal "of scsi0" "640 0 $gid" "$(stat -c '%a %u %g' "$mnt/scsi0")"
    check "the group reads" as_user dd if="$mnt/rhdisk0" of=/dev/null bs=4096 count=1
    refuse "the group does not write" as_user dd if=/dev/zero of="$mnt/rhdisk0" bs=4096 count=1 conv=notrunc
    refuse "the group does not inject" as_user "$scpair" inject "$mnt" hdisk0 do=busy
    check "umount" "$scpair" umount "$mnt"
    check "mount for a user by name" "$scpair" mount --allow-other --uid "$user" \
        --disk "$work/disk.img" "$mnt"
    equal "mode and owner" "600 $uid" "$(stat -c '%a %u' "$mnt/hdisk0")"
    check "the user writes" as_user dd if=/dev/zero of="$mnt/rhdisk0" bs=4096 count=1 conv=notrunc
    check "umount" "$scpair" umount "$mnt"
fi

# What is in force, not what was said.
check "mount" "$scpair" mount $allow --mode 660 --uid 7 --gid 8 --stop-timeout 5 --threads 9 \
    --max-transfer 131072 --disk "$work/disk.img" --disk ram:16M,block=4096,queue=3 \
    --disk null:16M,notags "$mnt"
"$scpair" stat --json "$mnt" >/dev/null
jq -c '[(.adapters[0] | .max_transfer, .no_gather), .threads, .allow_other, .mode, .uid, .gid,
    .stop_timeout]' \
    "$mnt/.scpair/spec" >"$work/out"
equal "spec: the mount" "[131072,false,9,$shared,\"0660\",7,8,5]" "$(cat "$work/out")"
equal "spec: queue depths" '[64,3,1]' "$(jq -c '[.disks[].queue]' "$mnt/.scpair/spec")"
equal "spec: blocks" '[512,4096,512]' "$(jq -c '[.disks[].block]' "$mnt/.scpair/spec")"
check "umount" "$scpair" umount "$mnt"
check "mount with defaults" "$scpair" mount --disk ram:16M "$mnt"
equal "spec: defaults" '[1048576,256,false,"0600",60,64]' \
    "$(jq -c '[.adapters[0].max_transfer, .threads, .allow_other, .mode, .stop_timeout, .disks[0].queue]' \
        "$mnt/.scpair/spec")"
check "umount" "$scpair" umount "$mnt"
equal "nothing is mounted" "" "$(mounts_under_work)"
finish
