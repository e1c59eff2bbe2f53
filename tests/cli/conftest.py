"""Skips where nothing is built; after every test no process of ours may live."""

import ctypes
import os
import pathlib
import shutil
import sys
import tempfile
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import nvcli  # noqa: E402

# Orphans of the client become ours, so that "nothing left" needs no search of the whole machine.
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def pytest_collection_modifyitems(items):
    for program in (pathlib.Path(nvcli.NEUROVISOR), nvcli.FAKE_LIBEXEC / "neurovisor-engine"):
        if not program.is_file():
            for item in items:
                item.add_marker(pytest.mark.skip(reason=f"{program} is not built"))
            return


@pytest.fixture(autouse=True)
def nothing_left_running():
    """No process that a test started outlives it by a second."""
    before = set(nvcli.children(os.getpid()))
    yield
    until = time.monotonic() + 1
    while True:
        left = {p: n for p, n in nvcli.children(os.getpid()).items() if p not in before}
        if not left or time.monotonic() > until:
            break
        time.sleep(0.01)
    assert left == {}, f"still running one second after the test: {left}"


@pytest.fixture
def folder():
    """A directory that every user can reach (pytest's own are private)."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="nv-cli-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def ordinary_user():
    """Arguments for Popen; skips where root cannot become somebody else."""
    arguments, reason = nvcli.as_ordinary_user()
    if reason:
        pytest.skip(reason)
    return arguments
