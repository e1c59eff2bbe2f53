"""Engines and daemons that misbehave, and signals at any moment: the right status, and nothing is left running."""

import grp
import json
import os
import pty
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

import nvcli

# ---- engines -----------------------------------------------------------------------------------------------------


def test_engine_that_dies_shows_its_last_words_escaped():
    result = nvcli.run("out x", env=nvcli.environment(NEUROVISOR_FAKE="exit"))
    assert (result.returncode, result.stdout) == (125, b"")
    assert b"exit status 9" in result.stderr
    assert b"  | first word\n  | no such \\x1b[31mcolour\n" in result.stderr


def test_engine_that_dies_in_the_middle():
    result = nvcli.run("out before\nsay cannot go on\ndie 7")
    assert (result.returncode, result.stdout) == (125, b"before\n")
    assert b"exit status 7" in result.stderr and b"  | cannot go on\n" in result.stderr
    result = nvcli.run("out before\nkill 9")
    assert result.returncode == 125 and b"killed by signal 9 (SIGKILL)" in result.stderr


def test_engine_that_speaks_garbage():
    result = nvcli.run("out x", env=nvcli.environment(NEUROVISOR_FAKE="garbage"))
    assert result.returncode == 125
    assert result.stderr.startswith(b"neurovisor: ") and b"\x1b" not in result.stderr


def test_engine_that_outlives_its_client_is_killed():
    begin = time.monotonic()
    result = nvcli.run("out x", env=nvcli.environment(NEUROVISOR_FAKE="linger"))
    assert (result.returncode, result.stdout) == (0, b"x\n")
    assert 1.5 < time.monotonic() - begin < 10


def test_error_of_the_engine_is_shown_with_remedy_and_details():
    result = nvcli.run("fail 9|no image 'mini'|neurovisor image build mini|console 1\\nconsole 2")
    assert (result.returncode, result.stdout) == (125, b"")
    assert result.stderr == (b"neurovisor: no image 'mini'\n  try: neurovisor image build mini\n"
                             b"  | console 1\n  | console 2\n")


def test_end_without_result_is_a_failure():
    assert nvcli.run("out x\nnothing").returncode == 125


def test_json_prints_nothing_on_stdout_when_we_failed():
    result = nvcli.run("fail 5|x", "--json")
    assert (result.returncode, result.stdout) == (125, b"")


def test_engine_is_in_a_session_of_its_own_with_few_descriptors():
    client = nvcli.start("run", "-c", "out up\nwait", env=nvcli.environment(SECRET="s"))
    assert client.stdout.readline() == b"up\n"
    (engine,) = nvcli.children(client.pid)
    assert os.getsid(engine) == engine
    assert os.readlink(f"/proc/{engine}/fd/0") == os.readlink(f"/proc/{engine}/fd/1") == "/dev/null"
    with open(f"/proc/{engine}/environ", "rb") as environ:
        assert b"SECRET" not in environ.read()
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=nvcli.PATIENCE) == 130


# ---- signals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_cancels_and_gives_its_status(number):
    client = nvcli.start("run", "-c", "out up\nwait")
    assert client.stdout.readline() == b"up\n"
    client.send_signal(number)
    assert client.wait(timeout=nvcli.PATIENCE) == 128 + number
    assert client.stderr.read() == b""


@pytest.mark.parametrize("seed", range(40))
def test_ctrl_c_at_any_moment(seed):
    delay = random.Random(seed).uniform(0, 0.04)
    client = nvcli.start("run", "-c", "out up\nflood out 1000000\nwait")
    threading.Thread(target=client.stdout.read, daemon=True).start()
    time.sleep(delay)
    client.send_signal(signal.SIGINT)
    # In its first millisecond the client has no handler yet and dies of the signal itself.
    assert client.wait(timeout=nvcli.PATIENCE) in (130, -signal.SIGINT)


def test_ctrl_c_while_code_is_read_from_a_pipe():
    client = nvcli.start("run", "-", stdin=subprocess.PIPE)
    time.sleep(0.1)
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=nvcli.PATIENCE) == 130


def test_ctrl_c_while_stdout_is_stuck():
    reader, writer = os.pipe()
    client = nvcli.start("run", "-c", "flood out 10000000", stdout=writer)
    os.close(writer)
    os.read(reader, 1)  # the flood has begun; nobody reads on
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=nvcli.PATIENCE) == 130
    os.close(reader)


def test_second_ctrl_c_ends_at_once():
    client = nvcli.start("run", "-c", "out up\nwait", env=nvcli.environment(NEUROVISOR_FAKE="linger"))
    assert client.stdout.readline() == b"up\n"
    (engine,) = nvcli.children(client.pid)
    client.send_signal(signal.SIGINT)
    time.sleep(0.2)
    begin = time.monotonic()
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=nvcli.PATIENCE) == 130
    assert time.monotonic() - begin < 0.5
    os.kill(engine, signal.SIGKILL)  # this fake would not leave by itself


