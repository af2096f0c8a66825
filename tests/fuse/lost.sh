#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# lost.sh BUILD - a write that was acknowledged and lost: which descriptors hear of it (the checks are in
# lost.py).
set -u
. "$(dirname "$0")/lib.sh"

truncate -s 16M "$work/disk.img"
check "mount" "$scpair" mount --disk "$work/disk.img" "$mnt"
if python3 "$here/lost.py" "$scpair" "$mnt"; then ok "lost.py"; else fail "lost.py"; fi
check "umount" "$scpair" umount "$mnt"
finish
