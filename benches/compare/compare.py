"""Compares swiftd with nginx, lighttpd, h2o and a ceiling on this machine. See README.md.

The order of things: read the options, make the files, run each case, write what was measured.
A case is a function from (name, options) to a Table, or raises Skip with what is missing.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import cold_disk
import documents
import idle
import machine
import report
import servers
import throughput
from skip import Skip

CASES = {
    **{name: throughput.run for name in throughput.CASES},
    "idle": idle.run_behind_idle,
    "first-byte": idle.run_first_byte,
    "memory": idle.run_memory,
    "cold-disk": cold_disk.run,
}


def main():
    options = parse_options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # unwinds, so that everything is stopped
    machine.pin(machine.LOAD_CPU)
    machine.raise_descriptor_limit()
    about = {**machine.description(), "rounds": f"{options.rounds} of {options.seconds} s",
             "servers": ", ".join(options.servers)}
    tables = []
    with tempfile.TemporaryDirectory(prefix="swiftd-compare-") as scratch:
        options.scratch, options.root = Path(scratch), Path(scratch) / "root"
        options.scratch.chmod(0o755)
        documents.write(options.root)
        if servers.CEILING in options.servers:
            servers.build_ceiling(options.scratch)
        failed = [name for name in options.cases if not run_case(name, options, about, tables)]
    print(f"compare: results in {options.results}", file=sys.stderr)
    sys.exit(bool(failed))


def run_case(name, options, about, tables):
    """Returns whether it went well; a case that fails or is skipped does not keep the others from running."""
    print(f"compare: {name} ...", file=sys.stderr, flush=True)
    others = machine.OtherWork()
    try:
        table = CASES[name](name, options)
    except Skip as missing:
        print(f"compare: {name} skipped: {missing}\n", file=sys.stderr)
        about[f"skipped {name}"] = str(missing)
        return True
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        traceback.print_exc()
        about[f"failed {name}"] = str(error)
        return False
    table.notes.append(f"other work took {others.percent():.0f} % of the CPUs meanwhile")
    tables.append(table)
    print(table.markdown(), flush=True)
    report.write(options.results, about, tables)
    return True


def parse_options():
    parser = argparse.ArgumentParser(prog="run.sh", description="Compares swiftd with other servers.")
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="samples per server and case (5)")
    parser.add_argument("--seconds", type=int, default=2, help="of load per sample (2)")
    parser.add_argument("--servers", default=",".join(servers.NAMES), help="comma-separated (all that are installed)")
    parser.add_argument("--results", type=Path, default=Path("target/compare"), help="directory (target/compare)")
    options = parser.parse_args()
    os.environ.setdefault("SWIFTD", str(Path("target/release/swiftd").resolve()))
    unknown = set(options.cases) - set(CASES) | set(options.servers.split(",")) - set(servers.NAMES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if shutil.which("wrk") is None:
        parser.error("wrk is missing (apt-get install wrk)")
    if os.cpu_count() < 2:
        parser.error("two CPUs are needed: one for the server, one for the load")
    options.cases = options.cases or list(CASES)
    wanted = options.servers.split(",")
    options.servers = [name for name in wanted if servers.available(name)]
    for name in set(wanted) - set(options.servers):
        print(f"compare: {name} is not installed and left out", file=sys.stderr)
    options.results.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
