#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# output_test.sh SCPAIR - what the command writes and leaves behind, without a mount: a copy that does not
# end leaves nothing that looks whole, a full stdout is an error, Ctrl-C in bench prints what there is.
set -u
scpair=${1:?usage: $0 SCPAIR}
here=$(cd "$(dirname "$0")" && pwd)
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
# A shell without job control starts background jobs with SIGINT ignored, and the command leaves that so.
heard='env --default-signal=INT'
parts() { find . -name '*.part-*' | wc -l; }
# until_there FILE: wait for somebody to make it; the test's own time limit ends it.
until_there() { until ls $1 >/dev/null 2>&1; do :; done; }

# The list of commands, however it is asked for.
"$scpair" --help >overview
says "--help lists the commands" "usage: scpair COMMAND" overview
for word in '' --help -h help; do
    "$scpair" help $word >out 2>err
    equal "help $word: exit code" 0 $?
    cmp -s overview out && ok "help $word is the same" || fail "help $word: $(head -n 1 err)"
done
"$scpair" help copy >out
says "help copy is about copy" "usage: scpair copy" out

head -c 5000000 /dev/urandom >src
truncate -s 64M slow.img

# A whole copy: mode, bytes, no temporary file.
(umask 027 && "$scpair" copy --verify src new >out)
equal "a new file has the mode of the umask" 640 "$(stat -c %a new)"
cmp -s src new && ok "the copy is the source" || fail "the copy differs"
echo old >dst
chmod 4751 dst
ln -s dst link
"$scpair" copy src link >out
equal "an old file keeps its mode" 4751 "$(stat -c %a dst)"
equal "a link stays one" dst "$(readlink link)"
cmp -s src dst && ok "its target is the copy" || fail "the target differs"

# A file that is a disk of somebody's, or is read by one, is not taken from under it.
cp src used.img
inode=$(stat -c %i used.img)
head -c 1000000 src >less
for how in --exclusive --shared; do
    flock $how used.img "$scpair" copy less used.img >out 2>err
    equal "copy over an image in use, $how: exit code" 1 $?
    says "copy over an image in use, $how: the message" "used.img: in use" err
done
equal "the image stays the file it was" "$inode" "$(stat -c %i used.img)"
cmp -s src used.img && ok "with what was in it" || fail "the image in use has changed"
equal "no temporary file" 0 "$(parts)"
"$scpair" copy less used.img >out 2>err
equal "when it is free it is replaced: exit code" 0 $?
cmp -s less used.img && ok "with the source" || fail "the copy differs"

# A copy to a disk is the source, whose last block is not a whole one; what lies behind it stays.
head -c 8388608 /dev/urandom >disk.img
cp disk.img before.img
"$scpair" copy src --to-disk disk.img >out 2>err
equal "copy to a disk: exit code" 0 $?
cmp -s -n 5000000 src disk.img && ok "the disk begins with the source" || fail "the disk differs"
cmp -s -i 5000000 before.img disk.img && ok "the rest of the disk is as it was" || fail "the rest differs"
truncate -s 4999680 small.img
"$scpair" copy src --to-disk small.img >out 2>err
equal "copy to a disk 320 bytes too small: exit code" 2 $?
says "copy to a disk too small: the message" "too small: 5000000 bytes do not fit into 4999680" err

# verify names the byte, and knows one pattern from another.
cp src other
printf x | dd of=other bs=1 seek=3000000 conv=notrunc status=none
cmp -s src other && printf y | dd of=other bs=1 seek=3000000 conv=notrunc status=none
"$scpair" verify src other >out 2>err
equal "verify, one byte differs: exit code" 1 $?
says "verify, one byte differs: the message" "differs from src at byte 3000000" err
head -c 4000000 src >other
"$scpair" verify src other >out 2>err
equal "verify, the second is shorter: exit code" 1 $?
says "verify, the second is shorter: the message" "other: 4000000 bytes, but src has 5000000" err
"$scpair" verify --write --seed 1 --disk disk.img >out 2>err
equal "verify --write: exit code" 0 $?
"$scpair" verify --seed 1 --disk disk.img >out 2>err
equal "verify, the same pattern: exit code" 0 $?
"$scpair" verify --seed 2 --disk disk.img >out 2>err
equal "verify, another pattern: exit code" 1 $?
equal "nothing temporary is left" 0 "$(parts)"

# A difference is a result of verify, and --json tells it like another; the exit code and the line stay.
# json_of FILE EXPRESSION: of the object o in it
json_of()
{
    python3 -c 'import json, sys; o = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@" 2>&1
}
"$scpair" verify --json src new >out 2>err
equal "verify --json: exit code" 0 $?
equal "verify --json: the same" "(True, 5000000)" "$(json_of out '(o["ok"], o["bytes"])')"
cp new other
# One of the two is different whatever is there.
at=4321
for byte in X Y; do
    printf $byte | dd of=other bs=1 seek=$at conv=notrunc status=none
    cmp -s new other || break
