#!/usr/bin/env python3
"""A Debian 12 host under QEMU, for what the machine at hand cannot do: its own kernel, root, cgroup v2, KVM, vhost-vsock.

    lab.py build                      make kernel, initramfs and root disk (root or user namespaces, network)
    lab.py run --payload P -- CMD     boot it, run CMD as root with P read-only at /payload, print its output

--directory is build/lab unless given. The exit status is the command's, 124 past --timeout, 125 when the lab itself failed.
Everything in the lab is emulated (TCG), its KVM included: good for "does it work", useless for "how fast".
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DEFAULT = HERE.parents[1] / "build/lab"
# What the host in the lab has: kernel, a VMM, the libraries that the engine links, and python for the checks.
PACKAGES = ["linux-image-cloud-amd64", "kmod", "iproute2", "procps", "util-linux", "busybox-static", "qemu-system-x86",
            "libgrpc++1.51", "libprotobuf32", "python3"]
LEFT_OUT = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*"]
# Drivers that the first program loads, before there is a root disk.
FIRST_MODULES = ["virtio_pci", "virtio_blk", "ext4", "overlay"]
MEMORY_MB = 3072
FAILED, TIMED_OUT = 125, 124


def call(*command, **more):
    subprocess.run([str(word) for word in command], check=True, **more)


def make_tree(tree):
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    call("mmdebstrap", "--quiet", "--variant=minbase", *options, f"--include={','.join(PACKAGES)}", "bookworm", tree)


def kernel_release(tree):
    return max((tree / "usr/lib/modules").iterdir()).name


def module_order(tree, release):
    """Files of the first modules and of what they need, in loading order."""
    order = []
    for module in FIRST_MODULES:
        listing = subprocess.run(["modprobe", "-d", tree, "-S", release, "--show-depends", module], check=True,
                                 capture_output=True, text=True).stdout
        for line in listing.splitlines():
            words = line.split()
            if words[0] == "insmod" and words[1] not in order:
                order.append(words[1])
    return order


def make_initramfs(tree, target):
    with tempfile.TemporaryDirectory() as work:
        root = pathlib.Path(work)
        for folder in ("bin", "dev", "modules", "disk", "ram", "root"):
            (root / folder).mkdir()
        shutil.copy(tree / "bin/busybox", root / "bin/busybox")
        shutil.copy(HERE / "first_program", root / "init")
        (root / "init").chmod(0o755)
        for number, module in enumerate(module_order(tree, kernel_release(tree))):
            shutil.copy(module, root / f"modules/{number:02}-{pathlib.Path(module).name}")
        names = "\n".join(["."] + sorted(str(p.relative_to(root)) for p in root.rglob("*")))
        with open(target, "wb") as out:
            call("cpio", "-o", "-H", "newc", "--quiet", cwd=root, input=names.encode(), stdout=out)


def make_disk(folder, target, megabytes):
    """An ext4 file system without a journal that holds the folder."""
    target.unlink(missing_ok=True)
    call("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", folder, target, f"{megabytes}M",
         stdout=subprocess.DEVNULL)


def size_mb(folder):
    return int(subprocess.run(["du", "-sm", folder], check=True, capture_output=True, text=True).stdout.split()[0])


def build(directory):
    directory.mkdir(parents=True, exist_ok=True)
    tree = directory / "tree"
    if not (tree / "usr/lib/modules").is_dir():
        shutil.rmtree(tree, ignore_errors=True)
        make_tree(tree)
    shutil.copy(HERE / "host_program", tree / "sbin/lab-host")
    (tree / "sbin/lab-host").chmod(0o755)
    (tree / "payload").mkdir(exist_ok=True)
    make_initramfs(tree, directory / "initramfs")
    shutil.copy(tree / f"boot/vmlinuz-{kernel_release(tree)}", directory / "kernel")
    make_disk(tree, directory / "root.ext4.new", size_mb(tree) * 5 // 4 + 64)
    (directory / "root.ext4.new").rename(directory / "root.ext4")


def is_built(directory):
    return all((directory / name).is_file() for name in ("kernel", "initramfs", "root.ext4"))


def qemu(directory, work):
    disk = "if=virtio,format=raw,readonly=on"
    ports = []
    for name in ("output", "status"):
        ports += ["-chardev", f"file,id={name},path={work / name}",
                  "-device", f"virtserialport,chardev={name},name=lab.{name}"]
    return ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "max",
            "-m", str(MEMORY_MB), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", directory / "kernel", "-initrd", directory / "initramfs",
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off",
            "-drive", f"file={directory / 'root.ext4'},{disk}", "-drive", f"file={work / 'payload'},{disk}",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci", *ports, "-serial", f"file:{work / 'console'}"]


def run(directory, payload, command, timeout):
    """Boots, runs, and returns (exit status, output). `payload` is {path in /payload: path here}."""
    with tempfile.TemporaryDirectory(prefix="nv-lab-") as name:
        work = pathlib.Path(name)
        staged = work / "staged"
        staged.mkdir()
        for inside, outside in payload.items():
            target = staged / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if outside.is_dir() else shutil.copy)(outside, target)
        (staged / ".command").write_text(command + "\n")
        make_disk(staged, work / "payload", size_mb(staged) * 5 // 4 + 64)
        shutil.rmtree(staged)
        try:
            done = subprocess.run([str(word) for word in qemu(directory, work)], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            return TIMED_OUT, text_of(work / "output") + text_of(work / "console")
        status = text_of(work / "status").split()
        if status[:1] != ["exit"]:
            return FAILED, text_of(work / "output") + text_of(work / "console") + done.stderr.decode(errors="replace")
        return int(status[1]), text_of(work / "output")


def text_of(path):
    return path.read_text(errors="replace") if path.is_file() else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="verb", required=True)
    builder = commands.add_parser("build")
    runner = commands.add_parser("run")
    for sub in (builder, runner):
        sub.add_argument("--directory", type=pathlib.Path, default=DEFAULT)
    runner.add_argument("--payload", type=pathlib.Path, help="a folder that is copied to /payload")
    runner.add_argument("--timeout", type=int, default=300, help="seconds")
    runner.add_argument("command", nargs="+", help="for bash; after --")
    arguments = parser.parse_args()
    if arguments.verb == "build":
        build(arguments.directory)
        return 0
    if not is_built(arguments.directory):
        print(f"lab.py: nothing built in {arguments.directory}: lab.py build", file=sys.stderr)
        return FAILED
    payload = {p.name: p for p in arguments.payload.iterdir()} if arguments.payload else {}
    status, output = run(arguments.directory, payload, " ".join(arguments.command), arguments.timeout)
    print(output, end="")
    return status


if __name__ == "__main__":
    sys.exit(main())
