"""The recipes of image/, run as scripts: what they read of the machine's apt sources, and the bytes that they make."""

import os
import pathlib
import shutil
import struct
import subprocess

import pytest

IMAGE = pathlib.Path(__file__).resolve().parents[2] / "image"


def shell(script, *arguments, check=True, **environment):
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail; . {IMAGE}/lib/debian.sh; . {IMAGE}/lib/vmlinux.sh; {script}", "test", *arguments],
        env={**os.environ, **environment}, check=check, capture_output=True, text=True)


def sources(tmp_path, **files):
    """An /etc/apt of its own; file names have _ for the dot."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir(exist_ok=True)
    for name, text in files.items():
        place = tmp_path / "sources.list" if name == "sources_list" else parts / name.replace("_", ".")
        place.write_text(text)
    return tmp_path


def uris(apt_etc, kind="main"):
    return shell(f"debian_uris {kind}", NEUROVISOR_APT_ETC=str(apt_etc)).stdout.split()


def test_deb822_sources(tmp_path):
    etc = sources(tmp_path, debian_sources="""\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
""")
    assert uris(etc) == ["http://mirror.example/debian"]
    assert uris(etc, "security") == ["http://mirror.example/debian-security"]


def test_deb822_field_over_several_lines_and_disabled_entries(tmp_path):
    etc = sources(tmp_path, a_sources="""\
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs:
 http://one.example/debian
 http://two.example/debian
Suites: bookworm
Components: main
""")
    assert uris(etc) == ["http://one.example/debian", "http://two.example/debian"]


def test_one_line_sources_with_options_and_comments(tmp_path):
    etc = sources(tmp_path, sources_list="""\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://a.example/debian bookworm main # why
deb [ arch=amd64 ] https://b.example/debian/ trixie main non-free
deb-src http://source.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
""")
    assert uris(etc) == ["http://a.example/debian", "https://b.example/debian/"]
    assert uris(etc, "security") == ["http://security.example/debian-security"]


def test_entries_of_other_vendors_are_not_used_or_come_last(tmp_path):
    etc = sources(tmp_path, vendor_list="""\
deb https://vendor.example/apt cloud-bookworm main
deb https://vendor.example/linux/debian bookworm stable
deb https://vendor.example/packages bookworm main
""", z_sources="""\
Types: deb
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
""")
    # The third looks like Debian by its suite; its signature will not fit, so it is only tried last.
    found = uris(etc)
    assert found[0] == "mirror+file:///etc/apt/mirrors/debian.list"
    assert found[1:] == ["https://vendor.example/packages"]


def test_machine_without_debian_sources_says_what_to_set(tmp_path):
    done = shell(f"find_debian {tmp_path}/apt", check=False, NEUROVISOR_APT_ETC=str(tmp_path))
    assert done.returncode == 1
    assert "name no Debian archive" in done.stderr
    assert "remedy: set NEUROVISOR_DEBIAN_MIRROR" in done.stderr


def bzimage(payload, appended_size):
    """A bzImage's header (x86 boot protocol) with this payload, one setup sector, the payload 100 bytes into the kernel."""
    image = bytearray(2 * 512 + 100)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    if appended_size is not None:
        payload += struct.pack("<I", appended_size)
    struct.pack_into("<II", image, 0x248, 100, len(payload))
    return bytes(image) + payload + b"trailing bytes"


@pytest.mark.parametrize("tool", [["gzip", "-n"], ["xz", "--check=crc32"], ["zstd", "-q"], ["lz4", "-lq"]], ids=lambda t: t[0])
def test_kernel_is_taken_out_of_a_bzimage(tmp_path, tool):
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    elf = b"\x7fELF" + os.urandom(1000) + bytes(100_000)
    packed = subprocess.run([*tool, "-c"], input=elf, stdout=subprocess.PIPE, check=True).stdout
    (tmp_path / "vmlinuz").write_bytes(bzimage(packed, None if tool[0] == "gzip" else len(elf)))
    shell('extract_vmlinux "$1" "$2"', str(tmp_path / "vmlinuz"), str(tmp_path / "vmlinux"))
    assert (tmp_path / "vmlinux").read_bytes() == elf


