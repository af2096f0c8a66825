#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# short.sh BUILD - a device that says GOOD and moves less than it was asked to (the checks are in
# short.py).
set -u
. "$(dirname "$0")/lib.sh"

truncate -s 16M "$work/disk.img"
check "mount" "$scpair" mount --disk "$work/disk.img" "$mnt"
if python3 "$here/short.py" "$scpair" "$mnt" "$work/disk.img"; then ok "short.py"; else fail "short.py"; fi
check "umount" "$scpair" umount "$mnt"
finish
