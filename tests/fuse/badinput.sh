#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# badinput.sh BUILD - wrong command lines and images: exit code 1 or 2, exactly one line on stderr
# that begins with "scpair: " and names the thing, nothing mounted, nothing left running.
set -u
. "$(dirname "$0")/lib.sh"

truncate -s 16M "$work/good.img"
truncate -s 16M "$work/other.img"
: >"$work/empty.img"
truncate -s 1000 "$work/odd.img"
truncate -s 16777728 "$work/odd4k.img" # a multiple of 512, not of 4096
mkdir "$work/dir" "$work/used"
mkfifo "$work/fifo"
: >"$work/file"
ln -s "$work/nowhere" "$work/dangling"

# bad CODE NAME-IN-MESSAGE ARGUMENT...
bad() {
    want=$1
    word=$2
    shift 2
    timeout 20 "$scpair" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    lines=$(wc -l <"$work/err")
    short=$(echo "scpair $*" | sed "s|$work/||g" | cut -c 1-90)
    if [ $got -ne "$want" ]; then
        fail "$short: exit code $got, not $want: $(head -n 1 "$work/err")"
    elif [ "$lines" -ne 1 ]; then
        fail "$short: $lines lines on stderr"
        sed 's/^/     | /' "$work/err"
    elif ! grep -q '^scpair: ' "$work/err" || ! grep -q -F -e "$word" "$work/err"; then
        fail "$short: does not name $word: $(cat "$work/err")"
    elif mountpoint -q "$mnt"; then
        fail "$short: left something mounted"
        "$scpair" umount "$mnt"
    else
        ok "$(cut -c 1-100 "$work/err" | sed "s|$work/||g")"
    fi
}
g=$work/good.img

# The command line.
bad 2 "no command"
bad 2 frobnicate frobnicate
bad 2 --frob --frob
bad 2 frob help frob
bad 2 "no disk" mount "$mnt"
bad 2 "argument is missing: MOUNTPOINT" mount --disk "$g"
bad 2 "too many" mount --disk "$g" "$mnt" "$work/dir"
bad 2 "needs a value" mount "$mnt" --disk
bad 2 --frob mount --frob --disk "$g" "$mnt"
bad 2 "-x" mount -x --disk "$g" "$mnt"
# Disks.
bad 2 missing.img mount --disk "$work/missing.img" "$mnt"
bad 2 empty.img mount --disk "$work/empty.img" "$mnt"
bad 2 odd.img mount --disk "$work/odd.img" "$mnt"
bad 2 odd4k.img mount --disk "$work/odd4k.img,block=4096" "$mnt"
bad 2 "$work/dir" mount --disk "$work/dir" "$mnt"
bad 2 "$work/fifo" mount --disk "$work/fifo" "$mnt"
bad 2 dangling mount --disk "$work/dangling" "$mnt"
bad 2 /dev/null mount --disk /dev/null "$mnt"
bad 2 "no file named" mount --disk "" "$mnt"
bad 2 "no file named" mount --disk ",block=512" "$mnt"
bad 2 block=7 mount --disk "$g,block=7" "$mnt"
bad 2 block=0 mount --disk "$g,block=0" "$mnt"
bad 2 block=-512 mount --disk "$g,block=-512" "$mnt"
bad 2 block= mount --disk "$g,block=" "$mnt"
bad 2 queue=0 mount --disk "$g,queue=0" "$mnt"
bad 2 queue=257 mount --disk "$g,queue=257" "$mnt"
bad 2 queue=99999999999999999999 mount --disk "$g,queue=99999999999999999999" "$mnt"
bad 2 latency=1e3 mount --disk "$g,latency=1e3" "$mnt"
bad 2 colour mount --disk "$g,colour=red" "$mnt"
bad 2 "good.img" mount --disk "$g" --disk "$g" "$mnt"
bad 2 "good.img" mount --disk "$g" --disk "$work/../$(basename "$work")/good.img" "$mnt"
bad 2 ram:x mount --disk ram:x "$mnt"
bad 2 ram:0 mount --disk ram:0 "$mnt"
bad 2 ram:1000 mount --disk ram:1000 "$mnt"
bad 2 null:-1 mount --disk null:-1 "$mnt"
bad 2 null:99999999999T mount --disk null:99999999999T "$mnt"
many=
for i in $(seq 65); do many="$many --disk null:1M"; done
# shellcheck disable=SC2086 # one word per option
bad 2 "too many disks" mount $many "$mnt"
# Transfers and threads.
bad 2 --max-transfer mount --max-transfer 4096 --disk "$g" "$mnt"
bad 2 --max-transfer mount --max-transfer 65537 --disk "$g" "$mnt"
bad 2 --max-transfer mount --max-transfer -1 --disk "$g" "$mnt"
bad 2 --max-transfer mount --max-transfer 16E --disk "$g" "$mnt"
bad 2 --max-transfer mount --max-transfer 18446744073709551616 --disk "$g" "$mnt"
bad 2 --threads mount --threads 0 --disk "$g" "$mnt"
bad 2 --threads mount --threads 1000000 --disk "$g" "$mnt"
# Mount points.
bad 2 "$work/missing" mount --disk "$g" "$work/missing"
bad 2 "$work/file" mount --disk "$g" "$work/file"
bad 2 "MOUNTPOINT is an empty name" mount --disk "$g" ""
"$scpair" mount --disk "$work/other.img" "$work/used"
bad 1 "$work/used" mount --disk "$g" "$work/used"
bad 1 other.img mount --disk "$work/other.img" "$mnt"
"$scpair" umount "$work/used"
# The other commands.
bad 2 "$work/dir" umount "$work/dir"
bad 2 "$work/missing" umount "$work/missing"
bad 2 "$work/dir" stat "$work/dir"
bad 2 "$work/missing" info "$work/missing"
bad 2 missing.img info --disk "$work/missing.img"
bad 2 "$work/dir" errlog "$work/dir"
bad 2 "$work/dir" inject "$work/dir" hdisk0 clear
bad 2 rule inject "$work/dir"
bad 2 "$work/missing" copy "$work/missing" "$work/new"
bad 2 "the same" copy "$g" "$g"
bad 2 "$work/dir" copy "$work/dir" "$work/new"
bad 2 "too small" copy "$g" --to-disk ram:1M
bad 2 --block copy --block 1000 "$g" "$work/new"
bad 2 --depth copy --depth 0 "$g" "$work/new"
bad 2 --op bench --op sideways --disk "$g"
bad 2 --block bench --block 1000 --disk "$g"
bad 2 --time bench --time forever --disk "$g"
bad 1 pattern verify "$g"
if [ "$(id -u)" -ne 0 ]; then
    chmod 0 "$work/other.img"
    bad 2 other.img mount --disk "$work/other.img" "$mnt"