def test_ctrl_c_with_a_frozen_engine_kills_it():
    client = nvcli.start("run", "-c", "out up\nwait")
    assert client.stdout.readline() == b"up\n"
    (engine,) = nvcli.children(client.pid)
    os.kill(engine, signal.SIGSTOP)
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=10) == 130


def test_killed_client_leaves_no_engine():
    client = nvcli.start("run", "-c", "out up\nwait")
    assert client.stdout.readline() == b"up\n"
    client.kill()
    assert client.wait() == -signal.SIGKILL  # the fixture looks for the engine


def test_ignored_interrupt_stays_ignored():
    client = nvcli.start("run", "-c", "out up\nwait", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert client.stdout.readline() == b"up\n"
    client.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert client.poll() is None
    client.send_signal(signal.SIGTERM)
    assert client.wait(timeout=nvcli.PATIENCE) == 143


def test_interrupted_json_is_an_object_with_what_came_so_far():
    client = nvcli.start("run", "--json", "-c", "out so far\nout x\nwait")
    until = time.monotonic() + nvcli.PATIENCE
    while not nvcli.children(client.pid) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)
    client.send_signal(signal.SIGINT)
    found = json.loads(client.communicate(timeout=nvcli.PATIENCE)[0])
    assert client.returncode == 130
    assert (found["outcome"], found["exit_code"]) == ("cancelled", 130)
    assert found["stdout"] == "so far\nx\n"


# ---- progress ----------------------------------------------------------------------------------------------------


def on_terminal(script, seconds):
    """Standard error's bytes when that is a terminal, after a run that is interrupted after `seconds`."""
    master, slave = pty.openpty()
    client = nvcli.start("run", "-c", script, stderr=slave)
    os.close(slave)
    seen = b""

    def drain():
        nonlocal seen
        try:
            while chunk := os.read(master, 4096):
                seen += chunk
        except OSError:
            pass

    thread = threading.Thread(target=drain)
    thread.start()
    time.sleep(seconds)
    client.send_signal(signal.SIGINT)
    client.wait(timeout=nvcli.PATIENCE)
    thread.join(nvcli.PATIENCE)
    os.close(master)
    return seen


def test_progress_shows_after_a_second_and_is_erased():
    seen = on_terminal("progress booting \x1b[31mred\nwait", 1.5)
    assert b"booting \\x1b[31mred (1 s)" in seen
    assert seen.endswith(b"\r\x1b[K")


def test_quick_runs_and_output_show_no_progress():
    assert on_terminal("out x\nwait", 1.3) == b""
    assert on_terminal("progress x\nwait", 0.3) == b""


# ---- daemons -----------------------------------------------------------------------------------------------------


def without_daemon(**more):
    return nvcli.environment(NEUROVISOR_STANDALONE=None, **more)


def test_socket_that_refuses_or_is_absent_is_passed_over(tmp_path):
    dead = tmp_path / "dead.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(dead))
    listener.close()
    result = nvcli.run("out private", "--socket", str(dead), env=without_daemon(NEUROVISOR_SOCKET=tmp_path / "none"))
    assert (result.returncode, result.stdout) == (0, b"private\n")
    assert str(dead).encode() in result.stderr and b"none" not in result.stderr


def test_daemon_that_answers_is_used_in_the_contracts_order(tmp_path):
    """A listener that hangs up at once is proof enough of who was asked."""
    runtime = tmp_path / "runtime/neurovisor"
    runtime.mkdir(parents=True)
    paths = [tmp_path / "flag.sock", tmp_path / "env.sock", runtime / "api.sock"]
    for first in range(3):
        listeners = []
        for path in paths[first:]:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen()
            listener.settimeout(nvcli.PATIENCE)
            listeners.append(listener)
        client = nvcli.start("run", "-c", "out x", "--socket", str(paths[0]),
                             env=without_daemon(NEUROVISOR_SOCKET=paths[1], XDG_RUNTIME_DIR=tmp_path / "runtime"))
        listeners[0].accept()[0].close()
        assert client.wait(timeout=nvcli.PATIENCE) == 125
        for path, listener in zip(paths[first:], listeners):
            listener.close()
            path.unlink()


def test_standalone_asks_no_daemon(tmp_path):
    path = tmp_path / "d.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        result = nvcli.run("out private", "--standalone", env=without_daemon(NEUROVISOR_SOCKET=path))
    assert result.stdout == b"private\n"


def test_socket_without_permission_names_the_group(folder, ordinary_user):
    path = folder / "d.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        result = nvcli.run("out x", env=without_daemon(NEUROVISOR_SOCKET=path), **ordinary_user)
    group = grp.getgrgid(path.stat().st_gid).gr_name.encode()
    assert result.returncode == 125
    assert b"it is for group '" + group + b"'" in result.stderr
    assert b"usermod -aG " + group in result.stderr


def test_interrupt_while_json_is_stuck_on_a_slow_reader():
    reader, writer = os.pipe()
    client = nvcli.start("run", "--json", "-c", "flood out 1000000", stdout=writer)
    os.close(writer)
    os.read(reader, 1)  # the object has begun; nobody reads on
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=nvcli.PATIENCE) == 130
    os.close(reader)
