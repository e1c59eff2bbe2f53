#!/bin/bash
# Fetches Debian's cloud kernel: as an uncompressed ELF file, with the few modules that a microVM needs.
#
#   debian.sh OUT_DIR
# OUT_DIR gets: vmlinux, modules/NAME.ko (uncompressed) and modules.list (load order), kernel (uname -r), package
# (name=version), arguments (added to the kernel's command line).
# Environment: NEUROVISOR_WORK_DIR (0.3 GB; OUT_DIR.work), NEUROVISOR_DEBIAN_MIRROR (see ../lib/debian.sh).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/debian.sh
. "$here/../lib/debian.sh"
# shellcheck source=../lib/vmlinux.sh
. "$here/../lib/vmlinux.sh"
[ $# -eq 1 ] || die "usage: debian.sh OUT_DIR"
out=$1
work=${NEUROVISOR_WORK_DIR:-$out.work}
metapackage=linux-image-cloud-amd64
# Disk, console and channel on virtio-mmio; the base and the layer above it; vsock where the host has vhost-vsock.
wanted=(virtio_mmio virtio_blk erofs overlay virtio_console vmw_vsock_virtio_transport)

need kmod modprobe depmod
need dpkg dpkg-deb
need xz-utils xz
export PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$out/modules" "$work/tree"
find_debian "$work/apt"
version=$(candidate "$work/apt" "$metapackage")
package=$(APT_CONFIG=$work/apt/apt.conf apt-cache show "$metapackage=$version" |
  sed -n 's/^Depends: .*\(linux-image-[0-9][^ ,]*\).*/\1/p' | head -n 1)
[ -n "$package" ] || die "$metapackage $version names no kernel package"
read -r deb version < <(fetch_deb "$work/apt" "$package")
say "kernel package: $package $version"

dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/tree" --exclude './usr/share/*'
[ -e "$work/tree/lib" ] || ln -s usr/lib "$work/tree/lib"
kernel=$(basename "$(ls -d "$work/tree"/lib/modules/*)")
extract_vmlinux "$work/tree/boot/vmlinuz-$kernel" "$out/vmlinux"

depmod -b "$work/tree" "$kernel"
: > "$out/modules.list"
for module in "${wanted[@]}"; do
  modprobe -d "$work/tree" -S "$kernel" --show-depends "$module" > "$work/depends" ||
    die "$package has no module $module"
  while read -r action path _; do
    [ "$action" = insmod ] || continue # built in
    name=$(basename "$path")
    name=${name%.xz} name=${name%.zst} name=${name%.gz}
    [ ! -e "$out/modules/$name" ] || continue
    case $path in
      *.xz) xz -dc "$path" ;;
      *.zst) zstd -dqc "$path" ;;
      *.gz) gzip -dc "$path" ;;
      *) cat "$path" ;;
    esac > "$out/modules/$name"
    say "$name" >> "$out/modules.list"
  done < "$work/depends"
done
say "$kernel" > "$out/kernel"
say "$package=$version" > "$out/package"
: > "$out/arguments"
rm -rf "$work"
