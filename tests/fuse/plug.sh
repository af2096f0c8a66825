#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# plug.sh BUILD [ROUNDS] - disks that come and go while they are in use (most checks are in plug.py).
# CAM-14, CAM-16, NB-21: fuse_plug.
set -u
rounds=${2:-1000}
. "$(dirname "$0")/lib.sh"

truncate -s 16M "$work/disk.img" "$work/more.img" "$work/more,really.img"
# shellcheck disable=SC2086
need "mount" "$scpair" mount $allow --disk "$work/disk.img" "$mnt"
cd "$work" || exit 1
equal "plug prints the name" hdisk1 "$("$scpair" plug mnt more.img)"
check "the names are there" test -f mnt/hdisk1 -a -f mnt/rhdisk1
equal "unplug of what nobody uses says nothing" "" "$("$scpair" unplug mnt hdisk1)"
refuse "its names have gone" test -e mnt/hdisk1 -o -e mnt/rhdisk1
equal "plug --json" '{"name":"hdisk1","adapter":"scsi0"}' "$("$scpair" plug --json mnt more,,really.img)"
equal "a comma in the name" "$work/more,really.img" \
    "$("$scpair" stat --json mnt >/dev/null && jq -r '.disks[1].path' mnt/.scpair/spec)"
equal "unplug --json" '{"name":"hdisk1","open":0}' "$("$scpair" unplug --json mnt hdisk1)"
for bad in "plug mnt nothere.img" "plug mnt ram:0" "plug mnt disk.img" "plug -a scsi9 mnt ram:1M" "plug mnt" \
    "unplug mnt hdisk7" "unplug mnt scsi0" "unplug nothere hdisk0" "plug mnt ram:1M,colour=red" \
    "plug mnt mnt/hdisk0" "plug mnt mnt/rhdisk0"; do
    # shellcheck disable=SC2086
    if "$scpair" $bad >out 2>err; then
        fail "scpair $bad: it worked"
    elif [ "$(wc -l <err)" -eq 1 ] && [ ! -s out ]; then
        ok "scpair $bad: $(cat err)"
    else
        fail "scpair $bad: $(cat err)"
    fi
done
if python3 "$here/plug.py" "$scpair" "$mnt" "$work/more.img" "$rounds"; then
    ok "plug.py"
else
    fail "plug.py"
fi
check "umount" "$scpair" umount "$mnt"
# A plug whose image does not answer: a stop waits for it its stated time, says so and ends.
mkdir other
need "mount the image's own mount" "$scpair" mount --disk ram:16M other
"$scpair" mount -f --stop-timeout 1 --disk disk.img "$mnt" 2>err &
pid=$!
children=$pid
until [ -e "$mnt/.scpair/pid" ]; do :; done
server=$(cat "$mnt/.scpair/pid")
owner=$(cat other/.scpair/pid)
kill -STOP "$owner"
# By hand: the command would look at the image itself.
sh -c 'echo "plug scsi0 $1" >"$2/.scpair/plug"' - "$work/other/hdisk0" "$mnt" 2>/dev/null &
for _ in $(seq 200); do
    # A thread of the server asks for the image: before that there is nothing that a stop would wait for.
    cat /proc/"$server"/task/*/wchan 2>/dev/null | grep -q request_wait && break
    timeout 0.05 tail -f /dev/null
done
kill -TERM "$pid"
for _ in $(seq 400); do
    grep -qs "has not ended" err && break
    timeout 0.05 tail -f /dev/null
done
says "a plug that does not end: the message" "1 plug or unplug under way has not ended within 1 s" err
# Only now: a thread whose open(2) the image's server has taken is not let go by the kernel before.
kill -CONT "$owner"
wait "$pid"
equal "a plug that does not end: exit code of the server" 1 $?
children=
wait
umount -l "$mnt" 2>/dev/null
check "umount" "$scpair" umount other
# Not everybody who may inject: the server opens images with its own rights.
if [ "$(id -u)" -eq 0 ] && $shared; then
    check "mount for another user" "$scpair" mount $allow --uid 65534 --disk "$work/disk.img" "$mnt"
    chmod 755 "$work"
    setpriv --reuid 65534 --clear-groups "$scpair" plug "$mnt" ram:1M >out 2>err
    equal "another user is told that he may not" 1 $?
    says "and why" "not allowed" err
    check "umount" "$scpair" umount "$mnt"
fi
finish
