"""Ctrl-C, SIGTERM and kill -9 at any moment: after a second nothing runs, and nothing is left on disk."""

import os
import random
import signal
import subprocess
import time

import pytest

import nv

# From exec over boot into the running program, whatever the machine's speed today.
LONGEST_DELAY = 6.0
SEEDS = range(4)
PROGRAM = "print('running', flush=True)\nimport time\ntime.sleep(1000)"
WAIT_AFTER_SIGNAL = 5


def tree_of(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


@pytest.fixture
def runtime(folder):
    path = folder / "runtime"
    path.mkdir()
    path.chmod(0o777)
    return path


def begin(runtime, delay=None):
    """A run that sleeps; after `delay`, or once the program prints."""
    temporary = runtime.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o1777)
    client = nv.start("-l", "python", "-t", "600", "-c", PROGRAM,
                      env=nv.environment(NEUROVISOR_RUNTIME_DIR=runtime, TMPDIR=temporary))
    if delay is None:
        nv.wait_for_line(client.stdout, b"running")
    else:
        time.sleep(delay)
    return client


def check_nothing_is_left(runtime, before):
    assert nv.left_after(1.0, before) == {}
    assert tree_of(runtime) == []
    assert tree_of(runtime.parent / "tmp") == []


@pytest.mark.parametrize("number,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_during_the_program_cancels_it(runtime, number, status):
    before = nv.descendants()
    client = begin(runtime)
    client.send_signal(number)
    assert client.wait(timeout=WAIT_AFTER_SIGNAL) == status
    check_nothing_is_left(runtime, before)


@pytest.mark.parametrize("seed", SEEDS)
def test_signal_at_a_random_moment_leaves_nothing(runtime, seed):
    dice = random.Random(seed)
    number = dice.choice([signal.SIGINT, signal.SIGTERM])
    before = nv.descendants()
    client = begin(runtime, dice.uniform(0, LONGEST_DELAY))
    client.send_signal(number)
    # Before its handler is in place the client just dies of the signal, as any program.
    assert client.wait(timeout=WAIT_AFTER_SIGNAL) in (128 + number, -number), seed
    check_nothing_is_left(runtime, before)


def test_second_interrupt_does_not_hang_or_leak(runtime):
    before = nv.descendants()
    client = begin(runtime)
    client.send_signal(signal.SIGINT)
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=WAIT_AFTER_SIGNAL) in (130, -signal.SIGINT)
    check_nothing_is_left(runtime, before)


@pytest.mark.parametrize("victim", ["neurovisor", "neurovisor-engine", "neurovisor-jail", "qemu-system-x86"])
def test_kill_9_of_each_process_during_the_program(runtime, victim):
    before = nv.descendants()
    client = begin(runtime)
    pid = client.pid if victim == "neurovisor" else named(victim, client.pid)
    nv.kill(pid)
    status = client.wait(timeout=WAIT_AFTER_SIGNAL)
    check_nothing_is_left(runtime, before)
    if victim == "neurovisor":
        assert status == -signal.SIGKILL
    else:
        assert status == 125
        # The jail's death takes QEMU along; who is asked first after that depends on the moment.
        wanted = {"neurovisor-engine": b"engine ended", "qemu-system-x86": b"VMM ended", "neurovisor-jail": b"neurovisor: "}
        assert wanted[victim] in client.stderr.read()


@pytest.mark.parametrize("seed", SEEDS)
def test_kill_9_of_any_process_at_a_random_moment(runtime, seed):
    dice = random.Random(100 + seed)
    before = nv.descendants()
    client = begin(runtime, dice.uniform(0, LONGEST_DELAY))
    pids = sorted([client.pid, *nv.descendants(client.pid)])
    nv.kill(dice.choice(pids))
    client.wait(timeout=WAIT_AFTER_SIGNAL)
    check_nothing_is_left(runtime, before)


def test_terminal_hangup_ends_the_run(runtime):
    before = nv.descendants()
    client = begin(runtime)
    client.send_signal(signal.SIGHUP)
    client.wait(timeout=WAIT_AFTER_SIGNAL)
    check_nothing_is_left(runtime, before)


def named(name, below):
    """Processes show 15 characters of their name: engine and jail are told apart by their command line."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for pid in nv.descendants(below):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    program = file.read().split(b"\0")[0].decode()
            except OSError:
                continue
            if os.path.basename(program).startswith(name):
                return pid
        time.sleep(0.02)
    raise AssertionError(f"no {name} below {below}")


def test_interrupt_from_a_terminals_process_group(runtime):
    """Ctrl-C goes to the whole foreground group; the engine sits in a session of its own and is told by the client."""
    before = nv.descendants()
    client = nv.start("-l", "python", "-c", PROGRAM, start_new_session=True,
                      env=nv.environment(NEUROVISOR_RUNTIME_DIR=runtime), stderr=subprocess.DEVNULL)
    nv.wait_for_line(client.stdout, b"running")
    os.killpg(client.pid, signal.SIGINT)
    assert client.wait(timeout=WAIT_AFTER_SIGNAL) == 130
    assert nv.left_after(1.0, before) == {}
