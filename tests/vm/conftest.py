"""Fixtures: skip without an image, a place for fakes, and after every test: nothing of ours still runs."""

import os
import shutil
import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import nv  # noqa: E402


def pytest_collection_modifyitems(items):
    """Tests marked needs_image are skipped, with the reason, where nothing can boot."""
    reason = why_nothing_boots()
    if reason:
        for item in items:
            if item.get_closest_marker("no_image") is None:
                item.add_marker(pytest.mark.skip(reason=reason))


def why_nothing_boots():
    if not pathlib.Path(nv.NEUROVISOR).is_file():
        return f"{nv.NEUROVISOR} is not built"
    if shutil.which("qemu-system-x86_64") is None:
        return "qemu-system-x86_64 is not installed"
    if not (nv.DATA / "images/names/mini").is_file():
        return f"no image `mini` in {nv.DATA}: neurovisor image build mini"
    return None


@pytest.fixture(autouse=True)
def nothing_left_running():
    """No process that a test started outlives it by a second."""
    before = nv.descendants()
    yield
    left = nv.left_after(1.0, before)
    for pid in left:
        nv.kill(pid)
    assert left == {}, f"still running one second after the test: {left}"


@pytest.fixture
def folder():
    """A directory that every uid may read, and that goes with the test."""
    path = nv.shared_directory("nv-test-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def store(folder):
    return nv.StoreCopy(folder / "data")


@pytest.fixture(scope="session")
def is_root():
    return os.geteuid() == 0
