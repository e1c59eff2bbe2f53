#!/usr/bin/python3
"""A VMM that misbehaves, in place of QEMU. What it does is in the file `mode` beside it:

  dies     writes to stderr and exits at once
  silent   prints console lines with terminal escapes and never answers
  garbage  the same, and sends random bytes over the agent's channel for ever
  frames   sends frames with absurd lengths over the agent's channel for ever

It answers QMP's greeting and commands like QEMU, and `--version`.
"""

import json
import os
import pathlib
import re
import socket
import sys
import threading
import time

MODE = (pathlib.Path(__file__).parent / "mode").read_text().strip()
GREETING = {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}


def chardevs():
    """{id: descriptor} of the `-chardev socket,id=NAME,fd=N` arguments."""
    found = {}
    for argument in sys.argv:
        name, number = re.search(r"\bid=([\w.-]+)", argument), re.search(r"\bfd=(\d+)", argument)
        if argument.startswith("socket,") and name and number:
            found[name.group(1)] = int(number.group(1))
    return found


def speak_qmp(fd):
    control = socket.socket(fileno=fd)
    control.sendall(json.dumps(GREETING).encode() + b"\r\n")
    for line in control.makefile("rb"):
        request = json.loads(line)
        answer = {"return": {}}
        if request.get("execute") == "query-status":
            answer = {"return": {"status": "running", "running": True, "singlestep": False}}
        if "id" in request:
            answer["id"] = request["id"]
        control.sendall(json.dumps(answer).encode() + b"\r\n")
        if request.get("execute") == "quit":
            os._exit(0)


def print_console(fd):
    with os.fdopen(fd, "wb", buffering=0) as console:
        for number in range(40):
            console.write(b"console line %d \x1b[31mred\x07\r\n" % number)
        time.sleep(1000)


def send_for_ever(fd, chunk):
    channel = socket.socket(fileno=fd)
    channel.setblocking(True)
    try:
        while True:
            channel.sendall(chunk)
    except OSError:
        time.sleep(1000)


def main():
    if "--version" in sys.argv or "-version" in sys.argv:
        print("QEMU emulator version 7.2.22 (fake)")
        return
    if MODE == "dies":
        sys.exit("fake-qemu: cannot set up guest memory")
    for name, fd in chardevs().items():
        if "qmp" in name or "mon" in name:
            work = (speak_qmp, fd)
        elif "con" in name or "serial" in name:
            work = (print_console, fd)
        elif MODE == "garbage":
            work = (send_for_ever, fd, os.urandom(1 << 16))
        elif MODE == "frames":
            work = (send_for_ever, fd, b"\xff" * (1 << 16))
        else:
            continue
        threading.Thread(target=work[0], args=work[1:], daemon=True).start()
    time.sleep(1000)


main()
