#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# command.sh BUILD - the scpair command on a mount: list, load, followers, the error log's counts, rules by
# rate, odd names, an interrupted copy to a disk.
set -u
. "$(dirname "$0")/lib.sh"

mkdir "$work/two words" "$work/covered"
truncate -s 16M "$work/a,b.img" "$work/c.img"
twice=$(echo "$work/a,b.img" | sed 's/,/,,/g')
check "mount an image with a comma in its name" "$scpair" mount --disk "$twice" --disk "$work/c.img,ro" "$mnt"
check "mount on a name with a blank" "$scpair" mount --disk ram:1M "$work/two words"

# list
"$scpair" list --json >"$work/list.json"
mine() { jq -r ".mounts[] | select(.mountpoint == \"$1\") | $2" "$work/list.json"; }
equal "list: state" serving "$(mine "$mnt" .state)"
equal "list: the server" "$(cat "$mnt/.scpair/pid")" "$(mine "$mnt" .pid)"
equal "list: the disks" "hdisk0 hdisk1" "$(mine "$mnt" '[.disks[].name] | join(" ")')"
equal "list: the image" "$work/a,b.img" "$(mine "$mnt" '.disks[0].path')"
equal "list: a name with a blank" serving "$(mine "$work/two words" .state)"
equal "list: who mounted it" "$(id -u)" "$(mine "$mnt" .uid)"
"$scpair" list >"$work/list"
says "list: as text" "^$work/two words  pid" "$work/list"
says "list: read-only" 'c.img (read-only)' "$work/list"
kill -KILL "$(cat "$work/two words/.scpair/pid")"
until ! ls "$work/two words" >/dev/null 2>&1; do :; done
"$scpair" list --json >"$work/list.json"
equal "list: a dead mount" dead "$(mine "$work/two words" .state)"
check "umount the dead mount" "$scpair" umount "$work/two words"
"$scpair" list --json >"$work/list.json"
equal "list: it is gone" "" "$(mine "$work/two words" .state)"
mkdir "$work/elsewhere"
check "a mount of a relative path" \
    sh -c 'cd "$1" && truncate -s 1M r.img && exec "$2" mount --disk ./r.img elsewhere' - "$work" "$scpair"
"$scpair" list --json >"$work/list.json"
equal "list: the image, which was relative" "$work/r.img" "$(mine "$work/elsewhere" '.disks[0].path')"
check "umount of it" "$scpair" umount "$work/elsewhere"

# The error log: 256 errors through the block device are two records, not hundreds.
check "inject an error for every write" "$scpair" inject "$mnt" hdisk0 op=write count=forever do=check:3/0c/00
refuse "a write of 1 MiB" dd if=/dev/zero of="$mnt/hdisk0" bs=1M count=1 conv=notrunc,fsync
"$scpair" errlog --json "$mnt" >"$work/errlog"
check "a failed write leaves few records ($(wc -l <"$work/errlog"))" [ "$(wc -l <"$work/errlog")" -le 6 ]
perm='select(.type == "PERM" and .count > 1)'
check "they have a count" jq -e "$perm" "$work/errlog"
equal "first is not after last" true \
    "$(jq -s "[.[] | .first <= .last and .first_ns <= .when_ns] | all" "$work/errlog")"
equal "the time is today's" "$(date -u +%Y-%m-%d)" "$(jq -r -s '.[-1].last[0:10]' "$work/errlog")"
equal "the image is named" "$work/a,b.img" "$(jq -r -s '.[-1].image' "$work/errlog")"
"$scpair" errlog "$mnt" >"$work/errlog"
says "errlog as text: device and image" "hdisk0 ($work/a,b.img)" "$work/errlog"
says "errlog as text: how often" 'times since' "$work/errlog"
# The story of one disk: in order, with times, and with an end.
"$scpair" errlog --json "$mnt" hdisk0 >"$work/flight"
equal "errlog DISK: only that disk's" '["hdisk0"]' "$(jq -s -c '[.[].disk] | unique' "$work/flight")"
check "errlog DISK: in order of time" jq -s -e '[.[].when_ns] | . == sort' "$work/flight"
step='[.[] | select(.what == "seen") | .rule != "" and .did != "" and .blocks > 0] | length > 0 and all'
check "errlog DISK: each command has a rule and what was done" jq -s -e "$step" "$work/flight"
over='[.[] | select(.what == "over")][-1] | .failed >= 1 and .requests == .good + .failed and .took_ns > 0'
check "errlog DISK: the last word is an end that adds up" jq -s -e "$over" "$work/flight"
"$scpair" errlog "$mnt" hdisk0 >"$work/flight"
says "errlog DISK as text: a step" 'CHECK CONDITION, sense ./../.. -> rule "' "$work/flight"
says "errlog DISK as text: the end" 'hdisk0  over: [0-9]* requests* failed (' "$work/flight"
refuse "errlog of a disk that is not there" "$scpair" errlog "$mnt" hdisk9
check "forget the rule" "$scpair" inject --clear "$mnt"

