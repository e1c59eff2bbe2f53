"""Much output: counted past the limit, unbounded when asked, and host memory stays flat."""

import hashlib
import json
import threading
import time
import pathlib

import nv

MEGABYTE = 1_000_000
# 200 MB of lines that differ, cheap to make in a guest without hardware help.
FLOOD = f"""
import sys
block = (b"0123456789abcdef" * 62500)
for _ in range(200):
    sys.stdout.buffer.write(block)
"""
EXPECTED = hashlib.sha256((b"0123456789abcdef" * 62500) * 200).hexdigest()
MEMORY_MARK = 60 * 1024 * 1024


class PeakMemory(threading.Thread):
    """Sums the peaks (VmHWM) of client and engine while they live."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.peaks, self.stop = client, {}, threading.Event()

    def run(self):
        while not self.stop.wait(0.1):
            for pid, name in {self.client: "neurovisor", **nv.descendants(self.client)}.items():
                if name.startswith("neurovisor"):
                    self.note(pid)

    def note(self, pid):
        try:
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        for line in text.splitlines():
            if line.startswith("VmHWM:"):
                self.peaks[pid] = max(self.peaks.get(pid, 0), int(line.split()[1]) * 1024)


def test_200_megabytes_without_limit_arrive_whole_in_bounded_memory(record_property):
    begin = time.monotonic()
    client = nv.start("-l", "python", "--max-output", "0", "-t", "170", "-c", FLOOD)
    memory = PeakMemory(client.pid)
    memory.start()
    digest, size = hashlib.sha256(), 0
    while chunk := client.stdout.read(1 << 16):
        digest.update(chunk)
        size += len(chunk)
    status = client.wait(timeout=30)
    memory.stop.set()
    memory.join()
    peak = sum(memory.peaks.values())
    record_property("peak_bytes_client_and_engine", peak)
    record_property("seconds", round(time.monotonic() - begin, 1))
    assert (status, size) == (0, 200 * MEGABYTE), client.stderr.read()
    assert digest.hexdigest() == EXPECTED
    assert 0 < peak < MEMORY_MARK


def test_200_megabytes_with_the_default_limit_are_cut_and_counted():
    code = FLOOD + "\nprint('the program went on', file=sys.stderr)"
    done = nv.python(code, "-t", "170", timeout=175)
    assert len(done.stdout) == 10 * 1024 * 1024
    assert b"the program went on" in done.stderr
    discarded = 200 * MEGABYTE - 10 * 1024 * 1024
    assert str(discarded).encode() in done.stderr.replace(b",", b"").replace(b" ", b"")
    assert done.returncode == 0


def test_output_limit_is_an_outcome_of_its_own():
    done = nv.bash("echo 123456789; echo abc >&2; exit 4", "--max-output", "5", "--json")
    report = json.loads(done.stdout)
    assert report["stdout"] == "12345"
    assert report["stderr"] == "abc\n"
    assert report["outcome"] == "output_limit"
    assert report["truncated"]
    assert done.returncode == 4
