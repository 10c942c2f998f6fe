"""Hot 1 KiB requests on a schedule, alone and while four clients fetch large files from a slow disk."""

import subprocess

import documents
import fetch
import machine
import wrk
from report import Metric, Table
from scheduled import RATE, Schedule
from servers import CEILING, Running
from slow_disk import READ_RATE, slow_disk

SECONDS = 10
READERS = 4
FILE_COUNT = 16
FILE_BYTES = 16 * 1024 * 1024

METRICS = [Metric("alone_p99", "p99 ms alone", 2), Metric("p50", "p50 ms", 2), Metric("p99", "p99 ms", 2),
           Metric("p999", "p99.9 ms", 2), Metric("max", "max ms", 2), Metric("unanswered", "unanswered", 0),
           Metric("cold", "cold MiB/s", 1)]


def run(name, options):
    table = Table(f"{name}: 1 KiB requests, {RATE} a second, beside {READERS} clients that fetch {FILE_BYTES >> 20} MiB "
                  f"files from a disk of {READ_RATE >> 20} MiB/s", METRICS,
                  notes=["latencies count from when a request was due; unanswered ones are in them with the time "
                         "they had waited at the end",
                         "the ceiling is left out: it opens no files"])
    with slow_disk(options.scratch) as disk:
        with disk.mounted() as root:
            fill(root)
        for server in options.servers:
            if server == CEILING:
                continue
            with disk.mounted() as root, Running(server, root, options.scratch, cgroup=disk.cgroup) as running:
                table.add(server, measure(running, root))
    return table


def fill(root):
    root.chmod(0o755)
    documents.write_random(root / documents.SMALL, 1024)
    (root / "cold").mkdir()
    for index in range(FILE_COUNT):
        documents.write_random(root / "cold" / f"{index:02}.bin", FILE_BYTES)


def measure(running, root):
    hot = f"/{documents.SMALL}"
    wire_bytes = fetch.check(running.port, hot, 200, (root / documents.SMALL).read_bytes())
    alone = Schedule(running.port, hot, wire_bytes).run(SECONDS)
    # wrk runs a little longer than the schedule, so that the readers are there to its end.
    readers = subprocess.Popen(wrk.command(running.port, "/", READERS, SECONDS + 1, "in_turn", (FILE_COUNT,)),
                               cwd=wrk.SCRIPTS, stdout=subprocess.PIPE, text=True)
    try:
        beside = Schedule(running.port, hot, wire_bytes).run(SECONDS)
        cold = wrk.parse(readers.communicate(timeout=30)[0])
    except BaseException:
        machine.stop(readers)
        raise
    return {
        "alone_p99": alone.percentile_ms(0.99), "p50": beside.percentile_ms(0.5),
        "p99": beside.percentile_ms(0.99), "p999": beside.percentile_ms(0.999),
        "max": max(beside.latencies) * 1e3, "unanswered": beside.unanswered,
        "cold": cold.bytes / cold.seconds / (1 << 20),
    }
