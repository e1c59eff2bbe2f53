"""Where standard input comes from, where standard output goes, and two runs at once."""

import os
import pty
import subprocess
import threading
import time

import nv

ECHO = "import sys; data = sys.stdin.read(); print(len(data), data.strip())"


def test_output_streams_while_the_program_runs():
    client = nv.start("-l", "python", "-c", "print('one', flush=True); input(); print('two')",
                      stdin=subprocess.PIPE)
    nv.wait_for_line(client.stdout, b"one")
    assert client.poll() is None
    client.stdin.write(b"go on\n")
    client.stdin.flush()
    assert nv.wait_for_line(client.stdout, b"two") == b"two\n"
    client.stdin.close()
    assert client.wait(timeout=30) == 0


def test_stdin_from_a_terminal_ends_with_control_d():
    mine, theirs = pty.openpty()
    client = nv.start("-l", "python", "-c", "print('ready', flush=True)\n" + ECHO, stdin=theirs)
    os.close(theirs)
    nv.wait_for_line(client.stdout, b"ready")
    os.write(mine, b"typed\n\x04")
    assert client.stdout.read() == b"6 typed\n"
    assert client.wait(timeout=30) == 0
    os.close(mine)


def test_stdin_closed_and_dev_null_are_empty():
    done = nv.python(ECHO, stdin=None, preexec_fn=lambda: os.close(0))
    assert (done.stdout, done.returncode) == (b"0 \n", 0)
    done = nv.python(ECHO, stdin=subprocess.DEVNULL)
    assert (done.stdout, done.returncode) == (b"0 \n", 0)


def test_endless_stdin_that_nobody_reads_does_not_hold_the_run():
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as endless:
        done = nv.bash("head -n 2", stdin=endless.stdout)
        endless.kill()
    assert (done.stdout, done.returncode) == (b"y\ny\n", 0)


def test_closed_stdout_ends_the_run_with_141():
    client = nv.start("-l", "bash", "-t", "100", "-c", "while :; do echo line; done")
    assert client.stdout.readline() == b"line\n"
    client.stdout.close()
    assert client.wait(timeout=20) == 141


def test_two_runs_at_once_do_not_meet():
    results = {}

    def one(name):
        results[name] = nv.bash(f"echo {name} > /tmp/mine; sleep 2; cat /tmp/mine; ls /tmp | wc -l")

    threads = [threading.Thread(target=one, args=(name,)) for name in ("first", "second")]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: done.stdout.split()[0] for name, done in results.items()} == {
        "first": b"first", "second": b"second"}
    assert all(done.returncode == 0 for done in results.values())
    assert time.monotonic() - begin < 100
