"""Drives the real `neurovisor` and watches what it leaves behind. Used by every test of this folder.

A test process makes itself the reaper of its descendants (PR_SET_CHILD_SUBREAPER): an engine, jail or QEMU whose parent
was killed stays below the test in the process tree, so that "no process left" looks at the test's own processes only.
"""

import ctypes
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("NV_BIN", REPOSITORY / "build/release/bin"))
NEUROVISOR = str(BIN / "neurovisor")
DATA = pathlib.Path(os.environ.get("NEUROVISOR_DATA_DIR", REPOSITORY / "build/test-data"))

# A boot takes 3 s under TCG on a quiet machine; tests share theirs with others.
PATIENCE = 120

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def environment(**changes):
    """Our environment with changes; None removes a variable."""
    env = dict(os.environ, NEUROVISOR_DATA_DIR=str(DATA), NEUROVISOR_STANDALONE="1")
    for name, value in changes.items():
        env.pop(name, None)
        if value is not None:
            env[name] = str(value)
    return env


def run(*args, stdin=b"", env=None, timeout=PATIENCE, **popen):
    """`neurovisor run ARGS` to its end; everything as bytes. --size small unless the arguments say otherwise."""
    command = [NEUROVISOR, "run"]
    if "--size" not in args:
        command += ["--size", "small"]
    source = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run([*command, *args], capture_output=True, env=env or environment(), timeout=timeout,
                          check=False, **source, **popen)


def python(code, *args, **more):
    return run("-l", "python", "-c", code, *args, **more)


def bash(code, *args, **more):
    return run("-l", "bash", "-c", code, *args, **more)


def start(*args, env=None, **popen):
    """`neurovisor run --size small ARGS` as a Popen; stdout and stderr are pipes unless said otherwise."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
    return subprocess.Popen([NEUROVISOR, "run", "--size", "small", *args], env=env or environment(), **pipes)


def wait_for_line(stream, wanted):
    """Reads lines until one holds `wanted`; at the end of the stream, what came so far is the failure's text."""
    seen = b""
    for line in stream:
        seen += line
        if wanted in line:
            return line
    raise AssertionError(f"{wanted!r} never came; got {seen!r}")


# ---- processes --------------------------------------------------------------------------------------------------


def _stat(pid):
    """(name, state, parent) of a process, or None when it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    state, parent = text[text.rindex(")") + 2 :].split()[:2]
    return name, state, int(parent)


def descendants(pid=None):
    """{pid: name} of the live processes below `pid` (this test). Zombies that became ours are reaped."""
    root = pid or os.getpid()
    table = {int(p.name): _stat(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()}
    found, frontier = {}, [root]
    while frontier:
        parent = frontier.pop()
        for child, entry in table.items():
            if entry and entry[2] == parent and child not in found:
                found[child] = entry
                frontier.append(child)
    return {p: entry[0] for p, entry in found.items() if entry[1] != "Z"}


def find(name, below, deadline=30):
    """The pid of the process whose name begins with `name` below `below`, once there is one."""
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        for pid, found in descendants(below).items():
            if found.startswith(name[:15]):
                return pid
        time.sleep(0.01)
    raise AssertionError(f"no process {name} below {below}: {descendants(below)}")


def left_after(seconds, before):
    """Processes below this test that were not there before and outlive the time."""
    until = time.monotonic() + seconds
    while True:
        left = {p: n for p, n in descendants().items() if p not in before}
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.02)


# ---- images -----------------------------------------------------------------------------------------------------


class StoreCopy:
    """A copy of the test's image store that a test may damage. Layout: the head of image_store.h."""

    def __init__(self, directory):
        self.data = pathlib.Path(directory)
        self.images = self.data / "images"
        source = DATA / "images"
        name = (source / "names/mini").read_text().strip()
        self.object = self.images / "objects" / name
        self.object.mkdir(parents=True)
        for file in (source / "objects" / name).iterdir():
            os.link(file, self.object / file.name) if _same_disk(file, self.object) else shutil.copy(file, self.object)
        (self.images / "names").mkdir()
        (self.images / "names/mini").write_text(name + "\n")
        _open_to_all(self.data)

    def env(self, **changes):
        return environment(NEUROVISOR_DATA_DIR=self.data, **changes)

    def replace(self, name, content):
        """New bytes for a file (never through the link, which is the original)."""
        path = self.object / name
        path.unlink()
        path.write_bytes(content)
        path.chmod(0o444)

    def flip(self, name):
        """Flips one bit in the middle of a file."""
        content = bytearray((self.object / name).read_bytes())
        content[len(content) // 2] ^= 1
        self.replace(name, bytes(content))

    def edit_manifest(self, change):
        """Changes the manifest and files the object under its new digest, as a builder of such an image would have."""
        manifest = json.loads((self.object / "manifest.json").read_text())
        change(manifest)
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        self.replace("manifest.json", text.encode())
        digest = "sha256-" + hashlib.sha256(text.encode()).hexdigest()
        self.object = self.object.rename(self.object.with_name(digest))
        (self.images / "names/mini").write_text(digest + "\n")

    def adopt(self, name, content):
        """Replaces a file and its digest: a right image with another file in it."""
        self.replace(name, content)

        def change(manifest):
            for entry in manifest["files"]:
                if entry["name"] == name:
                    entry.update(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

        self.edit_manifest(change)


def _same_disk(file, directory):
    return file.stat().st_dev == directory.stat().st_dev


def _open_to_all(path):
    """As root, QEMU runs under a uid of its own; what it starts from must be reachable."""
    for part in [path, *path.parents]:
        if part == pathlib.Path("/tmp") or part == pathlib.Path("/"):
            break
        part.chmod(part.stat().st_mode | 0o055)


def shared_directory(prefix):
    """A new directory that every uid may read."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o755)
    return path


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
