#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# adapters.sh BUILD [SECONDS] - several adapters in one mount: names, options, reports, and fio
# writing and verifying all disks of two adapters at once (2 seconds unless told otherwise).
set -u
. "$(dirname "$0")/lib.sh"
seconds=${2:-2}

for i in 0 1 2 3 4 5; do truncate -s 64M "$work/$i.img"; done
check "two adapters with three disks each" "$scpair" mount \
    --adapter sim,max-transfer=131072 \
    --disk "$work/0.img" --disk "$work/1.img" --disk "$work/2.img,block=4096" \
    --adapter sim --no-gather \
    --disk "$work/3.img" --disk "$work/4.img" --disk "$work/5.img,block=4096" "$mnt"
equal "names in the mount" \
    "hdisk0 hdisk1 hdisk2 hdisk3 hdisk4 hdisk5 rhdisk0 rhdisk1 rhdisk2 rhdisk3 rhdisk4 rhdisk5 scsi0 scsi1" \
    "$(cd "$mnt" && echo *)"
equal "mode of scsi1" "600 0" "$(stat -c '%a %s' "$mnt/scsi1")"

info=$work/info.json
"$scpair" info --json "$mnt" >"$info"
equal "info: an option belongs to the adapter before it" \
    '[["scsi0",131072,true],["scsi1",1048576,false]]' \
    "$(jq -c '[.adapters[] | [.name, .max_transfer, .gathered_writes]]' "$info")"
equal "info: which disk is where" '["scsi0","scsi0","scsi0","scsi1","scsi1","scsi1"]' \
    "$(jq -c '[.disks[].adapter]' "$info")"
equal "info: each bus begins with id 0" '[0,1,2,0,1,2]' "$(jq -c '[.disks[].scsi_id]' "$info")"
equal "info of a pair in this process" '["scsi0","scsi1"]' \
    "$("$scpair" info --json --disk ram:1M --adapter sim --disk ram:1M | jq -c '[.adapters[].name]')"
equal "spec: values in force" '[["scsi0","sim",131072,false],["scsi1","sim",1048576,true]]' \
    "$(jq -c '[.adapters[] | [.name, .kind, .max_transfer, .no_gather]]' "$mnt/.scpair/spec")"
says "info as text" '^scsi1' "$("$scpair" info "$mnt" >"$work/info.txt" && echo "$work/info.txt")"
says "stat as text" '^scsi1' "$("$scpair" stat "$mnt" >"$work/stat.txt" && echo "$work/stat.txt")"

# One adapter's counters do not move with another's disks.
commands() { jq -c '[.adapters[].commands]' "$mnt/.scpair/stat"; }
before=$(commands)
dd if="$mnt/rhdisk4" of=/dev/null bs=4096 count=1 2>/dev/null
equal "a read on hdisk4 is a command of scsi1" "$(echo "$before" | jq -c '[.[0], .[1] + 1]')" "$(commands)"

# A rule of inject strikes the disk it names, on its adapter.
check "inject on a disk of scsi1" "$scpair" inject "$mnt" hdisk3 op=read lba=80 count=forever do=check:3/11/00
refuse "hdisk3 fails" dd if="$mnt/rhdisk3" of=/dev/null bs=4096 skip=10 count=1
check "hdisk0 does not" dd if="$mnt/rhdisk0" of=/dev/null bs=4096 skip=10 count=1
"$scpair" errlog --json "$mnt" >"$work/errlog"
check "the error log names hdisk3" jq -e 'select(.resource == "hdisk3")' "$work/errlog"
check "inject --clear" "$scpair" inject --clear "$mnt"

# All six at once, each verified; a raw and a block file in turn.
set --
for i in 0 1 2 3 4 5; do
    kind=r
    [ $((i % 2)) -eq 1 ] && kind=
    set -- "$@" "--name=disk$i" "--filename=$mnt/${kind}hdisk$i"
done
check "fio --verify over all six for $seconds s" fio --output="$work/fio" --ioengine=psync --thread \
    --rw=randrw --bsrange=4k-256k --blockalign=4k --size=64M --norandommap=0 \
    --verify=crc32c --verify_fatal=1 --verify_backlog=64 --verify_state_save=0 \
    --time_based --runtime="$seconds" "$@"
says "fio: nothing went wrong" 'err= 0' "$work/fio"
equal "and no disk but hdisk3 has counted an error" '[0,0,0,0,0]' \
    "$(jq -c '[.disks[] | select(.name != "hdisk3") | .errors]' "$mnt/.scpair/stat")"
check "umount" "$scpair" umount "$mnt"

# What is said on the command line.
refuse "an adapter without a disk" "$scpair" mount --adapter sim --adapter sim --disk "$work/0.img" "$mnt"
says "says so" 'has no disk' "$work/out"
refuse "the last adapter without a disk" "$scpair" mount --disk "$work/0.img" --adapter sim "$mnt"
says "says which" 'adapter 1 has no disk' "$work/out"
refuse "an unknown kind" "$scpair" mount --adapter lsi --disk "$work/0.img" "$mnt"
says "says the kinds" 'known: sim' "$work/out"
refuse "an unknown option" "$scpair" mount --adapter sim,colour=red --disk "$work/0.img" "$mnt"
says "says which word" 'colour' "$work/out"
refuse "one file on two adapters" \
    "$scpair" mount --disk "$work/0.img" --adapter sim --disk "$work/0.img" "$mnt"
says "says with which disk" 'the same file as disk 0' "$work/out"
many=
for i in $(seq 17); do many="$many --adapter sim --disk null:1M"; done
# shellcheck disable=SC2086 # one word per option
refuse "17 adapters" "$scpair" mount $many "$mnt"
says "says how many" 'at most 16' "$work/out"
finish
