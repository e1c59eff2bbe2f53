"""Every bad input of `run`: exit status 125, nothing on stdout, a message that names the input, and a remedy."""

import os
import subprocess

import pytest

import nvcli

LIMIT = 4 * 1024 * 1024


def refused(result, *said):
    assert result.returncode == 125, result
    assert result.stdout == b""
    assert result.stderr.startswith(b"neurovisor: ")
    assert b"\n  try: " in result.stderr
    for text in said:
        assert text in result.stderr, result.stderr
    return True


@pytest.mark.parametrize("args,said", [
    (["-t", "0"], b"-t: '0'"), (["-t", "-1"], b"-t: '-1'"), (["-t", "1e9"], b"-t: '1e9'"),
    (["--timeout", "abc"], b"--timeout: 'abc'"), (["--timeout="], b"--timeout: ''"), (["-t", "86401"], b"-t: '86401'"),
    (["--size", "huge"], b"--size: "), (["-l", "ruby"], b"-l: language 'ruby' is unknown; supported: python"),
    (["-e", "NAME"], b"-e: 'NAME' has no '='"), (["-e", "=x"], b"-e: '=x'"),
    (["--max-output", "lots"], b"--max-output: 'lots'"), (["--max-output", "-1"], b"--max-output: '-1'"),
    (["--accel", "xen"], b"--accel: 'xen'"), (["--backend", "firecracker"], b"--backend: 'firecracker'"),
    (["--image", ""], b"--image"), (["--stdin", "/nonexistent"], b"--stdin: "), (["--stdin", "/"], b"--stdin '/'"),
    (["--frobnicate"], b"unknown flag '--frobnicate'"), (["-x"], b"unknown flag '-x'"), (["-t"], b"-t needs a value"),
    (["--json=1"], b"--json takes no value"), (["x.py"], b"both -c and 'x.py'"),
    (["--put", "a"], b"--put: files in and out are not in this version yet"), (["-g", "a"], b"-g: "),
    (["--main", "a"], b"--main: "), (["--socket", "/" + "s" * 108], b"socket path"),
    (["--", b"\xff"], b"argument 1 after '--' is not UTF-8"),
], ids=lambda value: str(value)[:30])
def test_bad_flag(args, said):
    env = nvcli.environment(NEUROVISOR_STANDALONE=None) if "--socket" in args else None
    assert refused(nvcli.run("out x", *args, env=env), said)


@pytest.mark.parametrize("name,value", [("TIMEOUT", "0"), ("SIZE", "huge"), ("MAX_OUTPUT", "x"), ("JSON", "maybe"),
                                        ("ACCEL", "xen"), ("BACKEND", "no"), ("COLD", "2")])
def test_bad_variable_is_named(name, value):
    assert refused(nvcli.run("out x", env=nvcli.environment(**{f"NEUROVISOR_{name}": value})),
                   f"NEUROVISOR_{name}".encode())


@pytest.mark.parametrize("code,said", [
    (b"", b"the code is empty"), (b"a\0b", b"NUL byte at offset 1"), (b"#" * (LIMIT + 1), b"limit of 4194304 bytes"),
], ids=["empty", "nul", "large"])
def test_bad_code_in_a_file_and_on_stdin(tmp_path, code, said):
    file = tmp_path / "code.py"
    file.write_bytes(code)
    assert refused(nvcli.call("run", str(file)), said, str(file).encode())
    assert refused(nvcli.call("run", "-", stdin=code), said, b"standard input")
    assert refused(nvcli.call("run", stdin=code), said, b"standard input")


def test_empty_code_by_flag():
    assert refused(nvcli.run(""), b"-c: the code is empty")


def test_code_of_exactly_the_limit_runs(tmp_path):
    file = tmp_path / "code.py"
    file.write_bytes(b"out ran\n" + b"#" * (LIMIT - 8))
    assert nvcli.call("run", str(file)).stdout == b"ran\n"


def test_missing_files_and_directories(tmp_path):
    assert refused(nvcli.call("run", str(tmp_path / "no.py")), b"no.py", b"No such file")
    assert refused(nvcli.call("run", str(tmp_path)), b"is a directory")
    assert refused(nvcli.call("run", ""), b"empty text")


def test_unreadable_file(folder, ordinary_user):
    secret = folder / "secret.py"
    secret.write_text("out x")
    secret.chmod(0)
    assert refused(nvcli.call("run", str(secret), **ordinary_user), b"secret.py", b"Permission denied")


def test_file_of_unknown_language(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("out x")
    assert refused(nvcli.call("run", str(file)), b"neither a known suffix nor a #! line", b"-l NAME")
    file.write_text("#!/usr/bin/perl\n")
    assert refused(nvcli.call("run", str(file)), b"'perl'")


def test_terminal_without_code_is_a_usage_error():
    master, slave = os.openpty()
    result = nvcli.call("run", stdin=slave)
    os.close(master), os.close(slave)
    assert refused(result, b"no code: give a FILE, -c CODE, or '-'")


def test_stdin_cannot_be_code_and_input():
    assert refused(nvcli.call("run", "--stdin", "-", stdin=b"out x"), b"--stdin -")


def test_directory_as_standard_input():
    directory = os.open("/", os.O_RDONLY)
    assert refused(nvcli.run("out x", stdin=directory), b"standard input is a directory")
    os.close(directory)


def test_words_after_the_file(tmp_path):
    assert refused(nvcli.call("run", "x.py", "word"), b"unexpected 'word' after 'x.py'", b"-- word")


def test_nothing_was_started_for_bad_input():
    """Refused before an engine exists: an engine that cannot start is not even missed."""
    result = nvcli.run("out x", "-t", "0", env=nvcli.environment(NEUROVISOR_LIBEXEC_DIR="/nonexistent"))
    assert b"neurovisor-engine" not in result.stderr and result.returncode == 125


def test_output_that_cannot_be_written_is_our_failure():
    with open("/dev/full", "wb") as full:
        result = subprocess.run([nvcli.NEUROVISOR, "run", "-c", "out x"], stdout=full, stderr=subprocess.PIPE,
                                env=nvcli.environment(), timeout=nvcli.PATIENCE, check=False)
    assert result.returncode == 125
    assert b"No space left on device" in result.stderr
