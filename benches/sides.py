#!/usr/bin/env python3
"""Compares programs, or options of one, side by side: the server's processor time for a request and
the rate, as ratios to the first side.

    benches/sides.py [-r ROUNDS] [-c CONNECTIONS] SIDE SIDE...

A SIDE is a program with its options in one argument, as in
'target/release/swiftd --seccomp off --landlock off'. The server is on processor 0, wrk on processor 1.
Sides take turns, the order changes with each round, and medians of the rounds' ratios are told.
"""

import argparse
import os
import re
import shlex
import statistics
import subprocess
import tempfile

SECONDS = 2
TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(side, site, connections):
    """Seconds of the processor for a request, and requests a second."""
    command = ["taskset", "-c", "0", *shlex.split(side), site, "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    address = None
    while address is None:
        line = server.stderr.readline()
        if not line:
            raise SystemExit(f"it does not start: {side}")
        address = re.search(r"on (http://[^ ,]+/)", line)
    before = processor_seconds(server.pid)
    url = address.group(1) + "1k.html"
    load = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", url]
    said = subprocess.run(load, capture_output=True, text=True, check=True).stdout
    after = processor_seconds(server.pid)
    server.terminate()
    server.wait()
    count = int(re.search(r"(\d+) requests in", said).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1))
    return (after - before) / count, rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("-r", "--rounds", type=int, default=11)
    parser.add_argument("-c", "--connections", type=int, default=64)
    parser.add_argument("sides", nargs="+")
    given = parser.parse_args()
    results = {side: [] for side in given.sides}
    with tempfile.TemporaryDirectory() as site:
        with open(f"{site}/1k.html", "w") as page:
            page.write("x" * 1024)
        for number in range(given.rounds):
            for side in given.sides if number % 2 == 0 else reversed(given.sides):
                results[side].append(measure(side, site, given.connections))
    first = results[given.sides[0]]
    for side in given.sides:
        pairs = list(zip(results[side], first))
        cpu = statistics.median(own[0] / other[0] for own, other in pairs)
        rate = statistics.median(own[1] / other[1] for own, other in pairs)
        us = statistics.median(own[0] for own in results[side]) * 1e6
        print(f"{us:7.2f} us of processor a request, ratio {cpu:.3f}; rate, ratio {rate:.3f}: {side}")


if __name__ == "__main__":
    main()
