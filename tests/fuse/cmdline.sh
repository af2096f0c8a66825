#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# cmdline.sh BUILD [COUNT [SEED]] - odd command lines beside a running server (the checks are in
# cmdline.py).
set -u
. "$(dirname "$0")/lib.sh"

truncate -s 16M "$work/a.img" "$work/b.img"
check "mount" "$scpair" mount --disk "$work/a.img" "$mnt"
pid=$(cat "$mnt/.scpair/pid")
check "odd command lines" python3 "$here/cmdline.py" "$scpair" "$mnt" "$work" "${2:-320}" ${3:+"$3"}
sed 's/^/     | /' "$work/out" | tail -n 3
check "the server lives" alive "$pid"
check "the mount answers" "$scpair" stat "$mnt"
check "umount" "$scpair" umount "$mnt"
equal "nothing is mounted" "" "$(mounts_under_work)"
finish
