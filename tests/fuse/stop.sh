#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# stop.sh BUILD - SIGTERM: who uses the mount may finish, what is on its disks is kept, and nothing
# but our own mount is unmounted.
set -u
. "$(dirname "$0")/lib.sh"
user_begin
PATH=$PATH:/sbin:/usr/sbin

now_ms() { date +%s%3N; }
# refusing: wait until a stop has begun: devices are not opened any more.
refusing() {
    for _ in $(seq 200); do
        (: <"$mnt/rhdisk0") 2>/dev/null || return 0
        timeout 0.05 tail -f /dev/null
    done
    return 1
}
start() {
    check "mount $*" "$scpair" mount "$@" --disk "$work/disk.img" "$mnt"
    pid=$(cat "$mnt/.scpair/pid")
}
truncate -s 64M "$work/disk.img"

# Nobody there.
start
before=$(now_ms)
kill -TERM "$pid"
check "an idle server ends" gone "$pid"
check "at once" [ $(($(now_ms) - before)) -lt 5000 ]
refuse "unmounted" mountpoint -q "$mnt"

# A user may finish.
start
exec 9<>"$mnt/rhdisk0"
kill -TERM "$pid"
check "a stop refuses to open devices" refusing
says "and says so" 'shutdown' "$(cat "$mnt/hdisk0" 2>"$work/err"; echo "$work/err")"
check "reports can still be read" "$scpair" stat "$mnt"
check "an open file still writes" sh -c 'dd if=/dev/zero bs=4096 count=1 conv=fsync >&9'
check "the server waits" alive "$pid"
check "and is still mounted" mountpoint -q "$mnt"
exec 9<&-
check "it ends after the last close" gone "$pid"
refuse "unmounted" mountpoint -q "$mnt"

# A user who does not finish: the stated time, or a second signal.
for how in time signal; do
    start --stop-timeout "$([ $how = time ] && echo 1 || echo 600)"
    exec 9<>"$mnt/rhdisk0"
    before=$(now_ms)
    kill -TERM "$pid"
    check "a stop begins" refusing
    [ $how = signal ] && kill -TERM "$pid"
    check "a stop ends by $how" gone "$pid"
    took=$(($(now_ms) - before))
    [ $how = time ] && check "not before its time ($took ms)" [ $took -ge 1000 ]
    check "not long after it ($took ms)" [ $took -lt 15000 ]
    refuse "unmounted" mountpoint -q "$mnt"
    refuse "whoever held on gets an error" dd bs=4096 count=1 of=/dev/null <&9
    exec 9<&-
done

# In the foreground, Ctrl-C is the same signal, and the reason is on the terminal.
"$scpair" mount -f --disk "$work/disk.img" "$mnt" >"$work/log" 2>&1 &
server=$!
for _ in $(seq 200); do grep -q mounted "$work/log" && break; timeout 0.05 tail -f /dev/null; done
exec 9<>"$mnt/rhdisk0"
kill -INT $server
for _ in $(seq 200); do grep -q 'in use' "$work/log" && break; timeout 0.05 tail -f /dev/null; done
says "-f says what it waits for" 'stopping; it is in use' "$work/log"
kill -INT $server
wait $server
equal "-f: the second Ctrl-C ends it, exit code" 0 $?
exec 9<&-

