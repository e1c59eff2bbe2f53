#!/bin/bash
# Builds the tuned kernel of a microVM from Debian's kernel source and tuned.config (7-14 minutes on two cores).
#
#   tuned.sh OUT_DIR CACHE_DIR
# OUT_DIR gets: vmlinux (stripped ELF with the PVH note), kernel (one line: uname -r), package (name=version), arguments.
# A result is kept in CACHE_DIR/tuned-<key> and used again while the key is the same: a hash of the source's version,
# the options of tuned.config, the compiler's version, and `revision` below.
# Environment: NEUROVISOR_JOBS (compile jobs; all CPUs), NEUROVISOR_WORK_DIR (3 GB while building; OUT_DIR.work),
# NEUROVISOR_DEBIAN_MIRROR (see ../lib/debian.sh).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/debian.sh
. "$here/../lib/debian.sh"
[ $# -eq 2 ] || die "usage: tuned.sh OUT_DIR CACHE_DIR"
out=$1 cache=$2
work=${NEUROVISOR_WORK_DIR:-$out.work}
jobs=${NEUROVISOR_JOBS:-$(nproc)}
source_package=linux-source-6.12
revision=1 # raise it when the steps below change what is built

check_tools() {
  local missing=() pair
  for pair in gcc:gcc make:make flex:flex bison:bison bc:bc xz:xz-utils strip:binutils perl:perl dpkg-deb:dpkg; do
    command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}")
  done
  if command -v gcc > /dev/null; then
    for pair in libelf.h:libelf-dev openssl/evp.h:libssl-dev; do
      printf '#include <%s>\n' "${pair%%:*}" | gcc -E - > /dev/null 2>&1 || missing+=("${pair#*:}")
    done
  fi
  [ ${#missing[@]} -eq 0 ] || die "building a kernel needs packages that are not installed: ${missing[*]}" \
    "apt-get install ${missing[*]}"
}

# Every line of the fragment must hold in the configured kernel: a renamed or unmet option must not pass in silence.
check_config() {
  local config=$1 wrong=0 line name value
  while IFS= read -r line; do
    case $line in CONFIG_*) ;; *) continue ;; esac
    name=${line%%=*} value=${line#*=}
    if [ "$value" = n ]; then
      ! grep -q "^$name=" "$config" || { say "option $name is set, wanted off" >&2; wrong=1; }
    else
      grep -qxF "$line" "$config" || { say "option $line is not met" >&2; wrong=1; }
    fi
  done < "$here/tuned.config"
  [ $wrong = 0 ] || die "tuned.config does not fit this kernel source"
}

check_tools
mkdir -p "$out" "$work" "$cache"
find_debian "$work/apt"
version=$(candidate "$work/apt" "$source_package")
key=$( { say "$revision $version"; gcc --version | head -n 1; grep '^CONFIG_' "$here/tuned.config"; } | sha256sum | cut -c1-32)
result=$cache/tuned-$key

if [ ! -d "$result" ]; then
  read -r deb version < <(fetch_deb "$work/apt" "$source_package")
  say "unpacking $source_package $version"
  rm -rf "$work/source" "$work/build"
  mkdir -p "$work/source" "$work/build"
  dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$source_package.tar.xz" | tar -xJ -C "$work/source" --strip-components=1
  # The same bytes from the same source, whoever builds.
  export KBUILD_BUILD_USER=neurovisor KBUILD_BUILD_HOST=neurovisor KBUILD_BUILD_TIMESTAMP='1970-01-01 00:00:00 UTC'
  make -s -C "$work/source" O="$work/build" KCONFIG_ALLCONFIG="$here/tuned.config" allnoconfig > "$work/config.log" 2>&1 ||
    { tail -n 20 "$work/config.log" >&2; die "the kernel could not be configured"; }
  check_config "$work/build/.config"
  say "compiling with $jobs jobs"
  make -C "$work/source" O="$work/build" -j"$jobs" vmlinux
  mkdir -p "$work/result"
  strip -s -o "$work/result/vmlinux" "$work/build/vmlinux"
  make -s -C "$work/source" O="$work/build" kernelrelease | tail -n 1 > "$work/result/kernel"
  say "$source_package=$version" > "$work/result/package"
  cp "$work/build/.config" "$work/result/config"
  chmod 0644 "$work/result"/*
  mv -T "$work/result" "$result" # complete or absent
else
  say "tuned kernel of $version: taken from the cache"
fi
cp "$result/vmlinux" "$result/kernel" "$result/package" "$out/"
: > "$out/arguments"
rm -rf "$work"
