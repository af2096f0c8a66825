#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""contract.py MOUNT IMAGE - what read, write, fallocate and lseek promise on a mounted disk.

Run by contract.sh, which makes the mount (--max-transfer 131072, one disk of 64 MiB). One "ok" or
"FAIL" line per check; exit code 1 when one failed.
"""
import ctypes
import errno
import json
import mmap
import os
import sys

MIB = 1 << 20
SIZE = 64 * MIB
KEEP, PUNCH, ZERO, COLLAPSE = 1, 2, 16, 8
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]

mount, image = sys.argv[1:3]
block = int(sys.argv[3]) if len(sys.argv) > 3 else 512
bad = 0


def report(name, good, detail=""):
    global bad
    bad += not good
    print(("ok   " if good else "FAIL ") + name + ("" if good else f": {detail}"))


def expect(name, want, func, *args):
    """func(*args) gives `want`, or fails with the errno `want` when that is negative."""
    try:
        got = func(*args)
    except OSError as e:
        got = -e.errno
    names = {-k: "-" + v for k, v in errno.errorcode.items()}
    report(name, got == want, f"wanted {names.get(want, want)}, got {names.get(got, got)}")


def stat(field):
    with open(f"{mount}/.scpair/stat", encoding="ascii") as f:
        return json.load(f)["disks"][0][field]


def fallocate(fd, mode, off, length):
    if libc.fallocate(fd, mode, off, length) < 0:
        raise OSError(ctypes.get_errno(), "fallocate")
    return 0


def raw_reads(fd):
    size = lambda n, off: len(os.pread(fd, n, off))
    expect("raw: a 100-byte read is EINVAL", -errno.EINVAL, size, 100, 0)
    expect("raw: offset 7 is EINVAL", -errno.EINVAL, size, block, 7)
    expect("raw: half a sector at the end of one is EINVAL", -errno.EINVAL, size, block + 256, 0)
    # Without O_DIRECT a disk of large blocks takes multiples of 512 (docs/decisions/0006); with it, blocks.
    half = block // 2 if block > 512 else -errno.EINVAL
    expect("raw: half a block", half, size, block // 2, 0)
    direct = os.open(f"{mount}/rhdisk0", os.O_RDONLY | os.O_DIRECT)
    expect("raw, O_DIRECT: half a block is EINVAL", -errno.EINVAL,
           lambda: len(os.pread(direct, block // 2, 0)))
    os.close(direct)
    expect("raw: one block", block, size, block, block)
    expect("raw: at the end 0 bytes", 0, size, block, SIZE)
    expect("raw: past the end ENXIO", -errno.ENXIO, size, block, SIZE + block)
    expect("raw: across the end what there is", block, size, 4 * block, SIZE - block)
    # Wherever in a page the caller's memory begins: the kernel cuts such a request inside blocks.
    memory = mmap.mmap(-1, 8 * MIB + 4096)
    whole = None
    for skip in (0, 16, 800, 2000, 4095):
        view = memoryview(memory)[skip:skip + 8 * MIB]
        before = stat("commands")
        expect(f"raw: 8 MiB in one read(2), memory at {skip}", 8 * MIB, os.preadv, fd, [view], 0)
        after = stat("commands")
        report("raw: and that was 64 commands", after - before == 64, after - before)
        whole = whole or bytes(view)
        report("raw: the same bytes", bytes(view) == whole)
        view.release()


def raw_rule():
    """The one rule of rhdisk0: whole blocks; without O_DIRECT also multiples of 512."""
    memory = mmap.mmap(-1, MIB)
    for flag, unit in ((0, 512), (os.O_DIRECT, block)):
        fd = os.open(f"{mount}/rhdisk0", os.O_RDWR | flag)
        odd = []
        for write in (False, True):
            for size in (100, 512, 1024, 4096, 4608, 65536, 66048, 131072 + 512):
                for off in (0, 256, 512, 1024, 4096, 4096 + 512, 8192):
                    for skip in (0, 512):
                        want = size if size % unit == 0 and off % unit == 0 else -errno.EINVAL
                        view = memoryview(memory)[skip:skip + size]
                        try:
                            got = (os.pwritev if write else os.preadv)(fd, [view], 24 * MIB + off)
                        except OSError as e:
                            got = -e.errno
                        view.release()
                        if got != want:
                            odd.append((write, size, off, skip, got))
        report(f"raw: multiples of {unit} and nothing else, {'O_DIRECT' if flag else 'without O_DIRECT'}",
               not odd, odd)
        os.close(fd)


def raw_writes(fd):
    expect("raw: a 100-byte write is EINVAL", -errno.EINVAL, os.pwrite, fd, b"x" * 100, 0)
    expect("raw: a write at offset 7 is EINVAL", -errno.EINVAL, os.pwrite, fd, b"x" * block, 7)
    expect("raw: a write at the end is ENXIO", -errno.ENXIO, os.pwrite, fd, b"x" * block, SIZE)
    expect("raw: a write across the end is cut", block, os.pwrite, fd, b"x" * 4 * block, SIZE - block)
    data = os.urandom(MIB)
    expect("raw: 1 MiB", MIB, os.pwrite, fd, data, 4 * MIB)
    with open(image, "rb") as f:
        f.seek(4 * MIB)
        report("raw: it is in the image", f.read(MIB) == data)
    memory = mmap.mmap(-1, 4 * MIB + 4096)
    memory[:] = os.urandom(4 * MIB + 4096)
    for skip in (16, 800, 4095):
        view = memoryview(memory)[skip:skip + 3 * MIB]
        expect(f"raw: 3 MiB in one write(2), memory at {skip}", 3 * MIB, os.pwritev, fd, [view], 8 * MIB)
        report("raw: they come back", os.pread(fd, 3 * MIB, 8 * MIB) == bytes(view))
        view.release()
    report("raw: and comes back", os.pread(fd, MIB, 4 * MIB) == data)


def sync_flags():
    for name, flags in (("O_SYNC", os.O_SYNC), ("O_DSYNC", os.O_DSYNC)):
        for node in ("rhdisk0", "hdisk0"):
            fd = os.open(f"{mount}/{node}", os.O_RDWR | flags)
            expect(f"{node}: a write with {name}", 4096, os.pwrite, fd, b"s" * 4096, 8 * MIB)
            os.close(fd)
    fd = os.open(f"{mount}/rhdisk0", os.O_RDWR)
    expect("rhdisk0: fsync", None, os.fsync, fd)
    expect("rhdisk0: fdatasync", None, os.fdatasync, fd)
    expect("rhdisk0: a write with RWF_DSYNC", 4096, os.pwritev, fd, [b"d" * 4096], 8 * MIB, os.RWF_DSYNC)
    os.close(fd)


def direct():
    page = mmap.mmap(-1, MIB)
    page.write(b"\xa5" * MIB)
    for node in ("rhdisk0", "hdisk0"):
        fd = os.open(f"{mount}/{node}", os.O_RDWR | os.O_DIRECT)
        expect(f"{node}: O_DIRECT write", MIB, os.pwritev, fd, [page], 16 * MIB)
        expect(f"{node}: O_DIRECT read", MIB, os.preadv, fd, [page], 16 * MIB)
        report(f"{node}: the same bytes", page[:] == b"\xa5" * MIB)
        os.close(fd)


def block_any_offset():
    fd = os.open(f"{mount}/hdisk0", os.O_RDWR)
    os.pwrite(fd, b"." * 65536, 20 * MIB)
    expect("hdisk0: 3 bytes at an odd place", 3, os.pwrite, fd, b"abc", 20 * MIB + 4095)
    os.fsync(fd)
    raw = os.open(f"{mount}/rhdisk0", os.O_RDONLY)
    want = b"." * 4095 + b"abc" + b"." * (8192 - 4098)
    report("hdisk0: changed nothing else", os.pread(raw, 8192, 20 * MIB) == want)
    os.close(raw)
    expect("hdisk0: at the end 0 bytes", 0, lambda: len(os.pread(fd, 10, SIZE)))
    expect("hdisk0: across the end what there is", 5, lambda: len(os.pread(fd, 10, SIZE - 5)))
    with mmap.mmap(fd, 65536, offset=20 * MIB) as m:
        m[100:103] = b"map"
        m.flush()
    raw = os.open(f"{mount}/rhdisk0", os.O_RDONLY)
    report("hdisk0: a memory map reaches the disk", os.pread(raw, 4096, 20 * MIB)[100:103] == b"map")
    os.close(raw)
    os.close(fd)


def coherence():
    raw = os.open(f"{mount}/rhdisk0", os.O_RDWR)
    fd = os.open(f"{mount}/hdisk0", os.O_RDONLY)
    os.pread(fd, 4096, 24 * MIB)
    os.close(fd)
    os.pwrite(raw, b"n" * 4096, 24 * MIB)
    fd = os.open(f"{mount}/hdisk0", os.O_RDONLY)
    report("a fresh open of hdisk0 sees what rhdisk0 wrote", os.pread(fd, 4096, 24 * MIB) == b"n" * 4096)
    os.close(fd)
    os.close(raw)


def holes():
    base = 32 * MIB
    for node in ("rhdisk0", "hdisk0"):
        fd = os.open(f"{mount}/{node}", os.O_RDWR)
        os.pwrite(fd, b"h" * MIB, base)
        expect(f"{node}: punch a hole", 0, fallocate, fd, PUNCH | KEEP, base, MIB // 2)
        report(f"{node}: it reads as zeroes", os.pread(fd, MIB, base) == bytes(MIB // 2) + b"h" * (MIB // 2))
        expect(f"{node}: zero a range", 0, fallocate, fd, ZERO, base + MIB // 2, MIB // 4)
        report(f"{node}: zeroes there, nothing else",
               os.pread(fd, MIB, base) == bytes(MIB * 3 // 4) + b"h" * (MIB // 4))
        expect(f"{node}: preallocation", 0, fallocate, fd, 0, base, MIB)
        expect(f"{node}: preallocation past the end", -errno.ENOSPC, fallocate, fd, 0, SIZE - MIB, 2 * MIB)
        expect(f"{node}: collapse is not offered", -errno.EOPNOTSUPP, fallocate, fd, COLLAPSE, 0, 4096)
        expect(f"{node}: ftruncate", -errno.EINVAL, os.ftruncate, fd, 4096)
        expect(f"{node}: ftruncate to its own size", None, os.ftruncate, fd, SIZE)
        os.close(fd)
    raw = os.open(f"{mount}/rhdisk0", os.O_RDWR)
    expect("rhdisk0: half a block cannot be punched", -errno.EINVAL,
           fallocate, raw, PUNCH | KEEP, base + 7, MIB)
    os.close(raw)
    fd = os.open(f"{mount}/hdisk0", os.O_RDWR)
    os.pwrite(fd, b"e" * 65536, base)
    expect("hdisk0: any range can be punched", 0, fallocate, fd, PUNCH | KEEP, base + 1000, 20001)
    want = b"e" * 1000 + bytes(20001) + b"e" * (65536 - 21001)
    report("hdisk0: exactly those bytes are zero", os.pread(fd, 65536, base) == want)
    expect("hdisk0: a range inside one block", 0, fallocate, fd, PUNCH | KEEP, base + 30001, 99)
    report("hdisk0: exactly those", os.pread(fd, 200, base + 29950) == b"e" * 51 + bytes(99) + b"e" * 50)
    os.close(fd)


def seek():
    """The image is sparse: data only where something was written."""
    fd = os.open(f"{mount}/rhdisk0", os.O_RDWR)
    fallocate(fd, PUNCH | KEEP, 40 * MIB, 16 * MIB)
    os.pwrite(fd, b"k" * MIB, 48 * MIB)
    os.fsync(fd)
    expect("lseek: the next data", 48 * MIB, os.lseek, fd, 41 * MIB, os.SEEK_DATA)
    expect("lseek: the hole behind it", 49 * MIB, os.lseek, fd, 48 * MIB, os.SEEK_HOLE)
    expect("lseek: a hole where we are", 50 * MIB, os.lseek, fd, 50 * MIB, os.SEEK_HOLE)
    expect("lseek: past the end", -errno.ENXIO, os.lseek, fd, SIZE, os.SEEK_DATA)
    expect("lseek: from the end", SIZE, os.lseek, fd, 0, os.SEEK_END)
    os.close(fd)


def main():
    raw = os.open(f"{mount}/rhdisk0", os.O_RDWR)
    os.pwrite(raw, os.urandom(8 * MIB), 0)
    raw_reads(raw)
    raw_writes(raw)
    os.close(raw)
    raw_rule()
    sync_flags()
    direct()
    block_any_offset()
    coherence()
    holes()
    seek()
    return 1 if bad else 0


sys.exit(main())
