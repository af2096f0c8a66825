#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# durability.sh BUILD - what is left after kill -9, SIGTERM and unmount in the middle of writing.
set -u
. "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/disk.img"
head -c 8388608 /dev/urandom >"$work/data"

# kill -9 after fsync.
check "mount" "$scpair" mount --disk "$work/disk.img" "$mnt"
dd if="$work/data" of="$mnt/hdisk0" bs=1M seek=1 conv=notrunc,fsync 2>/dev/null
dd if="$work/data" of="$mnt/rhdisk0" bs=1M seek=20 conv=notrunc,fsync 2>/dev/null
pid=$(cat "$mnt/.scpair/pid")
kill -9 "$pid"
check "the server is dead" gone "$pid"
check "kill -9: what was fsynced on hdisk0 is there" \
    cmp -n 8388608 -i 0:1048576 "$work/data" "$work/disk.img"
check "kill -9: what was fsynced on rhdisk0 is there" \
    cmp -n 8388608 -i 0:20971520 "$work/data" "$work/disk.img"
check "umount cleans up a dead mount" "$scpair" umount "$mnt"
check "mount again after it" "$scpair" mount --disk "$work/disk.img" "$mnt"

# SIGTERM with nobody there: everything down, mount gone.
dd if="$work/data" of="$mnt/hdisk0" bs=1M seek=40 conv=notrunc 2>/dev/null
pid=$(cat "$mnt/.scpair/pid")
kill -TERM "$pid"
check "SIGTERM ends an idle server" gone "$pid"
refuse "SIGTERM: unmounted" mountpoint -q "$mnt"
check "SIGTERM: nothing lost" cmp -n 8388608 -i 0:41943040 "$work/data" "$work/disk.img"

# SIGTERM in the middle of writing, with the file open: what was acknowledged is there.
check "mount" "$scpair" mount --disk "$work/disk.img" "$mnt"
pid=$(cat "$mnt/.scpair/pid")
python3 - "$mnt/rhdisk0" >"$work/acked" <<'PY' &
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
n = 0
try:
    while True:
        os.pwrite(fd, n.to_bytes(8, "little") * 512, (n % 4096) * 4096)
        n += 1
        if n == 100:
            print("started", flush=True)
except OSError:
    print(n)
PY
writer=$!
for _ in $(seq 200); do grep -q started "$work/acked" && break; timeout 0.05 tail -f /dev/null; done
kill -TERM "$pid"
for _ in $(seq 200); do (: <"$mnt/rhdisk0") 2>/dev/null || break; timeout 0.05 tail -f /dev/null; done
kill -TERM "$pid"
check "two SIGTERMs end a busy server" gone "$pid"
wait "$writer"
refuse "busy SIGTERM: unmounted" mountpoint -q "$mnt"
acked=$(tail -n 1 "$work/acked")
cat >"$work/look.py" <<'PY'
import sys
acked = int(sys.argv[2])
with open(sys.argv[1], "rb") as f:
    for n in range(max(0, acked - 4096), acked):
        f.seek((n % 4096) * 4096)
        got = int.from_bytes(f.read(8), "little")
        # Write number acked itself may have made it, unanswered.
        if got != n and got != acked:
            sys.exit(f"block {n % 4096}: {got}, not {n}")
PY
check "busy SIGTERM: all $acked acknowledged writes are there" \
    python3 "$work/look.py" "$work/disk.img" "$acked"

# A memory map nobody synced, then umount: the kernel writes it back through us.
check "mount" "$scpair" mount --disk "$work/disk.img" "$mnt"
python3 - "$mnt/hdisk0" <<'PY'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 4096, offset=1 << 20)
m[:5] = b"dirty"
m.close()
os.close(fd)
PY
check "umount" "$scpair" umount "$mnt"
equal "umount writes a dirty memory map" dirty \
    "$(dd if="$work/disk.img" bs=1 skip=1048576 count=5 2>/dev/null)"

# In the foreground.
"$scpair" mount -f --disk "$work/disk.img" "$mnt" >"$work/out" 2>&1 &
server=$!
for _ in $(seq 200); do grep -q mounted "$work/out" && break; timeout 0.05 tail -f /dev/null; done
check "-f: mounted" mountpoint -q "$mnt"
kill -INT $server
wait $server
equal "-f: Ctrl-C ends it with exit code 0" 0 $?

# A limit on file size of whoever mounted: ENOSPC beyond it, and the server lives.
truncate -s 16M "$work/limited.img"
check "mount with a limit on file size" sh -c 'ulimit -f 8192; exec "$@"' sh \
    "$scpair" mount --disk "$work/limited.img" "$mnt"
pid=$(cat "$mnt/.scpair/pid")
write_at() { LC_ALL=C dd if=/dev/zero of="$mnt/rhdisk0" bs=4096 count=1 seek="$1" conv=notrunc,fsync; }
refuse "a write beyond the limit" write_at 3000
says "is ENOSPC" 'No space left' "$work/out"
check "the server lives" alive "$pid"
check "a write below the limit" write_at 100
check "umount" "$scpair" umount "$mnt"
finish