@pytest.mark.parametrize("content", [b"", b"short", bytes(4096), bzimage(b"unknown compression", 5)], ids=["empty", "short", "zeros", "unknown"])
def test_what_is_no_kernel_is_refused(tmp_path, content):
    (tmp_path / "vmlinuz").write_bytes(content)
    done = shell('extract_vmlinux "$1" "$2"', str(tmp_path / "vmlinuz"), str(tmp_path / "vmlinux"), check=False)
    assert done.returncode != 0
    assert "error: " in done.stderr


def test_initramfs_has_load_order_and_the_same_bytes_twice(tmp_path):
    kernel = tmp_path / "kernel"
    (kernel / "modules").mkdir(parents=True)
    for name in ("b.ko", "a.ko"):
        (kernel / "modules" / name).write_text(name)
    (kernel / "modules.list").write_text("b.ko\na.ko\n")
    (tmp_path / "preinit").write_text("init")
    for out in ("one", "two"):
        subprocess.run([IMAGE / "initramfs.sh", tmp_path / "preinit", kernel, tmp_path / out], check=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes().startswith(b"070701")
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["cpio", "-i", "--quiet", "--no-absolute-filenames"], stdin=open(tmp_path / "one", "rb"), cwd=unpacked, check=True)
    assert (unpacked / "modules.list").read_text() == "/modules/b.ko\n/modules/a.ko\n"
    assert (unpacked / "modules" / "a.ko").read_text() == "a.ko"
    assert os.access(unpacked / "init", os.X_OK)


def test_erofs_is_uncompressed_and_has_the_same_bytes_twice(tmp_path):
    if shutil.which("mkfs.erofs", path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
        pytest.skip("mkfs.erofs is not installed (erofs-utils)")
    if os.geteuid() != 0 and shutil.which("fakeroot") is None:
        pytest.skip("fakeroot is not installed")
    tree = tmp_path / "tree"
    (tree / "usr/lib/neurovisor").mkdir(parents=True)
    (tree / "usr/plain").write_text("PLAIN-CONTENT" * 1000)
    subprocess.run(["tar", "-cf", tmp_path / "root.tar", "-C", tree, "."], check=True)
    (tmp_path / "agent").write_text("THE-AGENT")
    for out in ("one", "two"):
        subprocess.run([IMAGE / "erofs.sh", tmp_path / "root.tar", tmp_path / "agent", tmp_path / out], check=True)
    image = (tmp_path / "one").read_bytes()
    assert image == (tmp_path / "two").read_bytes()
    assert image[1024:1028] == bytes.fromhex("e2e1f5e0")  # the superblock's magic
    assert b"THE-AGENT" in image and b"PLAIN-CONTENT" * 1000 in image
    assert len(image) % 4096 == 0


def test_every_package_has_its_reason():
    for recipe in (IMAGE / "recipes").iterdir():
        for line in (recipe / "packages").read_text().splitlines():
            if line and not line.startswith("#"):
                assert len(line.split()) >= 3, f"{recipe.name}: '{line}' gives no reason"


def test_tuned_kernel_has_what_the_guest_needs():
    options = set((IMAGE / "kernel/tuned.config").read_text().splitlines())
    needed = ["CGROUPS", "MEMCG", "CGROUP_PIDS", "CFS_BANDWIDTH", "PID_NS", "USER_NS", "OVERLAY_FS", "EROFS_FS", "TMPFS",
              "TMPFS_XATTR", "DEVTMPFS", "VIRTIO_MMIO", "VIRTIO_MMIO_CMDLINE_DEVICES", "VIRTIO_BLK", "VIRTIO_CONSOLE",
              "VIRTIO_VSOCKETS", "HW_RANDOM_VIRTIO", "SECCOMP_FILTER", "PVH", "VMGENID"]
    assert [name for name in needed if f"CONFIG_{name}=y" not in options] == []
