"""Runs the real `neurovisor` against a fake engine (src/host/cli/fake_engine.cc): no VM, so every end of a run is cheap.

The "code" of a run is a script for the fake; its commands are listed in src/host/client/fake_sandboxes.h.
"""

import os
import pathlib
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("NV_BIN", REPOSITORY / "build/release/bin"))
NEUROVISOR = str(BIN / "neurovisor")
FAKE_LIBEXEC = BIN.parent / "tests/fake_libexec"
PATIENCE = 30


def environment(**changes):
    """A clean environment with the fake engine and no daemon; None removes a variable."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "NEUROVISOR_LIBEXEC_DIR": str(FAKE_LIBEXEC),
           "NEUROVISOR_STANDALONE": "1"}
    for name, value in changes.items():
        env.pop(name, None)
        if value is not None:
            env[name] = str(value)
    return env


def call(*args, stdin=b"", env=None, **popen):
    """`neurovisor ARGS` to its end, everything as bytes."""
    source = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run([NEUROVISOR, *args], capture_output=True, env=env or environment(), timeout=PATIENCE,
                          check=False, **source, **popen)


def run(script, *args, **more):
    """`neurovisor run -c SCRIPT ARGS` to its end."""
    return call("run", "-c", script, *args, **more)


def start(*args, env=None, **popen):
    """`neurovisor ARGS` as a Popen with pipes unless said otherwise."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
    return subprocess.Popen([NEUROVISOR, *args], env=env or environment(), **pipes)


def children(pid):
    """{pid: name} of the live processes whose parent is `pid`."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        state, parent = text[text.rindex(")") + 2 :].split()[:2]
        if int(parent) == pid and state != "Z":
            found[int(entry.name)] = text[text.index("(") + 1 : text.rindex(")")]
    return found


def as_ordinary_user():
    """Arguments for Popen that give up root's rights, or a reason why that cannot be tried here."""
    if os.geteuid() != 0:
        return {}, None
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    try:
        subprocess.run([NEUROVISOR, "version"], check=True, stdout=subprocess.DEVNULL, **nobody)
    except (OSError, subprocess.CalledProcessError):
        return {}, f"root may do everything, and nobody cannot reach {NEUROVISOR}"
    return nobody, None