if [ "$(id -u)" -eq 0 ]; then
    # A copy of the mount keeps the connection after our unmount; who waits for it says so, once.
    mkdir "$work/copy"
    for how in bind namespace; do
        "$scpair" mount -f --disk "$work/disk.img" "$mnt" >"$work/log" 2>&1 &
        server=$!
        for _ in $(seq 200); do grep -q mounted "$work/log" && break; timeout 0.05 tail -f /dev/null; done
        holder=
        if [ $how = bind ]; then
            mount --bind "$mnt" "$work/copy"
        else
            : >"$work/held"
            unshare -m --propagation private sh -c 'echo there >"$1"; exec timeout 60 tail -f /dev/null' - \
                "$work/held" 2>"$work/err" &
            holder=$!
            for _ in $(seq 40); do grep -q there "$work/held" && break; timeout 0.05 tail -f /dev/null; done
            if ! grep -q there "$work/held"; then
                echo "no mount namespace here: $(cat "$work/err")"
                "$scpair" umount "$mnt"
                break
            fi
        fi
        kill -TERM $server
        for _ in $(seq 200); do
            grep -q 'still connected' "$work/log" && break
            timeout 0.05 tail -f /dev/null
        done
        timeout 1 tail -f /dev/null
        refuse "copy by $how: unmounted" mountpoint -q "$mnt"
        check "copy by $how: the server waits" alive $server
        equal "copy by $how: and says once what for" 1 "$(grep -c 'still connected' "$work/log")"
        if [ $how = bind ]; then
            says "and where it is" "mounted on $work/copy as well" "$work/log"
            umount "$work/copy"
        else
            says "and what it may be" 'another mount namespace' "$work/log"
            kill $holder
            wait $holder 2>/dev/null
        fi
        check "copy by $how: then the server ends" gone $server
        wait $server
        equal "copy by $how: exit code" 0 $?
    done
    # Something else mounted over it stays, whatever becomes of us.
    for how in waits forced; do
        start --stop-timeout "$([ $how = waits ] && echo 600 || echo 0)"
        mount -t tmpfs none "$mnt"
        echo kept >"$mnt/file"
        kill -TERM "$pid"
        if [ $how = waits ]; then
            timeout 1 tail -f /dev/null
            check "covered: the server waits" alive "$pid"
            equal "covered: the file system over it is untouched" kept "$(cat "$mnt/file")"
            umount "$mnt"
            check "covered: it ends when it can" gone "$pid"
            refuse "unmounted" mountpoint -q "$mnt"
        else
            check "covered, forced: it ends" gone "$pid"
            equal "covered, forced: the file system over it is untouched" kept "$(cat "$mnt/file")"
            umount "$mnt"
            check "covered, forced: what is left can be unmounted" "$scpair" umount "$mnt"
        fi
    done
    # A file system on a disk, with data it has not written.
    mkdir "$work/fs"
    head -c 5000000 /dev/urandom >"$work/data"
    for how in finishes forced; do
        start --stop-timeout 600
        mkfs.ext4 -q -F "$mnt/rhdisk0"
        if ! mount -o loop "$mnt/hdisk0" "$work/fs" 2>"$work/err"; then
            echo "no loop device here: $(cat "$work/err")"
            "$scpair" umount "$mnt"
            break
        fi
        cp "$work/data" "$work/fs/data"
        kill -TERM "$pid"
        check "loop-mounted: a stop begins" refusing
        check "loop-mounted: the server waits" alive "$pid"
        if [ $how = finishes ]; then
            cp "$work/data" "$work/fs/more"
            check "loop-mounted: the file system is unmounted" umount "$work/fs"
            check "loop-mounted: the server ends" gone "$pid"
            check "loop-mounted: the file system is clean" e2fsck -fn "$work/disk.img"
            debugfs -R "dump more $work/back" "$work/disk.img" 2>/dev/null
            check "loop-mounted: what was written during the stop is there" cmp "$work/data" "$work/back"
        else
            kill -TERM "$pid"
            check "loop-mounted, forced: the server ends" gone "$pid"
            umount "$work/fs" 2>/dev/null || umount -l "$work/fs"
            e2fsck -fy "$work/disk.img" >/dev/null 2>&1
        fi
        debugfs -R "dump data $work/back" "$work/disk.img" 2>/dev/null
        check "loop-mounted, $how: what nobody had synced is there" cmp "$work/data" "$work/back"
        refuse "unmounted" mountpoint -q "$mnt"
    done
fi

# A server in the place of a shell has its children, and does not wait for them.
sh -c '(exec >/dev/null 2>&1; exec timeout 60 tail -f /dev/null) & echo $! >"$1/child"
    exec "$2" mount -f --disk "$1/disk.img" "$1/mnt"' - "$work" "$scpair" >/dev/null 2>&1 &
