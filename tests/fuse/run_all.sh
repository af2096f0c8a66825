#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run_all.sh BUILD - every script of this folder, one after the other. 77 when FUSE is missing.
set -u
build=${1:?usage: $0 BUILD-DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
rc=0
for script in smoke adapters contract durability badinput \
    filesystem umount ordinary stop daemon short service fuzz cmdline command plug trace silent recover; do
    echo "== $script"
    "$here/$script.sh" "$build"
    one=$?
    [ $one -eq 77 ] && exit 77
    [ $one -ne 0 ] && rc=1
done
exit $rc
