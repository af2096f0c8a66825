#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# scpair trace on a mount: the file, what is in it, and who comes too late or goes too early.
# usage: trace.sh BUILD-DIRECTORY
. "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/a.img"
truncate -s 64M "$work/b.img"
need "mount" "$scpair" mount --disk "$work/a.img" --disk "$work/b.img,latency=100" "$mnt"

"$scpair" trace --stop "$mnt" >"$work/out" 2>"$work/err"
equal "trace --stop before any trace: exit code" 1 $?
says "trace --stop before any trace: what takes one" "scpair trace $mnt takes one" "$work/err"
equal "trace --stop before any trace: no output" 0 "$(wc -c <"$work/out")"
equal "no trace yet" '[0,0]' "$(jq -c '[.otherData.records, .otherData.lost]' "$mnt/.scpair/trace")"
"$scpair" trace --seconds 60 --out "$work/t.json" --json "$mnt" >"$work/summary" 2>"$work/err" &
tracer=$!
children=$tracer
for _ in $(seq 100); do
    [ "$(jq .otherData.running "$mnt/.scpair/trace")" = true ] && break
    timeout 0.05 tail -f /dev/null
done
"$scpair" trace --seconds 1 "$mnt" >"$work/out" 2>"$work/busy"
equal "a second trace: exit code" 1 $?
says "a second trace is told how to end the first" 'trace --stop' "$work/busy"
check "inject" "$scpair" inject "$mnt" hdisk0 op=read lba=2048 count=1 do=check:3/11/00
check "read hdisk0" dd if="$mnt/hdisk0" of=/dev/null bs=1M count=8
check "write rhdisk1" dd if=/dev/zero of="$mnt/rhdisk1" bs=64k count=16 oflag=direct conv=notrunc
began=$(date +%s)
kill -TERM "$tracer" # a shell's background process does not get SIGINT
wait "$tracer"
equal "a signal ends the trace and keeps it: exit code" 0 $?
children=
check "and at once" [ $(($(date +%s) - began)) -lt 20 ]
equal "the summary names the file" "$work/t.json" "$(jq -r .file "$work/summary")"
equal "nothing on stderr" "" "$(cat "$work/err")"
check "slices nest, arrows have two ends, both drivers had each command" \
    python3 - "$here/../unit/scp" "$work/t.json" <<'END'
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import trace_check as tc
with open(sys.argv[2], encoding="utf-8") as f:
    events, other, flows = tc.check_all(f.read())
assert other["lost"] == 0 and not other["running"], other
moves = [e for e in tc.of(events, "command") if "lba" in e["args"]]
reads = [e for e in moves if e["name"].startswith("READ") and e["pid"] == 1]
assert sum(e["args"]["bytes"] for e in reads if e["args"]["errno"] == 0) >= 8 << 20, len(reads)
assert any(e["args"]["requests"] > 1 for e in reads)
writes = [e for e in moves if e["name"].startswith("WRITE")]
assert {e["pid"] for e in writes} == {2} and sum(e["args"]["bytes"] for e in writes) == 1 << 20, writes
assert all(e["dur"] >= 100000 for e in writes), writes  # its latency
carried = {c for r, c in flows}
assert all(e["args"]["command"] in carried for e in moves)
assert [e for e in tc.of(events, "recovery") if e["args"].get("rule") == "medium error"]
END
check "read after it" dd if="$mnt/rhdisk0" of=/dev/null bs=1M count=1
equal "nothing more is recorded" "$(jq .otherData.records "$work/t.json")" \
    "$(jq .otherData.records "$mnt/.scpair/trace")"

# The example of docs/observability.md is true: its commands, and what they print but for the times.
page=$here/../../docs/observability.md
plain() { sed -E 's/^[-0-9]+ [:.0-9]+ //; s/,? ?\(?[.0-9]+ [num]?s\)?$//'; }
sed -n '/^scpair inject/,/^scpair errlog/p' "$page" | sed "s|^scpair|\"$scpair\"|" >"$work/commands"
equal "the example: three commands" 3 "$(wc -l <"$work/commands")"
"$scpair" umount "$mnt"
need "mount again" "$scpair" mount --disk "$work/a.img" "$mnt"
(cd "$work" && sh ./commands 2>/dev/null) | plain >"$work/got"
sed -n '/^```story/,/^```$/p' "$page" | grep -v '^```' | plain >"$work/wanted"
check "the example: its output" diff "$work/wanted" "$work/got"
check "inject --clear" "$scpair" inject --clear "$mnt"
check "the example has output" [ "$(wc -l <"$work/wanted")" -ge 6 ]

# A ring that is too small says so; a trace that nobody ends is ended by another.
check "start by hand" sh -c 'echo start 16 >"$1"' - "$mnt/.scpair/trace"
refuse "start twice" sh -c 'echo start >"$1"' - "$mnt/.scpair/trace"
check "read" dd if="$mnt/rhdisk0" of=/dev/null bs=1M count=4
"$scpair" trace --stop --out "$work/s.json" "$mnt" >"$work/out"
equal "trace --stop: exit code" 0 $?
says "it says what was lost" 'records were overwritten' "$work/out"
equal "16 are left" 16 "$(jq '.otherData | .records - .lost' "$work/s.json")"
for word in "" start\ 3 "start 99999999999" "start x" "start 16 16" stop\ 1 frob; do
    refuse "the server refuses '$word'" sh -c 'echo "$2" >"$1"' - "$mnt/.scpair/trace" "$word"
done
"$scpair" trace --stop --seconds 1 "$mnt" >/dev/null 2>&1
equal "--stop and --seconds contradict each other" 2 $?
"$scpair" trace --json "$mnt" >/dev/null 2>&1
equal "--json without --out" 2 $?
echo old >"$work/old.json"
(ulimit -f 1 && exec "$scpair" trace --stop --out "$work/old.json" "$mnt" >/dev/null 2>"$work/err")
equal "no room for it: exit code" 1 $?
says "no room for it: the message" 'old.json: File too large; it is as it was' "$work/err"
equal "no room for it: the old file is as it was" old "$(cat "$work/old.json")"
equal "no room for it: nothing temporary is left" "" "$(ls "$work" | grep part)"
check "the trace is still there" "$scpair" trace --stop --out "$work/old.json" "$mnt"
check "and replaces the old file" jq -e .otherData "$work/old.json"
check "umount" "$scpair" umount "$mnt"
finish
