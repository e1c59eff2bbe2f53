#!/bin/bash
# Makes vmlinux, initrd.cpio and rootfs.erofs by hand, without the image store: for work on the recipes, guest and VMM.
#
#   make.sh OUT_DIR AGENT PREINIT [RECIPE]
# What is in OUT_DIR/work already (root tree, kernel) is used again; remove it to make it anew.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 3 ] || { sed -n '2,5p' "${BASH_SOURCE[0]}" >&2; exit 2; }
out=$1 agent=$2 preinit=$3 recipe=${4:-mini}
mkdir -p "$out/work"
[ -e "$out/work/$recipe/root.tar" ] || "$here/rootfs.sh" "$here/recipes/$recipe" "$out/work/$recipe"
[ -e "$out/work/kernel/package" ] || "$here/kernel/debian.sh" "$out/work/kernel"
cp "$out/work/kernel/vmlinux" "$out/vmlinux"
"$here/initramfs.sh" "$preinit" "$out/work/kernel" "$out/initrd.cpio"
"$here/erofs.sh" "$out/work/$recipe/root.tar" "$agent" "$out/rootfs.erofs"
ls -l "$out/vmlinux" "$out/initrd.cpio" "$out/rootfs.erofs"
