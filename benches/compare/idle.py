"""The cases with 10,000 idle keep-alive connections: speed beside them, first byte, memory."""

import os
import socket
import time
from contextlib import ExitStack
from statistics import median

import documents
import fetch
import machine
import plot
import wrk
from holder import Holder
from report import Bar, Metric, Table
from servers import Running, connections_max
from skip import Skip

COUNT = 10_000
STEP = 1_000
LOAD_CONNECTIONS = 16
CONNECTS_PER_SAMPLE = 100


def run_behind_idle(name, options):
    require_descriptors()
    metrics = [Metric(f"{key}_{state}", f"{label} {state}", digits)
               for key, label, digits in (("cpu", "CPU µs/request", 2), ("p50", "p50 µs", 0), ("p99", "p99 µs", 0))
               for state in ("alone", "behind")]
    table = Table(f"{name}: 1 KiB file, {LOAD_CONNECTIONS} busy connections alone and behind {COUNT:,} idle ones",
                  metrics, [Bar("cpu_behind", 1.1, "cpu_alone"), Bar("p50_behind", 1.1, "p50_alone")])
    for server in options.servers:
        with start(server, options) as alone, start(server, options) as behind, Holder(behind.port) as holder:
            hold(table, server, holder)
            load(alone, 1), load(behind, 1)  # warms caches
            for _ in range(options.rounds):
                values = {}
                for state, running in (("alone", alone), ("behind", behind)):
                    sample = load(running, options.seconds)
                    values.update({f"{key}_{state}": sample[key] for key in ("cpu", "p50", "p99")})
                table.add(server, values)
            note_lost(table, server, holder)
    return table


def load(running, seconds):
    return wrk.measure(running, None, f"/{documents.SMALL}", LOAD_CONNECTIONS, seconds)


def run_first_byte(name, options):
    require_descriptors()
    steps = range(0, COUNT + 1, STEP)
    table = Table(f"{name}: µs from connect to the first byte, by open idle connections",
                  [*(Metric(str(step), f"{step:,}", 0) for step in steps), Metric("control", "then with none", 0)],
                  [Bar(str(COUNT), 1.1, "control")],
                  ["\"then with none\": another process of the server without idle connections, in turn with the "
                   "last step, because the machine may have changed since the first"])
    with ExitStack() as stack:
        servers = [stack.enter_context(start(server, options)) for server in options.servers]
        controls = [stack.enter_context(start(server, options)) for server in options.servers]
        holders = [stack.enter_context(Holder(server.port)) for server in servers]
        for step in steps:
            for server, holder in zip(servers, holders):
                holder.hold(min(step, connections_max(server.name)))
            for _ in range(options.rounds):
                for server, control in zip(servers, controls):
                    table.add(server.name, {str(step): first_byte_us(server.port)})
                    if step == COUNT:
                        table.add(server.name, {"control": first_byte_us(control.port)})
        for server, holder in zip(servers, holders):
            note_lost(table, server.name, holder)
    series = {server: [(step, table.middle(server, str(step))) for step in steps] for server in table.samples}
    path = options.results / "first-byte.svg"
    path.write_text(plot.lines("Time to first byte", "open idle connections", "connect to first byte, µs", series))
    table.notes.append(f"plot: {path.name}")
    return table


def first_byte_us(port):
    request, times = fetch.request_bytes(f"/{documents.SMALL}", close=True), []
    for _ in range(CONNECTS_PER_SAMPLE):
        started = time.perf_counter()
        with socket.create_connection((fetch.HOST, port)) as sock:
            sock.sendall(request)
            fetch.receive(sock)
            times.append(time.perf_counter() - started)
    return median(times) * 1e6


def run_memory(name, options):
    require_descriptors()
    table = Table(f"{name}: private memory, fresh and with {COUNT:,} idle keep-alive connections",
                  [Metric("fresh", "fresh KiB", 0), Metric("full", f"with {COUNT:,} KiB", 0),
                   Metric("each", "bytes/connection", 0)],
                  notes=["Private_Dirty of all processes of a server; the kernel's sockets are not in it"])
    os.sync()  # pages of a freshly linked program count as dirty until they are written
    for server in options.servers:
        with start(server, options) as running, Holder(running.port) as holder:
            fresh = machine.private_dirty_bytes(running.pids())
            held = hold(table, server, holder)
            full = machine.private_dirty_bytes(running.pids())
            table.add(server, {"fresh": fresh / 1024, "full": full / 1024, "each": (full - fresh) / held})
            note_lost(table, server, holder)
    return table


def start(server, options):
    running = Running(server, options.root, options.scratch)
    try:
        fetch.check(running.port, f"/{documents.SMALL}", 200, (options.root / documents.SMALL).read_bytes())
    except BaseException:
        running.stop()
        raise
    return running


def hold(table, server, holder):
    """Opens as many as the server takes and says so if these are fewer than COUNT."""
    count = min(COUNT, connections_max(server))
    holder.hold(count)
    if count < COUNT:
        table.notes.append(f"{server} takes no more than {count:,} idle connections here")
    return count


def note_lost(table, server, holder):
    lost = min(COUNT, connections_max(server)) - holder.alive()
    if lost:
        table.notes.append(f"{server} closed {lost:,} of its idle connections")


def require_descriptors():
    needed = COUNT + 500
    if machine.descriptors_max() < needed:
        raise Skip(f"needs a hard limit of {needed:,} descriptors (ulimit -Hn says {machine.descriptors_max():,})")
