#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# replay_test.sh SCPAIR - scpair replay without a mount: files made by hand, good, different, left out,
# foreign and cut; the disk is left as it was when the file is bad.
set -u
scpair=${1:?usage: $0 SCPAIR}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

ok() { echo "ok   $*"; }
fail() {
    failed=$((failed + 1))
    echo "FAIL $*"
}
equal() { if [ "$2" = "$3" ]; then ok "$1"; else fail "$1: wanted '$2', got '$3'"; fi; }
says() { if grep -q -F -e "$2" "$3"; then ok "$1"; else fail "$1: $(cat "$3")"; fi; }

head1() { printf '{"scpair_capture":1,"disks":["hdisk0"],"commands":%s,"lost":0}\n' "$1"; }
# cmd CDB BYTES IN REST: a line.
cmd() { printf '{"disk":"hdisk0","ns":0,"cdb":"%s","bytes":%s,"in":%s,"tag":0%s}\n' "$1" "$2" "$3" "$4"; }
good=',"errno":0,"status":[0,0,0,0],"resid":0'
past=',"errno":5,"status":[1,2,0,1],"resid":512'

# What each line comes to.
{
    head1 11
    cmd 080000000100 512 true "$good"                       # equal
    cmd 080fff000100 512 true "$past,\"sense\":\"5/21/00\"" # equal: past the end
    cmd 080fff000100 512 true "$past"                       # equal: its sense is not known
    cmd 080fff000100 512 true "$past,\"sense\":\"3/11/00\"" # other sense
    cmd 080000000100 512 true ',"errno":0,"status":[0,0,0,0],"resid":12'
    cmd 080000000100 512 true ',"errno":5,"status":[2,0,1,1],"resid":512'
    cmd 080000000100 512 true ""                            # not back
    cmd 080000000100 512 true ',"errno":6,"status":[0,0,0,0],"resid":512'
    cmd 0a0000000100 512 false "$good"                      # writes
    cmd 150000001000 16 false "$good"                       # MODE SELECT
    cmd 7f00000000000000 0 false "$good"                    # a form of its own
} >all.jsonl
head -c 1M /dev/zero | tr '\0' x >disk.img
"$scpair" replay --json --disk disk.img all.jsonl >out 2>err
equal "differences: exit code" 1 $?
equal "differences: one line on stderr" \
    "scpair: all.jsonl: 3 of 11 commands were answered in another way" "$(cat err)"
equal "counts" '[11,4,3,4,false]' "$(jq -c '[.commands, .equal, .different, .skipped, .ok]' out)"
equal "why some were left out" '{"unfinished":1,"not_sent":1,"parameters":1,"form":1}' \
    "$(jq -c .why_skipped out)"
equal "what differs, and where" '[[5,"sense"],[6,"resid"],[7,"status"]]' \
    "$(jq -c '[.differences[] | [.line, .what]]' out)"
equal "was and is" '["status 02, sense 3/11/00","status 02, sense 5/21/00"]' \
    "$(jq -c '.differences[0] | [.was, .is]' out)"
equal "the CDB is named" 080fff000100 "$(jq -r '.differences[0].cdb' out)"
equal "a block was written as zeroes, and no other" "512 $(((1 << 20) - 512))" \
    "$(tr -d x <disk.img | wc -c) $(tr -d '\0' <disk.img | wc -c)"
"$scpair" replay --disk ram:1M all.jsonl >out 2>/dev/null
says "text: a difference" 'line 6: hdisk0 080000000100: was 12 bytes not moved, is 0 bytes not moved' out
says "text: why left out" 'skipped: 1 that had not come back when the capture ended' out
says "text: the sum" 'all.jsonl: 11 commands: 4 equal, 3 different, 4 skipped' out

