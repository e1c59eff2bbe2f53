# shellcheck shell=bash
# The ELF file inside an x86 bzImage. Sourced by kernel/debian.sh, after debian.sh (die, need).
#
# The header fields are those of the x86 boot protocol, version 2.08 and later (Documentation/arch/x86/boot.rst of the
# kernel): setup_sects at 0x1f1, "HdrS" at 0x202, payload_offset at 0x248, payload_length at 0x24c.

# number FILE OFFSET BYTES: a little-endian unsigned integer.
number() { od -An -v -tu"$3" -j"$2" -N"$3" --endian=little "$1" | tr -d ' '; }

# extract_vmlinux BZIMAGE OUT
extract_vmlinux() {
  local image=$1 out=$2 sectors offset length magic size
  [ "$(dd if="$image" bs=1 skip=$((0x202)) count=4 status=none | tr -d '\0')" = HdrS ] ||
    die "$image is not a bzImage"
  sectors=$(number "$image" $((0x1f1)) 1)
  [ "$sectors" -ne 0 ] || sectors=4
  offset=$(((sectors + 1) * 512 + $(number "$image" $((0x248)) 4)))
  length=$(number "$image" $((0x24c)) 4)
  magic=$(od -An -v -tx1 -j"$offset" -N6 "$image" | tr -d ' \n')
  # Behind every kind of payload but gzip's own trailer, the kernel's build appends the uncompressed size, four bytes.
  size=$(number "$image" $((offset + length - 4)) 4)
  local tool
  case $magic in
    28b52ffd*) need zstd zstd; tool=(zstd -dqc); length=$((length - 4)) ;;
    02214c18*) need lz4 lz4; tool=(lz4 -dqc); length=$((length - 4)) ;;
    fd377a585a00) need xz-utils xz; tool=(xz -dqc --single-stream); length=$((length - 4)) ;;
    1f8b08*) need gzip gzip; tool=(gzip -dqc) ;;
    7f454c46*) tool=(cat); length=$((length - 4)); size=$length ;;
    *) die "$image: unknown kernel compression (starts with $magic)" ;;
  esac
  dd if="$image" bs=1M skip="$offset" count="$length" iflag=skip_bytes,count_bytes status=none | "${tool[@]}" > "$out"
  [ "$(head -c 4 "$out" | tail -c 3)" = ELF ] || die "$image holds no ELF kernel"
  [ "$(stat -c %s "$out")" = "$size" ] || die "$image: unpacked to $(stat -c %s "$out") bytes, its header says $size"
}
