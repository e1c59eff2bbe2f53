#!/bin/bash
# Packs the initramfs: /init, the kernel's modules, and /modules.list (their paths in load order).
#
#   initramfs.sh PREINIT KERNEL_DIR OUT_FILE
# PREINIT: the static guest_preinit. KERNEL_DIR: made by kernel/debian.sh. OUT_FILE: an uncompressed newc cpio whose
# bytes depend on the inputs alone.
# Environment: NEUROVISOR_WORK_DIR (a few MB; OUT_FILE.work).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/debian.sh
. "$here/lib/debian.sh"
[ $# -eq 3 ] || die "usage: initramfs.sh PREINIT KERNEL_DIR OUT_FILE"
preinit=$1 kernel=$2 out=$3
work=${NEUROVISOR_WORK_DIR:-$out.work}
need cpio cpio

rm -rf "$work"
mkdir -p "$work"/{dev,proc,sys,root,modules}
install -m 0755 "$preinit" "$work/init"
: > "$work/modules.list"
while IFS= read -r module; do
  install -m 0644 "$kernel/modules/$module" "$work/modules/$module"
  say "/modules/$module" >> "$work/modules.list"
done < "$kernel/modules.list"
find "$work" -exec touch -h -d @1735689600 {} +
find "$work" -type d -exec chmod 0755 {} +
chmod 0644 "$work/modules.list"
# 512-byte padding and renumbered inodes: the same input gives the same bytes.
(cd "$work" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible -R 0:0) > "$out"
rm -rf "$work"
