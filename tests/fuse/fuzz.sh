#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# fuzz.sh BUILD [SECONDS] - random system calls on every file and directory of a mount (mount_fuzz.c),
# for SECONDS (5) each: by root on root's mount, by another user on it, by a user on his own.
set -u
. "$(dirname "$0")/lib.sh"
user_begin
seconds=${2:-5}
fuzz=$build/tests/fuse/mount_fuzz
# A disk that the fuzzer has stopped is asked again after a delay each time.
export SCPAIR_DD_BUSY_MS=1

# fuzz_on WHO MOUNT COMMAND...: a seed at random, said with every result.
fuzz_on() {
    who=$1
    where=$2
    shift 2
    "$@" "$fuzz" "$where" --seconds "$seconds" >"$work/fuzz" 2>&1
    equal "$who: exit code" 0 $?
    sed 's/^/     | /' "$work/fuzz" | tail -n 5
    check "$who: the server lives" alive "$pid"
}

truncate -s 16M "$work/a.img" "$work/b.img"
check "mount by root" "$scpair" mount $allow --mode 0666 --disk "$work/a.img" \
    --disk "$work/b.img,block=4096" --disk ram:16M "$mnt"
pid=$(cat "$mnt/.scpair/pid")
fuzz_on "root on root's" "$mnt"
[ -n "$user" ] && fuzz_on "a user on root's" "$mnt" as_user
kill "$pid"
check "a fuzzed server ends" gone "$pid"

as_user truncate -s 16M "$work/user/disk.img"
as_user mkdir "$work/user/mnt"
check "mount by a user" as_user "$scpair" mount --disk "$work/user/disk.img" --disk ram:16M "$work/user/mnt"
pid=$(as_user cat "$work/user/mnt/.scpair/pid")
fuzz_on "a user on his own" "$work/user/mnt" as_user
as_user kill "$pid"
check "a fuzzed server ends" gone "$pid"
equal "nothing is mounted" "" "$(mounts_under_work)"
finish
