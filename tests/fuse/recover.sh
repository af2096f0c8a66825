#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# recover.sh BUILD [SECONDS] - unit attentions, busy, queue full, lost completions and bus resets every few
# commands under fio --verify: no I/O error, and the flight recorder tells the story. Then a block that cannot
# be written in the middle of a spanned write: one request has the error (the checks are in recover.py).
set -u
seconds=${2:-3}
. "$(dirname "$0")/lib.sh"

need "mount" "$scpair" mount --disk ram:16M,rw_timeout=1 --disk ram:16M "$mnt"
if python3 "$here/recover.py" "$scpair" "$mnt" "$seconds"; then
    ok "recover.py"
else
    fail "recover.py"
fi
check "umount" "$scpair" umount "$mnt"
finish
