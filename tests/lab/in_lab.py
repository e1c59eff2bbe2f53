#!/usr/bin/env python3
"""Runs inside the lab, as root: one run over each path that the outer machine lacks. Prints one JSON object:
{check: {"status": exit status, "out": ..., "err": ...}}. test_lab.py judges it."""

import json
import os
import subprocess

BIN = "/payload/bin/neurovisor"
HELLO = ["-l", "python", "-c", "import platform; print('hello from', platform.node() and 'a guest')"]
CHECKS = {
    "doctor": ["doctor", "--json"],
    "kvm": ["run", "--size", "small", "--accel", "kvm", "--json", *HELLO],
    "auto": ["run", "--size", "small", "--timings", *HELLO],
    "bash": ["run", "--size", "small", "-l", "bash", "-c", "cat; exit 5"],
}


def main():
    environment = dict(os.environ, NEUROVISOR_DATA_DIR="/payload/data")
    results = {}
    for name, arguments in CHECKS.items():
        try:
            done = subprocess.run([BIN, *arguments], env=environment, input="piped in\n", capture_output=True, text=True,
                                  timeout=200, check=False)
            results[name] = {"status": done.returncode, "out": done.stdout, "err": done.stderr}
        except subprocess.TimeoutExpired as error:
            results[name] = {"status": -1, "out": "", "err": f"took longer than {error.timeout} s"}
    results["processes"] = {"status": 0, "err": "", "out": subprocess.run(
        ["ps", "-eo", "comm="], capture_output=True, text=True, check=False).stdout}
    print(json.dumps(results))


main()
