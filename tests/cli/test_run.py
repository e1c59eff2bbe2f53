"""What `run` passes on: request, output, input, exit status, JSON."""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest

import nvcli


def test_output_is_unchanged_and_kept_apart():
    result = nvcli.run("hex out 00ff0d0a\nhex err fe\nout end")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"\x00\xff\r\nend\n", b"\xfe")


@pytest.mark.parametrize("result,status,said", [
    ("exit=0 outcome=success", 0, b""),
    ("exit=3 outcome=error", 3, b""),
    ("exit=1 outcome=compile_error", 1, b""),
    ("exit=124 outcome=timeout", 124, b"neurovisor: timed out after 30 s; allow more with --timeout\n"),
    ("exit=137 outcome=oom signal=9", 137, b"neurovisor: out of memory: killed at the memory limit"),
    ("exit=139 outcome=signal signal=11", 139, b"neurovisor: the program was killed by signal 11 (SIGSEGV)\n"),
    ("exit=0 outcome=output_limit out_lost=12", 0, b"discarded (stdout 12, stderr 0 bytes)"),
    ("exit=1 outcome=error hint=no-network", 1, b"neurovisor: hint: no-network\n"),
])
@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_exit_statuses_are_the_contracts_with_and_without_json(result, status, said, json_flag):
    ended = nvcli.run(f"result {result}", *json_flag)
    assert ended.returncode == status
    assert (said in ended.stderr) if said else ended.stderr == b""
    if json_flag:
        assert json.loads(ended.stdout)["exit_code"] == status


def test_our_line_begins_on_a_line_of_its_own():
    result = nvcli.run("hex err 61\nresult exit=124 outcome=timeout")
    assert result.stderr.startswith(b"a\nneurovisor: timed out")


def test_request_says_what_the_flags_say():
    result = nvcli.run("request", "-l", "sh", "-t", "7", "--size", "s", "--image", "mini", "--max-output", "1K",
                       "--cold", "-e", "A=1", "-e", "B=x=y", "--stdin", "/dev/null", "--", "one", "", "--json")
    assert result.stdout.decode() == (
        "language=bash\ntimeout=7\nmax_output=1024\nsize=small\nimage=mini\ncold=true\nstdin_follows=true\n"
        "arg=one\narg=\narg=--json\nenv A=1\nenv B=x=y\n")


def test_defaults_of_the_request():
    result = nvcli.call("run", stdin=b"request")
    assert result.stdout.decode() == (
        "language=python\ntimeout=30\nmax_output=10485760\nsize=medium\nimage=\ncold=false\nstdin_follows=false\n")


def test_variables_stand_in_for_flags_and_flags_win():
    env = nvcli.environment(NEUROVISOR_TIMEOUT=9, NEUROVISOR_SIZE="large", NEUROVISOR_COLD="yes")
    out = nvcli.run("request", "-t", "8", env=env).stdout.decode()
    assert "timeout=8\n" in out and "size=large\n" in out and "cold=true\n" in out


def test_flags_for_the_engine_reach_a_private_one():
    out = nvcli.run("request", "--accel", "tcg", "--backend", "qemu", "--data-dir", "/d").stdout.decode()
    assert "engine NEUROVISOR_ACCEL=tcg\nengine NEUROVISOR_BACKEND=qemu\nengine NEUROVISOR_DATA_DIR=/d\n" in out


def test_code_comes_from_file_dash_pipe_or_fifo(tmp_path):
    file = tmp_path / "a.sh"
    file.write_text("out file")
    assert nvcli.call("run", str(file)).stdout == b"file\n"
    assert nvcli.call("run", "-", stdin=b"out dash").stdout == b"dash\n"
    assert nvcli.call("run", stdin=b"out pipe").stdout == b"pipe\n"
    fifo = tmp_path / "fifo.py"
    os.mkfifo(fifo)
    client = nvcli.start("run", str(fifo))
    fifo.write_text("out fifo")
    assert client.communicate(timeout=nvcli.PATIENCE)[0] == b"fifo\n"


def test_json_has_exactly_the_contracts_fields():
    result = nvcli.run("out o\nhex err ff\nresult exit=3 outcome=error", "--json")
    assert result.stdout.count(b"\n") == 1
    found = json.loads(result.stdout)
    trace_id = found.pop("trace_id")
    assert len(trace_id) == 36
    assert found == {
        "stdout": "o\n", "stderr": "�", "stderr_base64": "/w==", "exit_code": 3, "duration_ms": 2.063,
        "timed_out": False, "outcome": "error", "signal": 0, "truncated": {"stdout_bytes": 0, "stderr_bytes": 0},
        "timings_ms": {"acquire": 1.5, "prepare": 0.0, "compile": 0.0, "run": 0.0, "total": 4.25},
        "usage": {"cpu_ms": 0.0, "max_rss_bytes": 4096}}


def test_timings_are_one_line_on_stderr():
    result = nvcli.run("err x", "--timings")
    assert result.stderr == (b"x\nneurovisor: acquire 1.5 ms, prepare 0.0 ms, compile 0.0 ms, run 0.0 ms, total 4.2 ms "
                             b"(fake, none)\n")


# ---- standard input ----------------------------------------------------------------------------------------------


def test_input_is_streamed_byte_for_byte():
    data = os.urandom(3_000_000)
    assert nvcli.run("stdin", stdin=data).stdout == data


def test_input_from_file_flag_null_and_closed_descriptor(tmp_path):
    file = tmp_path / "input"
    file.write_bytes(b"from a file")
    assert nvcli.run("stdin", "--stdin", str(file)).stdout == b"from a file"
    assert nvcli.run("stdin", stdin=subprocess.DEVNULL).stdout == b""
    closed = subprocess.run(["sh", "-c", f"exec {nvcli.NEUROVISOR} run -c 'stdin' <&-"], capture_output=True,
                            env=nvcli.environment(), timeout=nvcli.PATIENCE, check=False)
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, b"", b"")


