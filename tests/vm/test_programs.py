"""What a program sees and what comes back, byte for byte. A boot costs seconds, so each run checks several things."""

import base64
import json
import time

import nv

EVERY_BYTE = bytes(range(256))


def test_bytes_arguments_environment_and_status_pass_through():
    code = """
import os, sys
data = sys.stdin.buffer.read()
sys.stdout.buffer.write(bytes(range(256)))
sys.stdout.buffer.write(data[::-1])
sys.stderr.buffer.write(b"\\xff\\xfe" + os.environb[b"COLOUR"] + b"|" + "|".join(sys.argv[1:]).encode())
sys.exit(7)
"""
    done = nv.python(code, "-e", "COLOUR=gr\udcffn", "--", "a b", "-x", stdin=EVERY_BYTE)
    assert done.stdout == EVERY_BYTE + EVERY_BYTE[::-1]
    assert done.stderr == b"\xff\xfegr\xffn|a b|-x"
    assert done.returncode == 7


def test_program_is_an_ordinary_user_without_network_in_a_fresh_machine():
    code = """
import os, socket, pathlib
print(os.getuid(), os.getpid() != 1, sorted(os.listdir("/sys/class/net")))
pathlib.Path("/tmp/mine").write_text("x")
try:
    pathlib.Path("/usr/bin/mine").write_text("x")
    print("wrote to /usr")
except OSError:
    print("may not write to /usr")
try:
    socket.create_connection(("192.0.2.1", 80), 5)
    print("connected")
except OSError as error:
    print("no network")
print(float(open("/proc/uptime").read().split()[0]) < 100, abs(__import__("time").time() - float(os.environ["NOW"])) < 60)
"""
    done = nv.python(code, "-e", f"NOW={time.time()}")
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert lines[0] in ("1000 True ['lo']", "1000 True []")
    assert lines[1:] == ["may not write to /usr", "no network", "True True"]


def test_bash_is_bash_and_the_shell_line_decides_the_language():
    done = nv.run("-", stdin=b"#!/bin/bash\na=(1 2 3); echo ${#a[@]} $BASH_VERSION; cat <(echo sub)\n")
    assert done.stdout.splitlines()[0].startswith(b"3 5.")
    assert done.stdout.splitlines()[1] == b"sub"
    assert done.returncode == 0


def test_invalid_utf8_in_code_reaches_the_interpreter_unchanged():
    done = nv.bash(b"printf '%s' '\xff\xc3('".decode("utf-8", "surrogateescape"))
    assert done.stdout == b"\xff\xc3("
    assert done.returncode == 0


def test_json_replaces_invalid_utf8_and_adds_the_truth():
    done = nv.bash(r"printf 'a\xffb'; printf 'fine' >&2; exit 3", "--json")
    report = json.loads(done.stdout)
    assert report["stdout"] == "a\ufffdb"
    assert base64.b64decode(report["stdout_base64"]) == b"a\xffb"
    assert report["stderr"] == "fine"
    assert (report["exit_code"], report["outcome"], report["timed_out"]) == (3, "error", False)
    assert set(report["timings_ms"]) == {"acquire", "prepare", "compile", "run", "total"}
    assert report["usage"]["max_rss_bytes"] > 0
    assert len(report["trace_id"]) == 36
    assert done.returncode == 3


def test_timeout_ends_the_whole_tree_with_124():
    begin = time.monotonic()
    done = nv.bash("(trap '' TERM; sleep 1000) & echo begun; sleep 1000", "-t", "1", "--json")
    report = json.loads(done.stdout)
    assert (report["outcome"], report["timed_out"], report["exit_code"]) == ("timeout", True, 124)
    assert report["stdout"] == "begun\n"
    assert done.returncode == 124
    assert report["timings_ms"]["run"] < 5000
    assert time.monotonic() - begin < 60


def test_signal_is_128_plus_its_number():
    done = nv.bash("kill -SEGV $$", "--json")
    report = json.loads(done.stdout)
    assert (report["outcome"], report["signal"], done.returncode) == ("signal", 11, 139)


def test_out_of_memory_is_137_and_says_so():
    done = nv.python("x = bytearray(2 << 30)\nx[::4096] = b'x' * len(x[::4096])\nprint('survived')")
    assert b"survived" not in done.stdout
    if done.returncode == 1:  # the allocation itself was refused
        assert b"MemoryError" in done.stderr
    else:
        assert done.returncode == 137
        assert b"memory" in done.stderr


def test_background_child_that_keeps_stdout_open_does_not_hold_the_run():
    begin = time.monotonic()
    done = nv.bash("sleep 1000 & disown; echo parent done", "-t", "60")
    assert done.stdout == b"parent done\n"
    assert done.returncode == 0
    assert time.monotonic() - begin < 50


def test_program_that_forks_without_end_is_ended_and_the_agent_answers():
    done = nv.bash(":(){ :|:& };: 2>/dev/null; sleep 1000", "-t", "5", "--json", timeout=150)
    report = json.loads(done.stdout)
    assert report["outcome"] in ("timeout", "oom", "error", "signal", "output_limit")
    assert done.returncode != 125


def test_killing_everything_in_sight_ends_the_program_not_the_agent():
    done = nv.bash("kill -9 1; kill -9 -1; echo still here", "--json")
    report = json.loads(done.stdout)
    assert report["outcome"] in ("success", "signal", "error")
    assert done.returncode != 125
