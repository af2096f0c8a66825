#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# tools.sh BUILD - sg3_utils, unmodified, on a mount and with the pair in the tool's process: what they print.
set -u
. "$(dirname "$0")/../fuse/lib.sh"

if ! command -v sg_inq >/dev/null; then
    echo "skipped: sg_inq is not installed (Debian: sg3-utils)"
    exit 77
fi

sg() { "$scpair" sg -- "$@"; }
# tool NAME PATTERN COMMAND...: it succeeds under the library and prints that; many print nothing.
tool() {
    name=$1
    pattern=$2
    shift 2
    if "$scpair" sg ${spec:+--disk "$spec"} -- "$@" >"$work/out" 2>&1; then
        if [ -z "$pattern" ]; then ok "$name"; else says "$name" "$pattern" "$work/out"; fi
    else
        fail "$name: exit code $?: $(tail -n 2 "$work/out")"
    fi
}

# The same questions for whoever answers: $1 is the device, $where says which.
questions() {
    tool "$where: sg_inq" 'Vendor identification: SCPAIR' sg_inq "$1"
    tool "$where: sg_inq: queueing" 'CmdQue=1' sg_inq "$1"
    tool "$where: sg_readcap --16: blocks" 'Number of logical blocks=131072' sg_readcap --16 "$1"
    tool "$where: sg_readcap --16: physical" 'physical block length=4096 bytes' sg_readcap --16 "$1"
    tool "$where: sg_vpd" 'Logical block provisioning' sg_vpd "$1"
    tool "$where: sg_vpd -p bl" 'Maximum transfer length: 2048 blocks' sg_vpd -p bl "$1"
    tool "$where: sg_vpd -p di" 'vendor specific: SIM0000' sg_vpd -p di "$1"
    tool "$where: sg_luns" '1 lun entry' sg_luns "$1"
    tool "$where: sg_opcodes" 'Compare and write' sg_opcodes "$1"
    tool "$where: sg_opcodes: ORWRITE" 'Orwrite(16)' sg_opcodes "$1"
    tool "$where: sg_opcodes: a mask" 'Usage data: 28 18 ff ff ff ff 1f ff ff 00' \
        sg_opcodes --opcode=0x28 "$1"
    tool "$where: sg_turs" 'Completed 5 Test Unit Ready commands with 0 errors' sg_turs --num=5 "$1"
    tool "$where: sg_requests" 'No Sense' sg_requests "$1"
    tool "$where: sg_modes" 'Caching' sg_modes "$1"
    tool "$where: sg_sync" '' sg_sync "$1"
    tool "$where: sg_verify" '' sg_verify --count=100 "$1"
    tool "$where: sg_prevent" '' sg_prevent "$1"
    tool "$where: sg_get_lba_status" 'blocks: *131072' sg_get_lba_status "$1"
    tool "$where: sg_persist: keys" 'NO registered reservation keys' sg_persist --in --read-keys "$1"
    tool "$where: sg_format asks only" 'Number of blocks=131072' sg_format "$1"
    tool "$where: sg_read" '' sg_read if="$1" bs=512 count=256 blk_sgio=1
}

spec=ram:64M,phys=4096
where="in process"
questions /dev/scpair/rhdisk0
tool "in process: the second initiator" 'Vendor identification: SCPAIR' sg_inq /dev/scpair/sg0@2
tool "in process: SANITIZE" '' sg_sanitize --block --quick --wait /dev/scpair/sg0
spec="$work/a.img,phys=4096"
truncate -s 64M "$work/a.img"
tool "in process: sg_format --format" 'Block size=512' sg_format --format --quick --wait /dev/scpair/sg0
head -c 65536 /dev/urandom >"$work/data"
tool "in process: sg_dd writes" '128+0 records out' \
    sg_dd if="$work/data" of=/dev/scpair/sg0 bs=512 bpt=128 seek=64 blk_sgio=1
check "and it is in the image" cmp -n 65536 -i 0:32768 "$work/data" "$work/a.img"
spec=ram:8M,removable
tool "in process: eject" '' sg_start --eject /dev/scpair/sg0
refuse "in process: eject a fixed disk" "$scpair" sg --disk ram:8M -- sg_start --eject /dev/scpair/sg0
spec=