done
"$scpair" verify --json new other >out 2>err
equal "verify --json, a difference: exit code" 1 $?
equal "verify --json, a difference: where" "(False, $at)" "$(json_of out '(o["ok"], o["at"])')"
says "verify --json, a difference: the line" "$(json_of out 'o["error"]')" err
says "verify --json, a difference: the line says where" "at byte $at" err
head -c 4096 new >small
"$scpair" verify --json new small >out 2>err
equal "verify --json, too short: where" "(False, 4096)" "$(json_of out '(o["ok"], o["at"])')"
"$scpair" verify --json --disk ram:1M >out 2>err
equal "verify --json, no pattern: where" "(False, 0)" "$(json_of out '(o["ok"], o["at"])')"
"$scpair" verify --json new missing >out 2>err
equal "verify --json, nothing to compare with: exit code" 2 $?
equal "verify --json, nothing to compare with: no result" 0 "$(wc -c <out)"

# A limit on file size is an error like a full disk, and no sudden end that leaves a part behind.
(ulimit -f 1024 && "$scpair" copy src limited 2>err)
equal "copy over ulimit -f: exit code" 1 $?
equal "copy over ulimit -f: one line" 1 "$(wc -l <err)"
[ -e limited ] && fail "copy over ulimit -f: the file is there" || ok "copy over ulimit -f: no file"
equal "copy over ulimit -f: nothing temporary is left" 0 "$(parts)"

# Ended by a signal: the old file is whole, a new one is not there.
for signal in INT TERM HUP; do
    echo old >dst
    for target in dst fresh; do
        $heard "$scpair" copy -b 4096 -d 1 --from-disk slow.img,latency=20000 $target >out 2>err &
        pid=$!
        until_there "$target.part-*"
        kill -$signal $pid
        wait $pid
        equal "copy to $target, SIG$signal: exit code" 1 $?
        says "copy to $target, SIG$signal: the message" "interrupted by SIG$signal; $target" err
        equal "copy to $target, SIG$signal: one line" 1 "$(wc -l <err)"
    done
    equal "SIG$signal: the old file is as it was" old "$(cat dst)"
    [ -e fresh ] && fail "SIG$signal: a new file is there" || ok "SIG$signal: no new file"
    equal "SIG$signal: nothing temporary is left" 0 "$(parts)"
done

# Ended by an error: the source cannot be read to its end, the target has no room.
(ulimit -f 100 && trap '' XFSZ && "$scpair" copy src dst >out 2>err)
equal "no room: exit code" 1 $?
says "no room: the message" "dst is as it was" err
equal "no room: the old file is as it was" old "$(cat dst)"
equal "no room: nothing temporary is left" 0 "$(parts)"

# A disk cannot be renamed, and the message says so.
$heard "$scpair" copy -b 4096 -d 1 src --to-disk slow.img,latency=20000 >out 2>err &
pid=$!
until [ "$(od -An -N1 -tu1 slow.img)" -eq "$(od -An -N1 -tu1 src)" ]; do :; done
kill -INT $pid
wait $pid
equal "copy to a disk, SIGINT: exit code" 1 $?
says "copy to a disk, SIGINT: the message" "slow.img,latency=20000 holds a part of the copy" err

# An image in use is not taken from under its disk.
$heard "$scpair" bench --disk slow.img --time 60 --op read >out 2>err &
pid=$!
until ls -l "/proc/$pid/fd" 2>/dev/null | grep -q slow.img; do :; done
"$scpair" copy src slow.img >out2 2>err2
equal "copy over an image in use: exit code" 1 $?
says "copy over an image in use: the message" "slow.img: in use" err2

# bench prints what it has when it is interrupted.
kill -INT $pid
wait $pid
equal "bench, SIGINT: exit code" 0 $?
says "bench, SIGINT: the result" "(interrupted)" out

# A stdout that takes nothing.
full() {
    "$@" >/dev/full 2>err
    code=$?
    shift
    equal "full stdout: $*: exit code" 1 $code
    equal "full stdout: $*: one line" 1 "$(wc -l <err)"
    says "full stdout: $*: the message" "stdout: " err
}
for command in mount umount list info stat errlog inject load copy verify bench sg; do
    full "$scpair" $command --help
    "$scpair" $command --help >out
    equal "$command --help: exit code" 0 $?
    says "$command --help teaches" "  scpair $command" out
done
# Every letter is in the manual, with the word it stands for.
manual=$here/../../../docs/man/scpair.1
for command in mount umount list info stat errlog inject load copy verify bench sg; do
    "$scpair" $command --help | sed -n 's/^  -\([a-zA-Z]\), --\([a-z-]*\).*/\1 \2/p' >letters
    while read -r letter word; do
        sed -n "/^\.Cm $command\$/,/^\.Nm\$/p" "$manual" | sed 's/ Ns Oo Ar SECONDS Oc | Fl/ |/' >synopsis
        says "the manual has $command -$letter" "Fl $letter | -$word" synopsis
    done <letters
done

full "$scpair" --help
full "$scpair" --version
full "$scpair" help copy
full "$scpair" list
full "$scpair" list --json
full "$scpair" info --disk ram:1M
full "$scpair" info --json --disk ram:1M
full "$scpair" stat --disk ram:1M
full "$scpair" stat --json --disk ram:1M
full "$scpair" copy src new
full "$scpair" copy --json src new
full "$scpair" verify src new
full "$scpair" bench --time 1 --disk null:1M
full "$scpair" bench --json --time 1 --disk null:1M

[ $failed -eq 0 ] && exit 0
echo "$failed failed; rerun: $0 $scpair"
exit 1
