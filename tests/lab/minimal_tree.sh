#!/usr/bin/env bash
# quickstart.sh as a new user meets it: a Debian 12 tree with nothing but the base system, a clone of this repository,
# root, no compiler, no ccache. Prints how long the first and the second run take. Needs root and mmdebstrap.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tree=$(mktemp -d "${TMPDIR:-/var/tmp}/nv-minimal.XXXXXX")
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do [[ ! -s $file ]] || sources+=("$file"); done

clean() {
  for mount in dev proc sys; do umount -R -l "$tree/$mount" 2>/dev/null || true; done
  rm -rf --one-file-system "$tree"
}
trap clean EXIT

mmdebstrap --quiet --variant=minbase bookworm "$tree" "${sources[@]}"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
mount --make-rslave "$tree/dev"
mount -t sysfs sys "$tree/sys"
[[ ! -e /etc/resolv.conf ]] || cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
mkdir -p "$tree/src"
git -C "$repo" archive HEAD | tar -C "$tree/src" -x

enter() { chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@" </dev/null; }

begin=$SECONDS
enter /src/scripts/quickstart.sh
echo "quickstart from nothing: $((SECONDS - begin)) s"
begin=$SECONDS
enter /src/scripts/quickstart.sh
again=$((SECONDS - begin))
echo "quickstart again: $again s"
((again <= 15)) || { echo "error: the second run took more than 15 s" >&2; exit 1; }
