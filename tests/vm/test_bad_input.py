"""Wrong use: status 125, a message that names what was wrong and what is accepted, and nothing started.

None of these needs a guest: what can be refused before a boot is refused before a boot.
"""

import os
import time

import pytest

import nv

pytestmark = pytest.mark.no_image
LIMIT = 4 * 1024 * 1024


@pytest.fixture
def no_images(folder):
    """An empty store: whoever gets as far as booting says `image`, so a refusal that came earlier shows."""
    return nv.environment(NEUROVISOR_DATA_DIR=folder / "empty")


def refused(done, *words):
    text = done.stderr.decode()
    assert done.returncode == 125, text
    assert done.stdout == b""
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    assert "image build" not in text, f"got as far as the image: {text}"


@pytest.mark.parametrize("arguments,words", [
    (["-l", "cobol", "-c", "x"], ["cobol", "python", "bash", "javascript", "go", "rust"]),
    (["-t", "0", "-c", "x"], ["-t", "1", "86400"]),
    (["-t", "-1", "-c", "x"], ["-t", "86400"]),
    (["-t", "1e9", "-c", "x"], ["-t", "86400"]),
    (["-t", "99999999999999999999", "-c", "x"], ["-t", "86400"]),
    (["-t", "", "-c", "x"], ["-t", "86400"]),
    (["--size", "huge", "-c", "x"], ["--size", "huge", "small", "medium", "large"]),
    (["--nonsense", "-c", "x"], ["--nonsense"]),
    (["--max-output", "-5", "-c", "x"], ["--max-output", "-5"]),
    (["-e", "NOEQUALS", "-c", "x"], ["NOEQUALS", "NAME=VALUE"]),
    (["--accel", "magic", "-c", "x"], ["--accel", "auto", "kvm", "tcg"]),
    (["-c"], ["-c"]),
])
def test_wrong_flags_name_the_flag_and_what_is_accepted(arguments, words, no_images):
    refused(nv.run(*arguments, env=no_images), *words)


def test_file_that_is_missing_unreadable_or_a_directory(folder, no_images, is_root):
    refused(nv.run(str(folder / "absent.py"), env=no_images), "absent.py")
    refused(nv.run(str(folder), "-l", "python", env=no_images), "directory")
    secret = folder / "secret.py"
    secret.write_text("print(1)")
    secret.chmod(0)
    if not is_root:  # root may read everything
        refused(nv.run(str(secret), env=no_images), "secret.py")


def test_unreadable_file_as_an_ordinary_user(folder, no_images, is_root):
    if not is_root:
        pytest.skip("covered by the test above when not root")
    secret = folder / "secret.py"
    secret.write_text("print(1)")
    secret.chmod(0)
    if not os.access(nv.BIN, os.X_OK) or any(p.stat().st_mode & 1 == 0 for p in [nv.BIN, *nv.BIN.parents]):
        pytest.skip(f"another user cannot reach {nv.BIN}")
    refused(nv.run(str(secret), env=no_images, user=65534, group=65534, extra_groups=[]), "secret.py")


def test_code_that_is_empty_or_has_nul_bytes_or_is_too_long(folder, no_images):
    refused(nv.python("", env=no_images), "empty")
    refused(nv.run("-l", "bash", "-", stdin=b"echo a\0b\n", env=no_images), "NUL")
    too_long = folder / "long.py"
    too_long.write_bytes(b"#" * (LIMIT + 1))
    refused(nv.run(str(too_long), env=no_images), str(LIMIT))
    refused(nv.run("-l", "python", "-", stdin=b"#" * (LIMIT + 1), env=no_images), str(LIMIT))


def test_no_image_says_how_to_build_one(no_images):
    done = nv.python("print(1)", env=no_images)
    assert done.returncode == 125
    assert b"image build" in done.stderr


def test_refusals_are_quick(no_images):
    begin = time.monotonic()
    nv.run("-t", "0", "-c", "x", env=no_images)
    assert time.monotonic() - begin < 2
