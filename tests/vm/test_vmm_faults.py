"""A VMM that is absent, dies, is silent or lies. The host says what happened, in bounded time and memory."""

import pathlib
import shutil
import time

import pytest

import nv

FAKE = nv.BIN.parent / "tests/fake_qemu"
BOOT_PATIENCE = 5  # seconds, instead of the minute that a slow machine gets
MEMORY_MARK = 100 * 1024 * 1024


def fake(folder, mode):
    """Environment in which the VMM is fake_qemu.cc in one of its modes."""
    program = folder / f"fake-qemu-{mode}"
    shutil.copy(FAKE, program)
    program.chmod(0o755)
    return nv.environment(NEUROVISOR_QEMU=program, NEUROVISOR_BOOT_TIMEOUT=BOOT_PATIENCE)


def failed(done, *words):
    text = done.stderr.decode()
    assert done.returncode == 125, text
    assert done.stdout == b""
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    assert "\x1b" not in text and "\x07" not in text
    return text


def test_no_qemu_in_path_names_the_package(folder):
    done = nv.python("print(1)", env=nv.environment(PATH=str(folder)))
    failed(done, "qemu-system-x86")


def test_qemu_that_is_not_where_it_was_said_to_be(folder):
    done = nv.python("print(1)", env=nv.environment(NEUROVISOR_QEMU=folder / "absent"))
    failed(done, str(folder / "absent"))


def test_qemu_that_dies_at_start_shows_its_last_words(folder):
    begin = time.monotonic()
    done = nv.python("print(1)", env=fake(folder, "dies"))
    failed(done, "cannot set up guest memory")
    assert time.monotonic() - begin < BOOT_PATIENCE + 5


def test_guest_that_never_answers_shows_the_last_20_console_lines(folder):
    begin = time.monotonic()
    text = failed(nv.python("print(1)", env=fake(folder, "silent")), "did not answer", "console line 39")
    assert "console line 20 " in text and "console line 19 " not in text
    assert time.monotonic() - begin < BOOT_PATIENCE + 10


@pytest.mark.parametrize("mode", ["garbage", "frames"])
def test_guest_that_sends_garbage_costs_time_but_no_memory(folder, mode):
    client = nv.start("-l", "python", "-c", "print(1)", env=fake(folder, mode))
    peak = 0
    while client.poll() is None:
        for pid, name in nv.descendants(client.pid).items():
            if name.startswith("neurovisor"):
                peak = max(peak, resident(pid))
        time.sleep(0.05)
    assert client.returncode == 125
    assert client.stderr.read() != b""
    assert 0 < peak < MEMORY_MARK


def test_guest_whose_kernel_runs_but_whose_init_never_speaks(folder):
    """The real QEMU, told to leave its CPUs stopped: no byte ever comes, not even on the console."""
    failed(nv.python("print(1)", env=fake(folder, "stopped")), "did not answer")


def resident(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:")), 0)
