"""Processor time for each request without and with an access log; see run.sh."""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = TARGET / "release" / "swiftd"
HERTZ = os.sysconf("SC_CLK_TCK")


def ticks(pid):
    """Processor time of all threads, ticks."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def measure(site, options, seconds):
    """Microseconds of processor time for each request, and requests a second."""
    command = [PROGRAM, site, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        # Notices may come before the ready line.
        ready = None
        while not ready:
            ready = re.search(r"serving .* on (http://\S+/)", server.stderr.readline())
        url = ready.group(1) + "a.txt"
        before = ticks(server.pid)
        load = ["wrk", "-t1", "-c32", f"-d{seconds}s", url]
        output = subprocess.run(load, capture_output=True, text=True, check=True).stdout
        spent = (ticks(server.pid) - before) / HERTZ
        server.terminate()
        rest = server.stderr.read()
    count = int(re.search(r"(\d+) requests in", output).group(1))
    dropped = sum(int(n) for n in re.findall(r"(\d+) access lines dropped", rest))
    return spent * 1e6 / count, count / seconds, dropped


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        site = pathlib.Path(folder) / "site"
        site.mkdir()
        (site / "a.txt").write_text("x" * 1000)
        log = pathlib.Path(folder) / "access"
        ways = {
            "off": [],
            "combined": ["--access-log", log, "--log-buffer", "1M"],
            "json": ["--access-log", log, "--log-format", "json", "--log-buffer", "1M"],
        }
        found = {name: [] for name in ways}
        for _ in range(pairs):
            for name, options in ways.items():
                found[name].append(measure(site, options, seconds))
                log.unlink(missing_ok=True)
        base = statistics.median(cost for cost, _, _ in found["off"])
        print(f"medians of {pairs} runs of {seconds} s, keep-alive, 32 connections, 1,000 bytes")
        for name, runs in found.items():
            cost = statistics.median(cost for cost, _, _ in runs)
            rate = statistics.median(rate for _, rate, _ in runs)
            dropped = sum(count for _, _, count in runs)
            print(
                f"{name:9} {cost:6.2f} us a request ({cost / base:5.3f}), "
                f"{rate:8.0f} requests/s, {dropped} lines dropped"
            )


main()
