"""Code exactly at the limit runs; one byte more is refused (test_bad_input.py)."""

import nv

LIMIT = 4 * 1024 * 1024


def test_four_mebibytes_of_code_run(folder):
    code = b"print('ran')\n"
    file = folder / "long.py"
    file.write_bytes(code + b"#" * (LIMIT - len(code)))
    done = nv.run(str(file))
    assert (done.stdout, done.returncode) == (b"ran\n", 0), done.stderr