def test_input_from_a_socket():
    ours, theirs = socket.socketpair()
    client = nvcli.start("run", "-c", "stdin", stdin=theirs)
    theirs.close()
    ours.sendall(b"by socket")
    ours.close()
    assert client.communicate(timeout=nvcli.PATIENCE)[0] == b"by socket"


def test_terminal_input_is_streamed_line_by_line():
    master, slave = os.openpty()
    client = nvcli.start("run", "-c", "stdin", stdin=slave)
    os.write(master, b"one\n")
    assert client.stdout.readline() == b"one\n"
    os.write(master, b"two\n\x04")  # ^D
    assert client.communicate(timeout=nvcli.PATIENCE)[0] == b"two\n"
    assert client.returncode == 0
    os.close(master), os.close(slave)


def test_input_that_never_ends_does_not_hold_the_exit():
    reader, writer = os.pipe()
    assert nvcli.run("out done", stdin=reader).stdout == b"done\n"
    os.close(reader), os.close(writer)
    with open("/dev/zero", "rb") as zeros:
        assert nvcli.run("out done", stdin=zeros).stdout == b"done\n"


def test_shared_descriptors_stay_blocking():
    """O_NONBLOCK on the shell's own pipe or terminal would break the next command."""
    reader, writer = os.pipe()
    client = nvcli.start("run", "-c", "out x", stdin=reader, stdout=writer)
    client.wait(timeout=nvcli.PATIENCE)
    assert os.get_blocking(reader) and os.get_blocking(writer)
    os.close(reader), os.close(writer)


# ---- standard output ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_as_dev_null(closed):
    result = subprocess.run(["sh", "-c", f"exec {nvcli.NEUROVISOR} run -c 'out o\nerr e\nresult exit=3' {closed}"],
                            capture_output=True, env=nvcli.environment(), stdin=subprocess.DEVNULL,
                            timeout=nvcli.PATIENCE, check=False)
    assert result.returncode == 3
    assert result.stdout == (b"" if " >&-" in f" {closed}" else b"o\n")
    assert result.stderr == (b"" if "2>&-" in closed else b"e\n")


@pytest.mark.parametrize("script,stream", [("out one\nflood out 50000000", "stdout"), ("err one\nflood err 50000000", "stderr")])
def test_reader_that_goes_away_ends_the_run_quietly(script, stream):
    client = nvcli.start("run", "-c", script)
    pipe = getattr(client, stream)
    assert pipe.readline() == b"one\n"
    pipe.close()
    assert client.wait(timeout=nvcli.PATIENCE) == 128 + signal.SIGPIPE
    if stream == "stdout":
        assert client.stderr.read() == b""


def test_json_to_a_closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    client = nvcli.start("run", "--json", "-c", "out x", stdout=writer)
    os.close(writer)
    assert client.wait(timeout=nvcli.PATIENCE) == 141


def test_slow_reader_of_a_non_blocking_pipe_gets_every_byte():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    client = nvcli.start("run", "-c", "flood out 5000000", stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        total = 0
        while chunk := pipe.read(7000):
            total += len(chunk)
    assert (client.wait(timeout=nvcli.PATIENCE), total) == (0, 5_000_000)


@pytest.mark.parametrize("kind", ["pipe", "socket", "file", "terminal"])
def test_every_kind_of_output_gets_every_byte(kind, tmp_path):
    size = 1_000_000
    total = []
    if kind == "file":
        with open(tmp_path / "out", "ab") as file:
            assert nvcli.start("run", "-c", f"flood out {size}", stdout=file).wait(timeout=nvcli.PATIENCE) == 0
        assert (tmp_path / "out").stat().st_size == size
        return
    if kind == "socket":
        ours, theirs = socket.socketpair()
        reader, writer = ours.detach(), theirs.detach()
    else:
        reader, writer = os.pipe() if kind == "pipe" else os.openpty()

    def drain():
        try:
            while chunk := os.read(reader, 65536):
                total.append(len(chunk))
        except OSError:  # a terminal's end
            pass

    thread = threading.Thread(target=drain)
    thread.start()
    client = nvcli.start("run", "-c", f"flood out {size}", stdout=writer)
    os.close(writer)
    assert client.wait(timeout=nvcli.PATIENCE) == 0
    thread.join(nvcli.PATIENCE)
    os.close(reader)
    assert sum(total) == size


def peak_rss_while(client):
    """VmHWM of a client that is blocked or just about to end, in bytes."""
    with open(f"/proc/{client.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def test_memory_stays_bounded_while_200_mb_stream_through():
    client = nvcli.start("run", "-c", "flood out 200000000\nwait", "--max-output", "0", "-t", "60")
    left = 200_000_000
    while left:
        left -= len(client.stdout.read1(1 << 20))
    peak = peak_rss_while(client)
    client.send_signal(signal.SIGTERM)
    assert client.wait(timeout=nvcli.PATIENCE) == 143
    assert peak < 30_000_000, f"{peak / 1e6:.1f} MB"


def test_reader_that_stalls_costs_no_memory():
    client = nvcli.start("run", "-c", "flood out 200000000", "--max-output", "0")
    assert client.stdout.read(1000) == b"x" * 1000
    threading.Event().wait(1)  # nobody reads: the windows fill up
    peak = peak_rss_while(client)
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=nvcli.PATIENCE) == 130
    assert peak < 30_000_000, f"{peak / 1e6:.1f} MB"