server=$!
for _ in $(seq 200); do mountpoint -q "$mnt" && break; timeout 0.05 tail -f /dev/null; done
kill -TERM "$server"
check "a server that was a shell ends" gone "$server"
check "before a child of that shell" alive "$(cat "$work/child")"
kill "$(cat "$work/child")"
wait "$server"
equal "exit code" 0 $?

# An image that another server still has.
start
mkdir "$work/second"
"$scpair" mount -f --wait 600 --disk "$work/disk.img" "$work/second" >/dev/null 2>&1 &
server=$!
timeout 0.5 tail -f /dev/null
check "a mount waits for its image" alive "$server"
kill -TERM "$server"
check "a stop ends the wait" gone "$server"
wait "$server"
equal "and the mount fails" 1 $?
check "nothing happens to the other" mountpoint -q "$mnt"
"$scpair" mount --wait 600 --disk "$work/disk.img" "$work/second" >/dev/null 2>&1 &
server=$!
timeout 0.5 tail -f /dev/null
check "umount of the other" "$scpair" umount "$mnt"
wait "$server"
equal "then the mount works" 0 $?
check "umount" "$scpair" umount "$work/second"
start
"$scpair" mount --wait 600 --disk "$work/disk.img" "$work/second" >/dev/null 2>&1 &
server=$!
timeout 0.5 tail -f /dev/null
kill -KILL "$server"
wait "$server" 2>/dev/null
timeout 0.5 tail -f /dev/null
check "umount of the other" "$scpair" umount "$mnt"
timeout 0.5 tail -f /dev/null
refuse "a mount whose caller has gone is given up" mountpoint -q "$work/second"

# A caller that goes while the first commands to a slow disk are under way. Who looks at the mount
# itself would wait for it.
"$scpair" mount --disk ram:1M,latency=100000 "$mnt" >/dev/null 2>&1 &
server=$!
for _ in $(seq 200); do [ -n "$(mounts_under_work)" ] && break; timeout 0.05 tail -f /dev/null; done
equal "a slow disk's mount is there" "$mnt" "$(mounts_under_work)"
check "but not ready" alive "$server"
kill -KILL "$server"
wait "$server" 2>/dev/null
for _ in $(seq 200); do [ -n "$(mounts_under_work)" ] || break; timeout 0.05 tail -f /dev/null; done
equal "when its caller has gone it goes, too" "" "$(mounts_under_work)"

# A user's own server, which unmounts with fusermount3.
as_user truncate -s 16M "$work/user/disk.img"
as_user mkdir "$work/user/mnt"
check "mount by the user" as_user "$scpair" mount --stop-timeout 600 --disk "$work/user/disk.img" \
    "$work/user/mnt"
pid=$(as_user cat "$work/user/mnt/.scpair/pid")
mkfifo "$work/hold"
as_user sh -c 'exec 9<>"$1"; echo open; read -r line; (: <"$1") || echo refused; read -r line;
    dd bs=4096 count=1 conv=fsync if=/dev/zero >&9 && echo written' - \
    "$work/user/mnt/hdisk0" <"$work/hold" >"$work/held" 2>/dev/null &
holder=$!
exec 8>"$work/hold"
for _ in $(seq 200); do grep -q open "$work/held" && break; timeout 0.05 tail -f /dev/null; done
as_user kill -TERM "$pid"
timeout 0.5 tail -f /dev/null
echo >&8
for _ in $(seq 200); do grep -q refused "$work/held" && break; timeout 0.05 tail -f /dev/null; done
check "user: the server waits for its user" alive "$pid"
echo >&8
exec 8>&-
wait $holder
check "user: the server ends" gone "$pid"
equal "user: new opens refused, the open file written" "open refused written" "$(echo $(cat "$work/held"))"
equal "nothing is mounted" "" "$(mounts_under_work)"
finish
