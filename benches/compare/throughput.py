"""The cases that wrk drives: small files, pipelining, 404, closing, many files, large files."""

from contextlib import ExitStack
from dataclasses import dataclass

import documents
import fetch
import wrk
from report import Bar, Metric, Table
from servers import CEILING, Running

CPU = Metric("cpu", "CPU µs/request", 2)
RATE = Metric("rate", "requests/s", 0, more_is_better=True)
METRICS = [CPU, RATE, Metric("p50", "p50 µs", 0), Metric("p99", "p99 µs", 0)]


@dataclass
class Case:
    title: str
    path: str
    bars: list
    connections: int = 64
    status: int = 200
    script: str = "report"
    arguments: tuple = ()
    close: bool = False
    large: bool = False


CASES = {
    "small": Case("1 KiB file, 64 keep-alive connections", "/1k.bin",
                  [Bar("cpu", 0.95), Bar("cpu", 1.2, CEILING)]),
    "pipelined": Case("1 KiB file, 64 connections, pipelined by 16", "/1k.bin",
                      [Bar("cpu", 0.4)], script="pipelined"),
    "missing": Case("404, 64 keep-alive connections", "/missing", [Bar("cpu", 0.95)], status=404),
    "close": Case("1 KiB file, 64 connections, Connection: close", "/1k.bin", [Bar("cpu", 1.1)], close=True),
    "many-files": Case("10,000 files of 1 KiB at random, 64 connections", "/files/00000.bin",
                       [Bar("cpu", 0.85)], script="random", arguments=(documents.FILE_COUNT,)),
    "100k": Case("100 KiB file, 16 connections", "/large-100k.bin",
                 [Bar("rate", 0.95, at_least=True), Bar("cpu", 1.1)], connections=16, large=True),
    "10m": Case("10 MiB file, 16 connections", "/large-10m.bin",
                [Bar("rate", 0.95, at_least=True)], connections=16, large=True),
}


def run(name, options):
    case = CASES[name]
    table = Table(f"{name}: {case.title}", METRICS, case.bars)
    with ExitStack() as stack:
        servers = [stack.enter_context(start(server, case, options)) for server in options.servers]
        wire_bytes = {server.name: check(server, case, options) for server in servers}
        for server in servers:
            measure(server, case, wire_bytes, 1)  # warms caches, its figures are not kept
        for round_number in range(options.rounds):
            turn = round_number % len(servers)
            for server in servers[turn:] + servers[:turn]:
                table.add(server.name, measure(server, case, wire_bytes, options.seconds))
    for server, row in table.samples.items():
        if any(row["errors"]):
            table.notes.append(f"{server}: {sum(row['errors'])} connection errors")
    return table


def start(name, case, options):
    mode = ("close",) if case.close else ()
    large = case.path[1:] if case.large else "large-10m.bin"
    return Running(name, options.root, options.scratch, mode, large)


def check(server, case, options):
    """The ceiling knows no paths, so of the many files it is only asked for its status."""
    body = None
    if case.status == 200 and not (server.name == CEILING and case.script == "random"):
        body = (options.root / case.path[1:]).read_bytes()
    return fetch.check(server.port, case.path, case.status, body, case.close)


def measure(server, case, wire_bytes, seconds):
    values = wrk.measure(server, wire_bytes[server.name] if case.large else None, case.path,
                         case.connections, seconds, case.script, case.arguments,
                         ("Connection: close",) if case.close else ())
    refused = values.pop("statuses")
    if refused and case.status == 200:
        raise RuntimeError(f"{server.name}: {refused} responses were not {case.status}")
    return values
