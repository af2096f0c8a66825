#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# service.sh BUILD - scpair as installed: the systemd unit, and mount(8) and fstab through the helper
# mount.fuse.scpair.
set -u
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/sbin:/usr/sbin

need "install" cmake --install "$build" --prefix "$work/usr"
unit=$work/usr/lib/systemd/system/scpair@.service
helper=$work/usr/sbin/mount.fuse.scpair
equal "mount.fuse.scpair is scpair" "$work/usr/bin/scpair" "$(readlink -f "$helper")"
mkdir -p "$work/etc" "$work/units"
truncate -s 16M "$work/a, b.img" "$work/b.img"
cat >"$work/etc/one.conf" <<CONF
MOUNTPOINT=$mnt
OPTIONS=--disk $work/b.img $allow --stop-timeout 30
CONF

# ---- The unit. Here without its systemd: its lines, run as it would run them.
sed -e "s|/etc/scpair/%i.conf|$work/etc/one.conf|" \
    -e "s|^\(Exec[A-Za-z]*=-\{0,1\}\)[^ ]*/scpair |\1$work/usr/bin/scpair |" \
    "$unit" >"$work/units/scpair@.service"
if command -v systemd-analyze >/dev/null; then
    check "systemd-analyze verify" systemd-analyze verify --man=no "$work/units/scpair@.service"
    equal "it said nothing" "" "$(cat "$work/out")"
else
    echo "no systemd-analyze here: the unit is not verified"
fi
line() { sed -n "s/^$1=-\{0,1\}//p" "$work/units/scpair@.service"; }
MOUNTPOINT=$(sed -n 's/^MOUNTPOINT=//p' "$work/etc/one.conf")
OPTIONS=$(sed -n 's/^OPTIONS=//p' "$work/etc/one.conf")
cat >"$work/notify.py" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print(s.recv(4096).decode(), flush=True)
PY
python3 "$work/notify.py" "$work/notify" >"$work/notified" &
notify=$!
children=$notify
until_says() {
    for _ in $(seq 200); do grep -q "$1" "$2" 2>/dev/null && return 0; timeout 0.05 tail -f /dev/null; done
    return 1
}
check "a socket for notifications" until_says bound "$work/notified"
export MOUNTPOINT OPTIONS
NOTIFY_SOCKET=$work/notify sh -c "exec $(line ExecStart)" >"$work/log" 2>&1 &
server=$!
check "ExecStart says when it is ready" until_says READY=1 "$work/notified"
check "and is mounted then" "$scpair" info "$mnt"
need "a disk to hold open" test -r "$mnt/rhdisk0"
exec 9<"$mnt/rhdisk0"
kill -TERM $server
check "a stop says so" until_says STOPPING=1 "$work/notified"
check "and waits for users" alive $server
exec 9<&-
wait $server
equal "a stopped service ends with 0" 0 $?
refuse "unmounted" mountpoint -q "$mnt"
# A crash, and what systemd runs then.
rm "$work/log"
sh -c "exec $(line ExecStart)" >"$work/log" 2>&1 &
server=$!
check "ExecStart" until_says mounted "$work/log"
kill -9 $server
wait $server 2>/dev/null
check "ExecStopPost cleans up" sh -c "$(line ExecStopPost)"
refuse "unmounted" mountpoint -q "$mnt"
kill $notify
wait $notify 2>/dev/null

# ---- The helper, called as mount(8) calls it.
check "mount.fuse.scpair" "$helper" "$work/b.img" "$mnt" -n \
    -o rw,nosuid,noauto,block=4096,mode=0640,stop_timeout=7
equal "its options" '[4096,"0640",7]' "$(jq -c '[.disks[0].block, .mode, .stop_timeout]' "$mnt/.scpair/spec")"
check "umount" "$scpair" umount "$mnt"
check "a fake mount" "$helper" "$work/b.img" "$mnt" -f
refuse "mounts nothing" mountpoint -q "$mnt"
for options in colour=red mode mode=9 allow_other=1 block=7; do
    "$helper" "$work/b.img" "$mnt" -o "$options" >"$work/out" 2>"$work/err"
    equal "-o $options: exit code" 2 $?
    equal "-o $options: one line" 1 "$(wc -l <"$work/err")"
    says "-o $options: is named" "$(echo "$options" | cut -d= -f1)" "$work/err"
done

# ---- mount(8) itself: it looks in /sbin only, so we install over it, in a mount namespace.
cat >"$work/inside.sh" <<'INSIDE'
set -eu
mount --make-rprivate /
for dir in bin sbin; do
    mount -t overlay overlay -o "lowerdir=$work/usr/$dir:/usr/$dir" "/usr/$dir"
done
mount -t fuse.scpair -o ro,disk="$work/b.img" "$work/a, b.img" "$mnt"
findmnt -n -o FSTYPE "$mnt"
jq -c '[.disks[] | .read_only]' "$mnt/.scpair/spec"
umount "$mnt"
printf '%s %s fuse.scpair block=4096,allow_other,gid=1,x-test,nofail 0 0\n' \
    "$work/b.img" "$mnt" >"$work/fstab"
mount -T "$work/fstab" "$mnt"
jq -c '[.disks[0].block, .allow_other, .gid]' "$mnt/.scpair/spec"
cat "$mnt/.scpair/pid" >"$work/pid"
umount "$mnt"
INSIDE
if [ "$(id -u)" -ne 0 ]; then
    echo "mount(8) and fstab are for root: not tried"
elif ! unshare -m true 2>/dev/null; then
    echo "no mount namespace of our own here: mount(8) and fstab are not tried"
else
    export work mnt
    unshare -m sh "$work/inside.sh" >"$work/inside" 2>"$work/err"
    equal "mount -t and fstab: exit code ($(head -n 1 "$work/err"))" 0 $?
    equal "mount -t, options, fstab" 'fuse.scpair [true,true] [4096,true,1]' "$(echo $(cat "$work/inside"))"
    check "the server ends by itself after umount(8)" gone "$(cat "$work/pid")"
fi
equal "nothing is mounted" "" "$(mounts_under_work)"
finish
