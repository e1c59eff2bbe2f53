#!/bin/bash
# Makes the root tree of an image from Debian packages.
#
#   rootfs.sh RECIPE_DIR OUT_DIR
# RECIPE_DIR holds: packages, languages. OUT_DIR gets: root.tar (owners and modes as in the image), packages (name
# version), languages (name version), release (id codename version). Each is complete or absent.
# Environment: NEUROVISOR_WORK_DIR (0.5 GB; OUT_DIR.work), NEUROVISOR_DEBIAN_MIRROR (see lib/debian.sh).
# As root: mmdebstrap --mode=root; else --mode=unshare, which needs a range of subordinate uids.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/debian.sh
. "$here/lib/debian.sh"
[ $# -eq 2 ] || die "usage: rootfs.sh RECIPE_DIR OUT_DIR"
recipe=$1 out=$2
work=${NEUROVISOR_WORK_DIR:-$out.work}

need mmdebstrap mmdebstrap
need tar tar
wrapper=() mode=root
if [ "$(id -u)" = 0 ]; then
  # mmdebstrap mounts /proc and the like in the tree; in a mount namespace a killed build leaves no mount behind.
  if unshare --mount true 2> /dev/null; then wrapper=(unshare --mount --propagation private); fi
  export TMPDIR=$work/tmp
else
  mode=unshare
  need uidmap newuidmap newgidmap
  grep -q "^\($(id -un)\|$(id -u)\):" /etc/subuid 2> /dev/null ||
    die "user $(id -un) has no subordinate uids in /etc/subuid" \
      "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
  unshare --user true 2> /dev/null ||
    die "this kernel does not let user $(id -un) make user namespaces" \
      "as root: sysctl -w kernel.unprivileged_userns_clone=1, or build the image as root"
fi

mkdir -p "$out" "$work/tmp"
find_debian "$work/apt"
packages=$(awk '/^[^#]/ { print $1 }' "$recipe/packages" | paste -sd, -)
NV_LANGUAGES=$(cat "$recipe/languages") NV_CUSTOMIZE=$(cat "$here/lib/customize.sh")
export NV_LANGUAGES NV_CUSTOMIZE SOURCE_DATE_EPOCH=1735689600

# No pseudo-terminal: dpkg would leave the session that the builder ends when it is stopped.
options=('--aptopt=Dpkg::Use-Pty "0"')
while IFS= read -r option; do options+=("--aptopt=$option"); done < <(grep '^Acquire::' "$work/apt/apt.conf")
for path in man doc info locale lintian bash-completion; do options+=("--dpkgopt=path-exclude=/usr/share/$path/*"); done
say "packages: Debian essential, ${packages//,/ }"
# shellcheck disable=SC2016  # expanded by the hook's shell
"${wrapper[@]}" mmdebstrap --mode="$mode" --variant=essential --architectures=amd64 --format=tar --include="$packages" \
  --keyring="$KEYRING" "${options[@]}" --customize-hook='eval "$NV_CUSTOMIZE"' \
  "$SUITE" "$work/root.tar" - < "$work/apt/sources.list"

read_file() { tar -xOf "$work/root.tar" "./$1"; }
read_file var/lib/dpkg/status | awk '/^Package: / { name = $2 } /^Version: / { print name, $2 }' | LC_ALL=C sort > "$out/packages"
read_file usr/lib/neurovisor/languages > "$out/languages"
say "debian $SUITE $(read_file etc/debian_version)" > "$out/release"
if [ ! -s "$out/packages" ] || [ ! -s "$out/languages" ]; then die "the root tree has no package list or no languages"; fi
mv "$work/root.tar" "$out/root.tar"
rm -rf "$work"
