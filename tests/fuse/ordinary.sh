#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# ordinary.sh BUILD - what an ordinary user can do to a server: nothing bad, to root's or to his own.
set -u
. "$(dirname "$0")/lib.sh"
user_begin

# survives WHAT MOUNT COMMAND...: as the user, whatever it says; the server is still there.
survives() {
    what=$1
    where=$2
    shift 2
    as_user timeout 20 "$@" >"$work/out" 2>&1
    check "$what: the server lives" alive "$pid"
    check "$what: the mount answers" ls "$where"
}

attack() {
    # FS_IOC_GETFLAGS on a directory: the kernel sends an ioctl without an open of anybody's.
    survives "lsattr -d on the mount" "$1" lsattr -d "$1"
    survives "lsattr -d on .scpair" "$1" lsattr -d "$1/.scpair"
    survives "lsattr -a" "$1" lsattr -a "$1" "$1/.scpair"
    survives "chattr" "$1" chattr +i "$1" "$1/.scpair" "$1/hdisk0"
    survives "find" "$1" find "$1" -ls
}

truncate -s 16M "$work/a.img"
check "mount by root" "$scpair" mount $allow --disk "$work/a.img" "$mnt"
pid=$(cat "$mnt/.scpair/pid")
attack "$mnt"
check "umount" "$scpair" umount "$mnt"

mine=$work/user/mnt
as_user truncate -s 16M "$work/user/disk.img"
as_user mkdir "$mine"
check "mount by the user" as_user "$scpair" mount --disk "$work/user/disk.img" "$mine"
pid=$(as_user cat "$mine/.scpair/pid")
# root may not look into a user's mount.
ls() { as_user /bin/ls "$@"; }
attack "$mine"
check "umount by the user" as_user "$scpair" umount "$mine"
equal "nothing is mounted" "" "$(mounts_under_work)"
finish
