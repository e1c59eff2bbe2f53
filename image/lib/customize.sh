# shellcheck shell=sh
# Finishes a new root tree. mmdebstrap runs this text with sh and the tree's path as $1 (inside the user namespace when
# the builder is not root; hence text, not a file: the namespace's root may not read the builder's home).
# Environment: NV_LANGUAGES (the recipe's languages file).
set -eu
root=$1

# Every mount point: a read-only root cannot make them.
for dir in proc sys dev dev/pts dev/shm run tmp var/tmp etc home mnt usr/lib/neurovisor; do mkdir -p "$root/$dir"; done
chmod 1777 "$root/tmp" "$root/var/tmp"

# The user that programs run as.
grep -q '^sandbox:' "$root/etc/passwd" || {
  echo 'sandbox:x:1000:1000:sandbox:/home/sandbox:/bin/bash' >> "$root/etc/passwd"
  echo 'sandbox:x:1000:' >> "$root/etc/group"
}
mkdir -p "$root/home/sandbox"
chown -R 1000:1000 "$root/home/sandbox"

echo sandbox > "$root/etc/hostname"
printf '127.0.0.1 localhost sandbox\n::1 localhost\n' > "$root/etc/hosts"
rm -f "$root/etc/resolv.conf"
: > "$root/etc/resolv.conf" # no name server: look-ups fail at once instead of waiting
: > "$root/etc/machine-id"

# Nothing in the sandbox gains rights by running a file.
find "$root" -xdev -type f -perm /6000 -exec chmod ug-s {} +

# Byte code that is never checked against its source: the erofs has one fixed time for all files, and a read-only root
# could not keep byte code made later.
if [ -x "$root/usr/bin/python3" ]; then
  for dir in "$root"/usr/lib/python3*; do
    PYTHONHASHSEED=0 chroot "$root" python3 -m compileall -q -f --invalidation-mode unchecked-hash "${dir#"$root"}"
  done
fi

# What only a package manager with a network, or a reader of manuals, would use.
rm -rf "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/info "$root"/usr/share/lintian \
  "$root"/usr/share/bash-completion "$root"/var/cache/debconf "$root"/var/cache/ldconfig "$root"/var/lib/dpkg/*-old \
  "$root"/var/log/*
find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 -exec rm -rf {} + 2> /dev/null || :

printf '%s\n' "$NV_LANGUAGES" | while read -r name command; do
  case $name in '' | '#'*) continue ;; esac
  version=$(chroot "$root" /bin/bash -c "$command")
  [ -n "$version" ] || { echo "error: no version of $name" >&2; exit 1; }
  echo "$name $version"
done > "$root/usr/lib/neurovisor/languages"