head -c 1M /dev/zero | tr '\0' x >disk.img
before=$(sha256sum <disk.img)
"$scpair" replay --no-writes --json --disk disk.img all.jsonl >out 2>/dev/null
equal "--no-writes: left out" 2 "$(jq .why_skipped.writes out)"
equal "--no-writes: the disk is as it was" "$before" "$(sha256sum <disk.img)"

{
    head1 12
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do cmd 080fff000100 512 true "$good"; done
} >many.jsonl
"$scpair" replay --disk ram:1M many.jsonl >out 2>/dev/null
equal "ten are named" 10 "$(grep -c '^line' out)"
says "and the others counted" 'and 2 more' out
{
    head1 2
    cmd 0a0000000100 512 false "$good"
    cmd 080000000100 512 true "$good"
} >same.jsonl
"$scpair" replay --disk ram:1M same.jsonl >out 2>err
equal "all equal: exit code" 0 $?
equal "all equal: nothing on stderr" "" "$(cat err)"
{
    head1 1
    cmd 28000000000010000000 2097152 true "$good"
} >long.jsonl
"$scpair" replay --json --disk ram:8M long.jsonl >out
equal "too long is left out" '{"too_long":1}' "$(jq -c .why_skipped out)"
head1 0 >none.jsonl
"$scpair" replay --json --disk ram:8M none.jsonl >out
equal "no command at all" true "$(jq -c .ok out)"

# Bad files: one line that names the line; and nothing was sent, though the line before the bad one writes.
bad() {
    "$scpair" replay --disk disk.img bad.jsonl >out 2>err
    rc=$?
    if [ $rc -eq 2 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q -F -e "bad.jsonl: $1" err && ! [ -s out ]; then
        ok "$(cut -c 1-100 err)"
    else
        fail "bad.jsonl, $1: exit code $rc, $(cat err)"
    fi
    [ "$before" = "$(sha256sum <disk.img)" ] || fail "bad.jsonl, $1: something was written"
}
write=$(cmd 0a0000000100 512 false "$good")
: >bad.jsonl && bad 'line 1: the file is empty'
echo '#!/bin/sh' >bad.jsonl && bad 'line 1: not JSON'
echo '{"traceEvents":[]}' >bad.jsonl && bad 'line 1: "scpair_capture" is missing'
{ head1 2 && echo "$write"; } >bad.jsonl && bad 'line 3: the file ends after 1 of 2 commands'
{ head1 2 && echo "$write" && echo "$write" | head -c 40; } >bad.jsonl
bad 'line 3: the file ends within it'
{ head1 1 && echo "$write" && echo "$write"; } >bad.jsonl && bad 'line 3: more than the 1 commands'
{ head1 2 && echo "$write" && printf '{"disk":\0}\n'; } >bad.jsonl
bad 'line 3: a byte of zero'
{ head1 2 && echo "$write" && head -c 100M /dev/zero | tr '\0' ' '; } >bad.jsonl
bad 'line 3: longer than 4095 bytes'
{ head1 2 && echo "$write" && head -c 4000 /dev/zero | tr '\0' '[' && echo; } >bad.jsonl
bad 'line 3: not JSON'
{ head1 2 && echo "$write" && echo; } >bad.jsonl && bad 'line 3: not JSON'
head -c 64k /dev/urandom >bad.jsonl && bad 'line 1: '
rm bad.jsonl && bad 'No such file'
mkdir bad.jsonl && bad 'not a plain file'
rmdir bad.jsonl && mkfifo bad.jsonl && bad 'not a plain file'
"$scpair" replay --disk ram:1M --disk ram:1M same.jsonl 2>err
equal "two disks for one: exit code" 2 $?
says "two disks for one" 'has the commands of 1 disk; give one --disk, not 2' err
"$scpair" replay same.jsonl 2>err
equal "no disk: exit code" 2 $?
says "no disk: for example" '--disk ram:256M' err

[ "$failed" -eq 0 ] || echo "rerun: $0 $scpair"
[ "$failed" -eq 0 ]