fi
# A newcomer's: each says what to do.
"$scpair" mount --disk "$g" --disk ram:1M "$work/used"
u=$work/used
bad_mnt=$mnt
bad 2 "missing: SRC" copy
bad 2 "missing: DST" copy "$g"
bad 2 "missing: DISK" unplug "$u"
bad 2 "missing: IMAGE" plug "$u"
bad 2 "missing: MOUNTPOINT" errlog
bad 2 "missing: TARGET" verify
bad 2 "missing: PATH" bench
bad 2 '"hdisk7" is one' errlog "$u" hdisk0 hdisk7
bad 2 "the MOUNTPOINT is an empty name" stat ""
bad 2 "the DST is an empty name" copy "$g" ""
bad 2 "the DISK is an empty name" errlog "$u" ""
bad 2 "--disk disk.img mnt" mount "$g" "$bad_mnt"
for command in errlog unplug load; do
    bad 2 "name the disk itself, hdisk0" $command "$u" rhdisk0
    bad 2 "name the disk itself, hdisk0" $command "$u" "$u/hdisk0"
done
bad 2 "name the disk itself, hdisk1" inject "$u" rhdisk1 do=busy
bad 2 "name the disk itself, hdisk1" inject "$u" "hdisk0 do=busy" "rhdisk1 do=busy"
bad 2 "hdisk0 clear, or --clear for all" inject "$u" "clear now"
bad 2 "hdisk0 clear, or --clear for all" inject "$u" clear
bad 2 'leave "now" out' inject "$u" hdisk0 clear now
bad 2 'leave "now" out' inject "$u" hdisk0 load now
bad 2 'for example "hdisk0 do=busy"' inject "$u" do=busy
bad 2 'for example "hdisk0 load"' inject "$u" load
bad 2 "no rule" inject "$u" ""
bad 2 "a rule is needed" inject "$u"
bad 2 "not a directory" stat "$u/hdisk0"
bad 2 "name one in it" bench "$u"
bad 2 "name a file or a disk in it" copy "$g" "$work/dir"
equal "no rule is in force" "no rules" "$("$scpair" inject --list "$u")"

# An output never goes over a disk, nor over anything else that is no plain file, however it is named.
before=$(sha256sum <"$g")
ln -s "$u/hdisk0" "$work/to-disk"
ln -s "$u" "$work/to-mount"
for out in "$u/hdisk0" "$u/rhdisk0" "$u/hdisk1" "$u/scsi0" "$u/.scpair/inject" "$u/new" "$u/.scpair/new" \
    "$work/to-disk" "$work/to-mount/rhdisk0"; do
    bad 2 "is inside the scpair mount $u" trace --seconds 1 --out "$out" "$u"
done
for out in "$u/scsi0" "$u/.scpair/inject" "$u/new"; do
    bad 2 "is inside the scpair mount $u" copy "$work/odd.img" "$out"
done
cd "$u" || exit 1
bad 2 "is inside the scpair mount $u" trace --seconds 1 --out hdisk0 .
cd / || exit 1
bad 2 "not a plain file" trace --seconds 1 --out "$work/fifo" "$u"
bad 2 "not a plain file" trace --seconds 1 --out /dev/null "$u"
bad 2 "a directory" trace --seconds 1 --out "$work/dir" "$u"
bad 2 "a link to nothing" trace --seconds 1 --out "$work/dangling" "$u"
bad 2 "an empty name" trace --seconds 1 --out "" "$u"
bad 2 "make the folder first" trace --seconds 1 --out "$work/no/t.json" "$u"
bad 1 "in use by another process" trace --seconds 1 --out "$g" "$u"
equal "the trace had not begun" 0 "$(jq .otherData.records "$u/.scpair/trace")"
"$scpair" umount "$u"
equal "the disk is as it was" "$before" "$(sha256sum <"$g")"
[ -e "$work/new" ] && fail "a failed copy left a file behind" || ok "failed copies leave no file behind"
equal "nothing is mounted" "" "$(mounts_under_work)"
finish
