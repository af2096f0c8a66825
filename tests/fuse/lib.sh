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

# An ordinary user may share a mount only where the administrator allows it; else it is his alone, and so is
# the test.
allow=--allow-other
shared=true
if [ "$(id -u)" -ne 0 ] && ! grep -qsx 'user_allow_other' /etc/fuse.conf; then
    allow=
    shared=false
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

# One path a line; \040 of mountinfo is \0040 to printf.
mounts_under_work() {
    printf '%b\n' "$(awk -v w="$work/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo |
        sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')"
}

children= # processes that end with the script, however that comes
cleanup() {
    # shellcheck disable=SC2086
    [ -z "$children" ] || kill $children 2>/dev/null
    mounts_under_work | sort -r | while IFS= read -r m; do
        [ -n "$m" ] || continue
        "$scpair" umount --timeout 10 "$m" >/dev/null 2>&1 || umount -l "$m" 2>/dev/null || true
    done
    [ -n "$user" ] && user_end
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' HUP INT PIPE TERM

# ---- An ordinary user for the purpose; without being root there is one already.

user=
# user_begin: afterwards as_user COMMAND... runs as that user, who may use FUSE, and who may go
# through $work and write in $work/user. Skips the script where no user can be made.
user_begin() {
    PATH=$PATH:/sbin:/usr/sbin
    mkdir "$work/user"
    [ "$(id -u)" -eq 0 ] || return 0
    user=scpair-t$$
    for _ in $(seq 50); do # another script may hold the lock of /etc/passwd
        why=$(useradd -M -d "$work/user" -s /bin/sh "$user" 2>&1) && break
        timeout 0.1 tail -f /dev/null
    done
    # An entry for this user alone: nobody else's use of the device changes.
    if ! id "$user" >/dev/null 2>&1 || ! why=$(setfacl -m "u:$user:rw" /dev/fuse 2>&1); then
        echo "skipped: no ordinary user who may use FUSE can be made here: $why"
        exit 77
    fi
    chmod 755 "$work"
    chown "$user" "$work/user"
    if ! why=$(as_user "$scpair" --version 2>&1); then
        echo "skipped: an ordinary user cannot run $scpair: $why"
        exit 77
    fi
}
user_end() {
    setfacl -x "u:$user" /dev/fuse 2>/dev/null
    userdel -f "$user" 2>/dev/null # also while a process of his is ending
}
as_user() {
    if [ -n "$user" ]; then runuser -u "$user" -- "$@"; else "$@"; fi
}

# alive PID: it runs (and is no zombie, which a container's init may leave).
alive() { grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status" 2>/dev/null; }
# gone PID: wait until it has ended, at most 20 s.
gone() {
    for _ in $(seq 400); do
        alive "$1" || return 0
        timeout 0.05 tail -f /dev/null
    done
    return 1
}

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
# need NAME COMMAND...: a check without which the rest has no sense.
need() {
    check "$@"
    [ "$failed" -eq 0 ] || finish
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