# A rule by rate, in its own words.
check "inject by rate" "$scpair" inject "$mnt" hdisk0 rate=5 do=qfull
equal "inject --list" "hdisk0 op=data rate=5 count=forever do=qfull  (0 hits)" \
    "$("$scpair" inject --list "$mnt")"
"$scpair" inject "$mnt" hdisk0 lba=32768 do=busy 2>"$work/err"
equal "a block beyond the disk: exit code" 2 $?
says "a block beyond the disk: the message" 'last block is 32767' "$work/err"
"$scpair" inject "$mnt" hdisk9 do=busy 2>"$work/err9"
says "a disk that is not there: which are" 'hdisk0 to hdisk1' "$work/err9"
equal "inject --list --json, a rule by rate" '["hdisk0","data",0,null,5,null,"qfull",0]' \
    "$("$scpair" inject --list --json "$mnt" |
        jq -c '.rules[0] | [.disk, .op, .lba_first, .lba_last, .rate, .count, .do, .hits]')"
check "inject a delay" "$scpair" inject "$mnt" hdisk1 op=0x35 lba=7 do=delay:100
equal "inject --list --json, in the words of the language" '["0x35",7,7,1,"delay:100"]' \
    "$("$scpair" inject --list --json "$mnt" | jq -c '.rules[1] | [.op, .lba_first, .lba_last, .count, .do]')"
check "verify under QUEUE FULL" "$scpair" verify --write "$mnt/rhdisk0"
check "forget the rule again" "$scpair" inject --clear "$mnt"

# load: a stopped disk is started; one that is ready stays so.
check "load a disk that is ready" "$scpair" load "$mnt" hdisk0
"$scpair" load "$mnt" hdisk7 2>"$work/err"
equal "load a disk that is not there: exit code" 2 $?
says "load a disk that is not there: the message" hdisk7 "$work/err"

if command -v sg_start >/dev/null; then
    check "mount a removable disk" "$scpair" mount --disk ram:1M,removable "$work/covered"
    raw() { dd if="$work/covered/rhdisk0" of=/dev/null bs=4096 count=1; }
    check "it reads" raw
    # Its close may find the medium gone and say so; what counts is that the disk does not read.
    "$scpair" sg -- sg_start --eject "$work/covered/rhdisk0" >/dev/null 2>&1
    refuse "it does not read without its medium" raw
    check "load" "$scpair" load "$work/covered" hdisk0
    check "it reads again" raw
    check "umount the removable disk" "$scpair" umount "$work/covered"
fi

# stat as text: what follows from the counters. 32 pages go in fewer commands, all in one bucket or the next.
check "mount a slow disk" "$scpair" mount --disk ram:16M,latency=3000 "$work/covered"
dd if="$work/covered/hdisk0" of=/dev/null bs=1M count=4 2>/dev/null
for _ in 1 2; do
    dd if="$work/covered/rhdisk0" of=/dev/null bs=4096 count=32 2>/dev/null
done
"$scpair" stat "$work/covered" >"$work/stat"
per=$(sed -n 's/.*(\([0-9.]*\) bufs per command).*/\1/p' "$work/stat")
check "stat: $per bufs per command, more than one" jq -n -e "$per > 1"
says "stat: the median is above the latency" 'p50 under [48].* ms' "$work/stat"
check "umount the slow disk" "$scpair" umount "$work/covered"

# A copy to a disk that is interrupted: a part is there, and it says so.
check "a slow disk" "$scpair" inject "$mnt" hdisk0 op=write count=forever do=delay:20000
head -c 4M /dev/urandom >"$work/src"
env --default-signal=INT "$scpair" copy -b 4096 -d 1 "$work/src" "$mnt/rhdisk0" 2>"$work/err" &
pid=$!
until cmp -s -n 4096 "$work/src" "$work/a,b.img"; do :; done
kill -INT $pid
wait $pid
equal "an interrupted copy to a disk: exit code" 1 $?
says "an interrupted copy to a disk: the message" 'rhdisk0 holds a part of the copy' "$work/err"
check "forget the delay" "$scpair" inject --clear "$mnt"

# Followers end with 0 when the mount is taken away, with 1 when its server dies.
followers() {
    "$scpair" errlog --follow --json "$mnt" >"$work/follow" 2>"$work/follow.err" &
    follow=$!
    "$scpair" stat --watch --json "$mnt" >"$work/watch" 2>"$work/watch.err" &
    watch=$!
    until [ -s "$work/follow" ] && [ -s "$work/watch" ]; do :; done
}
followers
until "$scpair" umount "$mnt" 2>/dev/null; do :; done
wait $follow
equal "errlog --follow after umount: exit code" 0 $?
wait $watch
equal "stat --watch after umount: exit code" 0 $?
equal "neither has anything to say" "" "$(cat "$work/follow.err" "$work/watch.err")"
finish
