# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
#
# lib.sh - what the scripts of this folder share. Source it with BUILD as $1.
#
# Prints one "ok" or "FAIL" line per check, and at the end how to rerun; exits 77 when FUSE cannot
# be used here. Everything mounted under $work is unmounted at the end, however that comes.

build=${1:?usage: $0 BUILD-DIRECTORY}
build=$(cd "$build" && pwd)
scpair=$build/scpair
here=$(cd "$(dirname "$0")" && pwd)
failed=0
passed=0

if ! [ -x "$scpair" ]; then
    echo "$scpair: not there; build it first" >&2
    exit 1
fi
if ! [ -c /dev/fuse ]; then
    echo "skipped: FUSE is not available here (/dev/fuse is missing)"
    exit 77
fi

work=$(mktemp -d)
mnt=$work/mnt
mkdir "$mnt"

# One mount tried before anything counts: a container may have the device and forbid mounting.
truncate -s 1M "$work/probe.img"
if ! why=$("$scpair" mount --disk "$work/probe.img" "$mnt" 2>&1); then
    case $why in
    *"not permitted"* | *"FUSE is not available"*)
        echo "skipped: $why"
        rm -rf "$work"
        exit 77
        ;;
    esac
    echo "FAIL a plain mount: $why"
    rm -rf "$work"
    exit 1
fi
"$scpair" umount "$mnt"

mounts_under_work() { awk -v w="$work/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo; }

cleanup() {
    for m in $(mounts_under_work | sort -r); do
        "$scpair" umount --timeout 10 "$m" >/dev/null 2>&1 || umount -l "$m" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ok() {
    passed=$((passed + 1))
    echo "ok   $*"
}
fail() {
    failed=$((failed + 1))
    echo "FAIL $*"
}
# check NAME COMMAND...: the command succeeds.
check() {
    name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        ok "$name"
    else
        fail "$name: $*"
        sed 's/^/     | /' "$work/out" | tail -n 10
    fi
}
# refuse NAME COMMAND...: the command fails.
refuse() {
    name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        fail "$name: it worked: $*"
    else
        ok "$name"
    fi
}
# says NAME PATTERN FILE: the file has the pattern.
says() {
    if grep -q -e "$2" "$3"; then ok "$1"; else fail "$1: $(tail -n 3 "$3")"; fi
}
# equal NAME WANTED GOT
equal() {
    if [ "$2" = "$3" ]; then ok "$1"; else fail "$1: wanted '$2', got '$3'"; fi
}
# stat_of FIELD: a counter of hdisk0.
stat_of() { "$scpair" stat --json "$mnt" | jq ".disks[0].$1"; }

finish() {
    echo "$passed checks passed, $failed failed"
    if [ "$failed" -ne 0 ]; then
        echo "rerun: $0 $build"
        exit 1
    fi
    exit 0
}
