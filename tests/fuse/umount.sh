#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# umount.sh BUILD - one mount at a place, and umount's reasons: another user's, busy, none, dead.
set -u
. "$(dirname "$0")/lib.sh"
user_begin

truncate -s 16M "$work/a.img" "$work/b.img"
# reason CODE PATTERN NAME COMMAND...: fails with that code and one line that says why.
reason() {
    want=$1
    pattern=$2
    name=$3
    shift 3
    "$@" >"$work/out" 2>"$work/err"
    equal "$name: exit code" "$want" $?
    equal "$name: one line" 1 "$(wc -l <"$work/err")"
    says "$name: the reason" "$pattern" "$work/err"
}

# Names that mountinfo writes with escapes.
for dir in 'a b' "$(printf 'tab\ttab')" 'back\slash' 'comma,comma'; do
    mkdir "$work/$dir"
    check "mount on '$dir'" "$scpair" mount --disk "$work/a.img" "$work/$dir"
    reason 1 'in use' "a second mount on '$dir'" "$scpair" mount --disk "$work/b.img" "$work/$dir"
    check "umount '$dir'" "$scpair" umount "$work/$dir"
    reason 2 'not an scpair mount' "'$dir' again" "$scpair" umount "$work/$dir"
done

# Not a mount, or not ours, or not its top.
reason 2 'No such file' "umount of nothing" "$scpair" umount "$work/missing"
reason 2 'not an scpair mount' "umount of a plain directory" "$scpair" umount "$work"
reason 2 'not an scpair mount' "umount of another file system" "$scpair" umount /proc
ln -s "$mnt" "$work/link"
check "mount" "$scpair" mount --disk "$work/a.img" "$mnt"
reason 2 'not an scpair mount' "umount of a directory in the mount" "$scpair" umount "$mnt/.scpair"
exec 9<"$mnt/hdisk0"
reason 1 'busy; close its files' "umount of a busy mount" "$scpair" umount "$mnt"
exec 9<&-
if [ -n "$user" ]; then
    reason 1 'mounted by user 0' "umount of root's mount by $user" as_user "$scpair" umount "$mnt"
fi
check "umount through a link" "$scpair" umount "$work/link/"

# Dead: nothing can be asked of it, whichever way it is named.
for dir in "$mnt" "$work/link" "$work/../$(basename "$work")/mnt/"; do
    check "mount" "$scpair" mount --disk "$work/a.img" "$mnt"
    pid=$(cat "$mnt/.scpair/pid")
    kill -9 "$pid"
    check "the server is dead" gone "$pid"
    check "umount of a dead mount as $(echo "$dir" | sed "s|$work/||g")" "$scpair" umount "$dir"
    refuse "it is gone" mountpoint -q "$mnt"
done

# A user's own mount.
as_user truncate -s 16M "$work/user/disk.img"
as_user mkdir "$work/user/mnt"
check "mount by a user" as_user "$scpair" mount --disk "$work/user/disk.img" "$work/user/mnt"
pid=$(as_user cat "$work/user/mnt/.scpair/pid")
mkfifo "$work/hold"
as_user sh -c 'exec 9<"$1"; echo open; read -r line' - "$work/user/mnt/hdisk0" <"$work/hold" >"$work/held" &
holder=$!
exec 8>"$work/hold"
for _ in $(seq 200); do grep -q open "$work/held" && break; timeout 0.05 tail -f /dev/null; done
reason 1 'busy; close its files' "umount by the user while busy" as_user "$scpair" umount "$work/user/mnt"
exec 8>&-
wait $holder
check "umount by the user" as_user "$scpair" umount "$work/user/mnt"
refuse "the server is gone" alive "$pid"
if [ -n "$user" ]; then
    check "mount by the user again" as_user "$scpair" mount --disk "$work/user/disk.img" "$work/user/mnt"
    check "root may unmount it" "$scpair" umount "$work/user/mnt"
fi
equal "nothing is mounted" "" "$(mounts_under_work)"
finish
