#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# memory: what a mounted disk keeps resident, idle and under load, and what a LUN costs the core.
#
# Mounts a sparse image of 1 TiB, reads the daemon's resident set, runs fio for --minutes with one
# reading after the first tenth and one at the end, and asks bench/core for the drivers' memory.
# Limits: 16 MiB idle, 256 KiB per LUN at depth 64, no growth between the two readings beyond 1 MiB.
#
# Does not contain: a search for leaks (the tests' accounting does that, to the byte).
set -eu

IDLE_KIB_MAX=16384
LUN_BYTES_MAX=262144
GROWTH_KIB_MAX=1024
here=$(dirname "$(readlink -f "$0")")
scpair=$here/../scpair
minutes=10

usage() {
    echo "usage: memory [--minutes N]   (10)"
    echo "Resident memory of a mounted 1 TiB disk, idle and under load; driver memory per LUN."
}
while [ $# -gt 0 ]; do
    case $1 in
    --minutes) [ $# -ge 2 ] || { usage >&2; exit 2; }; minutes=$2; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
done
case $minutes in
'' | *[!0-9]* | 0) echo "memory: --minutes $minutes: give a whole number above 0" >&2; exit 2 ;;
esac
command -v fio >/dev/null || { echo "memory: fio is not installed; apt-get install fio" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/scpair-memory-XXXXXX")
fio_pid=
# Runs from the trap.
# shellcheck disable=SC2317
finish() {
    [ -z "$fio_pid" ] || kill "$fio_pid" 2>/dev/null || true
    "$scpair" umount "$work/mnt" 2>/dev/null || umount -l "$work/mnt" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

resident_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
failed=0
# check WHAT VALUE LIMIT UNIT
check() {
    if [ "$2" -le "$3" ]; then verdict=ok; else verdict=FAIL; failed=1; fi
    printf '%-4s %-38s %8d %s (limit %d)\n' "$verdict" "$1" "$2" "$4" "$3"
}

lun=$("$here/core" --memory --json | sed 's/.*"lun_bytes":\([0-9]*\).*/\1/')
check "drivers, per LUN at depth 64" "$lun" "$LUN_BYTES_MAX" bytes

mkdir "$work/mnt"
truncate -s 1T "$work/image"
"$scpair" mount --disk "$work/image" "$work/mnt"
pid=$(cat "$work/mnt/.scpair/pid")
check "mounted 1 TiB disk, idle" "$(resident_kib "$pid")" "$IDLE_KIB_MAX" KiB

seconds=$((minutes * 60))
fio --name=load --filename="$work/mnt/rhdisk0" --ioengine=libaio --direct=1 --rw=randrw --bsrange=4k-1m \
    --iodepth=16 --size=1g --time_based --runtime=$seconds --norandommap --allow_file_create=0 \
    --output="$work/fio.txt" &
fio_pid=$!
sleep $((seconds / 10))
early=$(resident_kib "$pid")
wait "$fio_pid" || { echo "memory: fio failed:" >&2; cat "$work/fio.txt" >&2; exit 1; }
fio_pid=
late=$(resident_kib "$pid")
printf '     under load: %d KiB after %d s, %d KiB after %d s\n' "$early" $((seconds / 10)) "$late" "$seconds"
growth=$((late > early ? late - early : 0))
check "growth under load" "$growth" "$GROWTH_KIB_MAX" KiB
check "idle again after the load" "$late" "$IDLE_KIB_MAX" KiB
exit $failed
