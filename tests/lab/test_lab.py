"""KVM and vhost-vsock, run for real in the lab (one boot of it for all tests). Part of `test.sh --long`."""

import json
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import lab  # noqa: E402

REPOSITORY = lab.HERE.parents[1]
LAB = pathlib.Path(os.environ.get("NV_LAB_DIR", lab.DEFAULT))
BIN = pathlib.Path(os.environ.get("NV_BIN", REPOSITORY / "build/release/bin"))
DATA = pathlib.Path(os.environ.get("NEUROVISOR_DATA_DIR", REPOSITORY / "build/test-data"))
# As installed: the client in bin, the rest in libexec.
PROGRAMS = {"bin/neurovisor": "neurovisor", "libexec/neurovisor/neurovisor-engine": "neurovisor-engine",
            "libexec/neurovisor/neurovisor-jail": "neurovisor-jail"}
PATIENCE = 900  # seconds for everything: a guest in a guest, both emulated

pytestmark = pytest.mark.timeout(PATIENCE + 60)


@pytest.fixture(scope="session")
def results():
    if not (DATA / "images/names/mini").is_file():
        pytest.skip(f"no image `mini` in {DATA}: neurovisor image build mini")
    if not lab.is_built(LAB):
        pytest.skip(f"no lab in {LAB}: tests/lab/lab.py build")
    name = (DATA / "images/names/mini").read_text().strip()
    payload = {place: BIN / program for place, program in PROGRAMS.items()}
    payload |= {"data/images/names/mini": DATA / "images/names/mini",
                f"data/images/objects/{name}": DATA / "images/objects" / name, "in_lab.py": lab.HERE / "in_lab.py"}
    status, output = lab.run(LAB, payload, "python3 /payload/in_lab.py", PATIENCE)
    assert status == 0, output
    return json.loads(output.splitlines()[-1])


def test_doctor_finds_kvm_vsock_and_cgroups(results):
    report = json.loads(results["doctor"]["out"])
    states = {row["name"]: row["state"] for row in report["rows"]}
    assert report["ok"], report
    for row in ("kvm", "vhost-vsock", "vsock", "cgroups", "landlock", "privileges"):
        assert states[row] == "ok", report


def test_program_runs_under_kvm(results):
    kvm = results["kvm"]
    assert kvm["status"] == 0, kvm
    assert json.loads(kvm["out"])["stdout"] == "hello from a guest\n"


def test_kvm_is_chosen_without_being_asked_for(results):
    assert results["auto"]["status"] == 0, results["auto"]
    assert "kvm" in results["auto"]["err"]


def test_status_and_stdin_pass_through_a_guest_under_kvm(results):
    assert (results["bash"]["status"], results["bash"]["out"]) == (5, "piped in\n"), results["bash"]


def test_nothing_is_left_running(results):
    names = results["processes"]["out"].split()
    assert [n for n in names if n.startswith(("neurovisor", "qemu"))] == []