# On a mount, opened for reading by most tools.
check "mount" "$scpair" mount --disk "$work/a.img,phys=4096" --disk ram:8M,ro "$mnt"
rm -f "$work/data.back"
where="on a mount"
truncate -s 0 "$work/hole" && punch() { fallocate -p -o 0 -l 64M "$mnt/rhdisk0"; }
check "on a mount: nothing mapped" punch
questions "$mnt/rhdisk0"
tool "on a mount: hdisk0" 'Vendor identification: SCPAIR' sg_inq "$mnt/hdisk0"
# One READ or WRITE of 255 blocks goes in pieces of 16; one whose range does not fit moves nothing.
head -c 130560 /dev/urandom >"$work/data"
tool "on a mount: a WRITE of 255 blocks" '' sg_raw --send=130560 --infile="$work/data" \
    "$mnt/rhdisk0" 2a 00 00 00 00 07 00 00 ff 00
check "and it is in the image" cmp -n 130560 -i 0:3584 "$work/data" "$work/a.img"
tool "on a mount: a READ of 255 blocks" 'SCSI Status: Good' sg_raw --request=130560 \
    --outfile="$work/data.back" "$mnt/rhdisk0" 28 00 00 00 00 07 00 00 ff 00
check "and it is the same" cmp "$work/data" "$work/data.back"
sg sg_raw --send=130560 --infile="$work/data" "$mnt/rhdisk0" 2a 00 00 01 ff 81 00 00 ff 00 >"$work/out" 2>&1
says "on a mount: a WRITE beyond the end" 'Logical block address out of range' "$work/out"
check "moved nothing" cmp -n 64512 -i 0:67044352 /dev/zero "$work/a.img"
sg sg_raw --send=16384 --infile="$work/data" "$mnt/rhdisk0" 89 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 \
    >"$work/out" 2>&1
says "on a mount: a long COMPARE AND WRITE cannot be cut" 'Cannot allocate memory' "$work/out"
# Reservations, with the device held open: its first open would meet the key.
exec 9<"$mnt/rhdisk0"
tool "on a mount: sg_persist --register" '' sg_persist --out --register --param-sark=0xabc "$mnt/rhdisk0"
tool "on a mount: the key is there" '0xabc' sg_persist --in --read-keys "$mnt/rhdisk0"
tool "on a mount: sg_persist --reserve" '' \
    sg_persist --out --reserve --prout-type=3 --param-rk=0xabc "$mnt/rhdisk0"
tool "on a mount: and who holds it" 'type: Exclusive Access$' \
    sg_persist --in --read-reservation "$mnt/rhdisk0"
tool "on a mount: sg_persist --clear" '' sg_persist --out --clear --param-rk=0xabc "$mnt/rhdisk0"
tool "on a mount: no key is left" 'NO registered' sg_persist --in --read-keys "$mnt/rhdisk0"
exec 9<&-
# A stopped disk has nothing to flush: the tool's close(2) neither fails nor waits for it (3 s).
began=$(date +%s%N)
sg sg_start --stop "$mnt/rhdisk0" >"$work/out" 2>&1
equal "on a mount: sg_start --stop: exit code 0" 0 $?
took=$((($(date +%s%N) - began) / 1000000))
if [ "$took" -lt 2500 ]; then ok "on a mount: and at once"; else fail "on a mount: stopped in $took ms"; fi
tool "on a mount: the next open starts it" '' sg_turs "$mnt/rhdisk0"
# Files that are no disks of ours.
refuse "on a mount: the adapter" "$scpair" sg -- sg_inq "$mnt/scsi0"
refuse "a plain file" "$scpair" sg -- sg_turs "$work/a.img"
equal "other programs under the library" "$(cat "$work/data" | cksum)" "$(sg cat "$work/data" | cksum)"

# The command itself.
"$scpair" sg >"$work/out" 2>&1
equal "sg alone: exit code 2" 2 $?
says "says what to do" 'no program given' "$work/out"
"$scpair" sg -- no-such-tool >"$work/out" 2>&1
equal "no such tool: exit code 127" 127 $?
"$scpair" sg --disk "$work/none.img" -- true >"$work/out" 2>&1
equal "no such image: exit code 2" 2 $?
says "says which" 'none.img' "$work/out"
"$scpair" sg -- sh -c 'exit 41' >"$work/out" 2>&1
equal "the tool's own exit code" 41 $?
check "umount" "$scpair" umount "$mnt"
finish
