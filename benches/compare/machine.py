"""What the kernel knows about processes and this machine: CPU time, memory, limits, versions.

Knows nothing about servers or HTTP. Everything is read from /proc.
"""

import contextlib
import os
import platform
import resource
import signal
import subprocess
from pathlib import Path

SERVER_CPU = 0
LOAD_CPU = 1


def pin(cpu):
    """Keeps this process, and what it starts later, on one CPU."""
    os.sched_setaffinity(0, {cpu})


def descriptors_max():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def raise_descriptor_limit():
    limit = descriptors_max()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def tree(pid):
    """The process and all its descendants. One that has ended counts as none."""
    pids = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                pids += tree(int(child))
    return pids


def cpu_seconds(pids):
    """CPU time of all threads of the processes; schedstat counts nanoseconds, not ticks."""
    nanoseconds = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


class OtherWork:
    """How much of the CPUs others took since `__init__`: the noise of a table. Servers must have ended."""

    def __init__(self):
        self.before = self.now()

    def percent(self):
        whole, idle, ours = (now - then for now, then in zip(self.now(), self.before))
        return max(0, whole - idle - ours) / whole * 100

    @staticmethod
    def now():
        """Seconds of all CPUs, of idle ones, and of this process with the children that have ended."""
        ticks = [int(tick) for tick in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        times = os.times()
        per_second = os.sysconf("SC_CLK_TCK")
        return sum(ticks) / per_second, (ticks[3] + ticks[4]) / per_second, sum(times[:4])


def private_dirty_bytes(pids):
    """Memory that exists only because of these processes."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # one that has ended has no memory
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_Dirty:"):
                    kib += int(line.split()[1])
    return kib * 1024


def stop(process):
    """Ends a process we started and its descendants, each by its id: politely, then by force."""
    pids = tree(process.pid)
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in pids[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def description():
    """What a reader must know to compare figures of two runs."""
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {
        "kernel": platform.release(),
        "processor": f"{model}, {os.cpu_count()} CPUs",
        "congestion control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
