#!/usr/bin/env python3
"""What plugins cost requests that they pass on, and what memory a loaded one takes.

    benches/plugins/cost.py [--before BINARY] [--rounds N] [--seconds S]

Compares, in alternating rounds, servers on processor 0 under wrk on processor 1: this build without
plugins, the build at BINARY (another one, to compare with; best built from the commit before), five
plugins that implement subrequest_start, and five that implement all six chained hooks. Prints medians
and ratios; decides nothing. Needs wrk, cc, and target/release/swiftd with `make plugins`.
"""
import argparse
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]


def build(folder, name, options):
    library = folder / f"{name}.so"
    command = ["cc", "-Os", "-fPIC", "-shared", "-fvisibility=hidden", "-s"]
    command += ["-I", PROJECT / "plugins/include", f'-DNAME="{name}"', *options]
    subprocess.run([*command, PROJECT / "benches/plugins/pass.c", "-o", library], check=True)


def start(binary, site, options):
    command = ["taskset", "-c", "0", binary, site, "--listen", "127.0.0.1:0", *options]
    server = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)
    line = server.stderr.readline()
    address = re.search(r"http://(\S+)/", line)
    if not address:
        sys.exit(f"{binary} does not start: {line}{server.stderr.read()}")
    return server, address[1]


def processor_ns(server):
    tasks = pathlib.Path(f"/proc/{server.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def measure(server, address, connections, seconds):
    before = processor_ns(server)
    command = f"taskset -c 1 wrk -t1 -c{connections} -d{seconds}s http://{address}/file"
    text = subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(text)
    count = int(re.search(r"(\d+) requests in", text)[1])
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return per_second, (processor_ns(server) - before) / count / 1000


def memory_kib(server):
    """Memory of its own, and how much of it is not backed by a file."""
    subprocess.run(["sync"], check=True)
    text = pathlib.Path(f"/proc/{server.pid}/smaps_rollup").read_text()
    private = int(re.search(r"Private_Dirty:\s+(\d+)", text)[1])
    return private


def throughput(servers, connections, rounds, seconds):
    figures = {name: [] for name in servers}
    for number in range(rounds):
        # Another order each time, so that what comes before hurts nobody more often than others.
        names = list(servers)
        random.Random(number).shuffle(names)
        for name in names:
            figures[name].append(measure(*servers[name], connections, seconds))
    print(f"\n{connections} connections, {rounds} rounds of {seconds} s, medians; ratios to the first line")
    print("are medians of the rounds' ratios:")
    print(f"{'':34}{'requests/s':>12}{'ratio':>8}{'CPU µs':>10}{'ratio':>8}")
    base = next(iter(figures.values()))
    for name, pairs in figures.items():
        per_second, cpu = (statistics.median(column) for column in zip(*pairs))
        ratios = [
            statistics.median(own[column] / first[column] for own, first in zip(pairs, base))
            for column in (0, 1)
        ]
        print(f"{name:34}{per_second:12.0f}{ratios[0]:8.3f}{cpu:10.3f}{ratios[1]:8.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", help="another build of swiftd")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=1)
    arguments = parser.parse_args()
    binary = PROJECT / "target/release/swiftd"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        site = folder / "site"
        site.mkdir()
        (site / "file").write_bytes(b"x" * 1024)
        lists = {}
        for kind, options in [("one", []), ("all", ["-DALL"])]:
            plugins = folder / kind
            plugins.mkdir()
            names = [f"pass{number}" for number in range(5)]
            for name in names:
                build(plugins, name, options)
            lists[kind] = folder / f"{kind}.conf"
            lists[kind].write_text("".join(f"{name}:{plugins}/$\n" for name in names))
        empty = folder / "empty.conf"
        empty.write_text("# none\n")
        wanted = {}
        if arguments.before:
            wanted["the build before"] = (arguments.before, [])
        wanted["no plugins"] = (binary, [])
        wanted["an empty list"] = (binary, ["--plugins", empty])
        wanted["five, subrequest_start"] = (binary, ["--plugins", lists["one"]])
        wanted["five, all six chained hooks"] = (binary, ["--plugins", lists["all"]])
        servers = {name: start(which, site, options) for name, (which, options) in wanted.items()}
        try:
            time.sleep(0.5)
            for connections in (64, 1):
                throughput(servers, connections, arguments.rounds, arguments.seconds)
        finally:
            for server, _ in servers.values():
                server.terminate()
                server.wait()
        memory(binary, site, folder, empty, lists["one"])


def memory(binary, site, folder, empty, five):
    print("\nprivate dirty memory after one request, KiB:")
    base = None
    rows = [("no plugins", []), ("an empty list", ["--plugins", empty]), ("five in C", ["--plugins", five])]
    for library in sorted((PROJECT / "target/plugins").glob("*.so")):
        name = library.stem
        shutil.copy(library, folder / library.name)
        single = folder / f"{name}.conf"
        single.write_text(f"{name}:{folder}/$\n")
        options = ["--plugins", single]
        if name == "basic_auth":
            users = folder / "users"
            users.write_text("a:{SHA}" + "0" * 27 + "=\n")
            users.chmod(0o600)
            options += ["--set", f"plugin.basic_auth.file={users}", "--set", "plugin.basic_auth.paths=/x"]
        if name in ("access", "headers", "redirect"):
            rule = {"access": "deny 192.0.2.1", "headers": "set / X-A b", "redirect": "exact /x /y"}[name]
            options += ["--set", f"plugin.{name}.rules={rule}"]
        rows.append((f"{name}.so, {library.stat().st_size // 1024} KiB", options))
    for name, options in rows:
        server, address = start(binary, site, options)
        try:
            subprocess.run(["curl", "-s", "-o", "/dev/null", f"http://{address}/file"], check=True)
            private = memory_kib(server)
            base = base if base is not None else private
            print(f"{name:34}{private:8}{private - base:+8}")
        finally:
            server.terminate()
            server.wait()


main()
