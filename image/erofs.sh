#!/bin/bash
# Packs a root tree and the agent into the read-only root file system of every microVM.
#
#   erofs.sh ROOT_TAR AGENT OUT_FILE
# ROOT_TAR: made by rootfs.sh. AGENT: the static guest_agent; it becomes /usr/lib/neurovisor/guest_agent.
# OUT_FILE: an uncompressed erofs without inline data (gVisor maps only plain files), with fixed times and UUID: its
# bytes depend on the inputs (and the version of mkfs.erofs) alone.
# Environment: NEUROVISOR_WORK_DIR (as large as the tree; OUT_FILE.work).
# As an ordinary user, fakeroot remembers the owners of files.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/debian.sh
. "$here/lib/debian.sh"
[ $# -eq 3 ] || die "usage: erofs.sh ROOT_TAR AGENT OUT_FILE"
need erofs-utils mkfs.erofs
need tar tar
if [ "$(id -u)" != 0 ]; then
  need fakeroot fakeroot
  exec fakeroot -- "${BASH_SOURCE[0]}" "$@"
fi
root_tar=$1 agent=$2 out=$3
work=${NEUROVISOR_WORK_DIR:-$out.work}
export PATH=$PATH:/usr/sbin:/sbin

rm -rf "$work"
mkdir -p "$work/root"
# The device nodes that mmdebstrap puts in /dev are not needed (devtmpfs) and an ordinary user cannot make them.
tar -xf "$root_tar" -C "$work/root" --numeric-owner --same-owner -p --exclude './dev/*'
mkdir -p "$work/root/dev/pts" "$work/root/dev/shm"
chown 0:0 "$work/root/dev/pts" "$work/root/dev/shm"
install -o 0 -g 0 -m 0755 "$agent" "$work/root/usr/lib/neurovisor/guest_agent"
rm -f "$out"
mkfs.erofs --quiet -E noinline_data -x-1 -T1735689600 -U 6e657572-6f76-4973-8f72-000000000001 "$out" "$work/root"
rm -rf "$work"
