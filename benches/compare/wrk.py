"""Runs wrk against a server and reads what it measured, together with the server's CPU time."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import fetch
import machine

SCRIPTS = Path(__file__).with_name("lua")


@dataclass
class Sample:
    requests: int
    bytes: int
    seconds: float
    p50_us: float
    p99_us: float
    connect_errors: int
    io_errors: int
    status_errors: int
    timeouts: int


def command(port, path, connections, seconds, script="report", arguments=(), headers=()):
    options = [part for header in headers for part in ("-H", header)]
    return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-T30s", "-s", f"{script}.lua", *options,
            f"http://{fetch.HOST}:{port}{path}", "--", *map(str, arguments)]


def run(*args, **kwargs):
    done = subprocess.run(command(*args, **kwargs), cwd=SCRIPTS, capture_output=True, text=True,
                          preexec_fn=lambda: machine.pin(machine.LOAD_CPU))
    return parse(done.stdout, done.stderr)


def parse(output, errors=""):
    line = next((line for line in output.splitlines() if line.startswith("@@ ")), None)
    if line is None:
        raise RuntimeError(f"wrk failed: {output.strip()} {errors.strip()}")
    requests, size, duration_us, p50, p99, connect, io, status, timeouts = map(int, line.split()[1:])
    return Sample(requests, size, duration_us / 1e6, p50, p99, connect, io, status, timeouts)


def measure(server, response_bytes, *args, **kwargs):
    """CPU µs per request, requests/s and latencies of one run.

    With `response_bytes` requests are counted by their bytes, so that a large response that is half
    sent when time is up counts as a half one.
    """
    pids = server.pids()
    before, started = machine.cpu_seconds(pids), time.monotonic()
    sample = run(server.port, *args, **kwargs)
    cpu = machine.cpu_seconds(pids) - before
    count = sample.bytes / response_bytes if response_bytes else sample.requests
    if not count:
        raise RuntimeError(f"{server.name} answered nothing in {time.monotonic() - started:.0f} s")
    return {
        "cpu": cpu * 1e6 / count,
        "rate": count / sample.seconds,
        "p50": sample.p50_us,
        "p99": sample.p99_us,
        "errors": sample.connect_errors + sample.io_errors + sample.timeouts,
        "statuses": sample.status_errors,
    }
