#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# scpair capture on a mount, and scpair replay of what it wrote: the same commands are answered in the same
# way, an error that was made here is the one difference.
# usage: capture.sh BUILD-DIRECTORY
. "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/a.img"
truncate -s 32M "$work/b.img"
need "mount" "$scpair" mount --disk "$work/a.img" --disk "$work/b.img" "$mnt"
# capture NAME ARGUMENT...: begin one in the background, and wait until it records.
capture() {
    name=$1
    shift
    "$scpair" capture --seconds 60 --json --out "$work/$name" "$@" >"$work/summary" 2>"$work/err" &
    capturer=$!
    children=$capturer
    for _ in $(seq 100); do
        [ "$(jq .otherData.running "$mnt/.scpair/trace")" = true ] && break
        timeout 0.05 tail -f /dev/null
    done
}
captured() {
    kill -TERM "$capturer" # a shell's background process does not get SIGINT
    wait "$capturer"
    equal "$1: a signal ends it and keeps what there is: exit code" 0 $?
    children=
    equal "$1: nothing on stderr" "" "$(cat "$work/err")"
}

capture one.jsonl "$mnt" hdisk0
"$scpair" capture --seconds 1 --out "$work/two.jsonl" "$mnt" >"$work/out" 2>"$work/busy"
equal "a second capture: exit code" 1 $?
says "a second capture is told what runs" 'a trace runs already' "$work/busy"
check "inject" "$scpair" inject "$mnt" hdisk0 op=read lba=2048 count=1 do=check:3/11/00
check "read hdisk0" dd if="$mnt/hdisk0" of=/dev/null bs=1M count=8
check "write rhdisk0" dd if=/dev/zero of="$mnt/rhdisk0" bs=64k count=16 oflag=direct conv=notrunc
check "read rhdisk1" dd if="$mnt/rhdisk1" of=/dev/null bs=1M count=1
captured "one disk"
f=$work/one.jsonl
lines='select(.cdb)'
equal "the first line" '{"scpair_capture":1,"disks":["hdisk0"],"lost":0}' \
    "$(head -n 1 "$f" | jq -c 'del(.commands)')"
equal "it counts the others" "$(($(wc -l <"$f") - 1))" "$(head -n 1 "$f" | jq .commands)"
equal "the summary counts them" "$(head -n 1 "$f" | jq .commands)" "$(jq .commands "$work/summary")"
equal "one disk only" '["hdisk0"]' "$(jq -s -c "[.[] | $lines | .disk] | unique" "$f")"
check "in the order of sending" jq -s -e "[.[] | $lines | .ns] | length > 10 and . == sort" "$f"
bytes() { jq -s "[.[] | $lines | select((.cdb | startswith(\"$1\")) and .errno == 0) | .bytes] | add" "$f"; }
check "all that was read" [ "$(bytes 08)" -ge $((8 << 20)) ]
equal "all that was written" $((1 << 20)) "$(bytes 0a)"
equal "reads come in, writes go out" 'true,false' \
    "$(jq -s -r "[.[] | $lines | select(.bytes > 0) | [.cdb[0:2], .in]
    | select(.[0] == \"08\" or .[0] == \"0a\")] | unique | map(.[1]) | join(\",\")" "$f")"
equal "the error with its sense, and its residual" '[[1,2],"3/11/00",true]' \
    "$(jq -s -c ".[] | $lines | select(.sense) | [.status[0:2], .sense, .resid == .bytes]" "$f" | sort -u)"
errors=$(jq -s "[.[] | $lines | select(.sense)] | length" "$f")
check "there is one" [ "$errors" -ge 1 ]

"$scpair" replay --json --disk ram:64M "$f" >"$work/out" 2>"$work/err"
equal "replay: exit code" 1 $?
equal "replay: what was injected is the difference" "[$errors,\"status 02, sense 3/11/00\",\"good\"]" \
    "$(jq -c '[.different, .differences[0].was, .differences[0].is]' "$work/out")"
check "replay: the others are equal" \
    jq -e '.equal + .different + .skipped == .commands and .skipped == 0' "$work/out"
grep -v '"sense"' "$f" | jq -c "if .commands then .commands -= $errors else . end" >"$work/clean.jsonl"
check "replay without it" "$scpair" replay --disk ram:64M "$work/clean.jsonl"
refuse "replay on a disk that is too small" "$scpair" replay --disk ram:4M "$work/clean.jsonl"

# All disks.
capture all.jsonl "$mnt"
check "read rhdisk1" dd if="$mnt/rhdisk1" of=/dev/null bs=1M count=1
check "read rhdisk0" dd if="$mnt/rhdisk0" of=/dev/null bs=1M count=1 skip=40
captured "all disks"
equal "both are named" '["hdisk0","hdisk1"]' "$(head -n 1 "$work/all.jsonl" | jq -c .disks)"
check "replay of both, each on its own" "$scpair" replay --disk ram:64M --disk ram:32M "$work/all.jsonl"
refuse "the other way round one is too small" "$scpair" replay --disk ram:32M --disk ram:64M "$work/all.jsonl"
check "text: a short one" "$scpair" capture --seconds 1 --out "$work/short.jsonl" "$mnt" hdisk1
says "text: says how many" 'short.jsonl: 0 commands of 1 disk$' "$work/out"
capture lost.jsonl --records 16 "$mnt"
check "read" dd if="$mnt/rhdisk0" of=/dev/null bs=64k count=16
captured "a ring that is too small"
check "it says that some were lost" [ "$(jq .lost "$work/summary")" -gt 0 ]
equal "and so does the file" "$(jq .lost "$work/summary")" "$(head -n 1 "$work/lost.jsonl" | jq .lost)"

# bad CODE TEXT ARGUMENT...
bad() {
    code=$1
    text=$2
    shift 2
    "$scpair" "$@" >"$work/out" 2>"$work/err"
    equal "$text: exit code" "$code" $?
    says "$text" "$text" "$work/err"
    equal "$text: one line" 1 "$(wc -l <"$work/err")"
}
bad 2 'capture: hdisk7: no such disk' capture --out "$work/no" "$mnt" hdisk7
bad 2 'name the disk itself, hdisk0' capture --out "$work/no" "$mnt" rhdisk0
bad 2 '--out FILE is missing' capture "$mnt"
bad 2 'is inside the scpair mount' capture --out "$mnt/rhdisk0" "$mnt"
bad 1 'in use by another process' capture --out "$work/a.img" "$mnt"
bad 1 'a.img' replay --disk "$work/a.img" "$work/clean.jsonl"
equal "nothing is left" "" "$(ls "$work" | grep -e part -e '^no$')"
check "umount" "$scpair" umount "$mnt"
finish
