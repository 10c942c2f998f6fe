"""The servers: how each is configured and started, with limits that no case reaches.

All serve one directory on 127.0.0.1 with one worker, no access log, keep-alive without end, and
whatever their documentation recommends for static files. All ends go through `Running.stop`.
"""

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import documents
import fetch
import machine

SUBJECT = "swiftd"
CEILING = "ceiling"
PEERS = ("nginx", "lighttpd", "h2o")
NAMES = (SUBJECT, *PEERS, CEILING)
REQUESTS_MAX = 1_000_000_000
IDLE_SECONDS = 3600
# Enough for 10,000 idle connections and the load; nginx allocates memory for all of them at once.
CONNECTIONS_MAX = 12_000


@dataclass
class Setup:
    """What a server is told. `mode` is for the ceiling, which does not parse requests."""
    root: Path
    scratch: Path
    port: int
    mode: tuple = ()
    large: str = "large-10m.bin"


def nginx(setup):
    config = setup.scratch / "nginx.conf"
    config.write_text(f"""
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
pid {setup.scratch}/nginx.pid;
error_log stderr error;
worker_rlimit_nofile {machine.descriptors_max()};
events {{ worker_connections {CONNECTIONS_MAX}; use epoll; multi_accept on; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout {IDLE_SECONDS};
    keepalive_requests {REQUESTS_MAX};
    open_file_cache max=20000 inactive=600s;
    open_file_cache_valid 600s;
    open_file_cache_min_uses 1;
    open_file_cache_errors on;
    client_body_temp_path {setup.scratch}/body;
    proxy_temp_path {setup.scratch}/proxy;
    fastcgi_temp_path {setup.scratch}/fastcgi;
    uwsgi_temp_path {setup.scratch}/uwsgi;
    scgi_temp_path {setup.scratch}/scgi;
    server {{ listen {fetch.HOST}:{setup.port} backlog=4096; root {setup.root}; }}
}}
""")
    return ["nginx", "-e", "stderr", "-p", str(setup.scratch), "-c", str(config)]


def lighttpd(setup):
    config = setup.scratch / "lighttpd.conf"
    config.write_text(f"""
server.document-root = "{setup.root}"
server.bind = "{fetch.HOST}"
server.port = {setup.port}
server.event-handler = "linux-sysepoll"
server.network-backend = "sendfile"
server.listen-backlog = 4096
server.max-fds = {machine.descriptors_max()}
server.max-connections = {machine.descriptors_max() // 2}
server.max-keep-alive-requests = {REQUESTS_MAX}
server.max-keep-alive-idle = {IDLE_SECONDS}
server.max-read-idle = {IDLE_SECONDS}
mimetype.assign = ( ".bin" => "application/octet-stream" )
""")
    return ["lighttpd", "-D", "-f", str(config)]


def h2o(setup):
    config = setup.scratch / "h2o.conf"
    config.write_text(f"""
listen: {{ host: {fetch.HOST}, port: {setup.port} }}
{"user: root" if os.geteuid() == 0 else ""}
num-threads: 1
max-connections: {CONNECTIONS_MAX}
http1-request-timeout: {IDLE_SECONDS}
crash-handler: "true"
pid-file: {setup.scratch}/h2o.pid
hosts:
  default:
    paths:
      /: {{ file.dir: {setup.root} }}
""")
    return ["h2o", "-c", str(config)]


def swiftd(setup):
    return [os.environ["SWIFTD"], str(setup.root), "--listen", f"{fetch.HOST}:{setup.port}",
            "--idle-timeout", str(IDLE_SECONDS), "--requests", str(REQUESTS_MAX)]


def ceiling(setup):
    return [str(setup.scratch.parent / "ceiling"), str(setup.port), str(setup.root / documents.SMALL),
            str(setup.root / setup.large), *setup.mode]


RECIPES = {recipe.__name__: recipe for recipe in (swiftd, nginx, lighttpd, h2o, ceiling)}


def build_ceiling(scratch):
    source = Path(__file__).with_name("ceiling.c")
    subprocess.run(["cc", "-O2", "-o", scratch / "ceiling", source], check=True)


def available(name):
    """Whether the server is on this machine; the ceiling is built when needed."""
    program = os.environ["SWIFTD"] if name == SUBJECT else "cc" if name == CEILING else name
    return shutil.which(program) is not None


def connections_max(name):
    """lighttpd accepts half as many connections as it may have descriptors."""
    return machine.descriptors_max() // (2 if name == "lighttpd" else 1) - 100


class Running:
    """A started server; also a context manager that stops it."""

    def __init__(self, name, root, scratch, mode=(), large="large-10m.bin", cgroup=None):
        self.name = name
        self.port = free_port()
        directory = scratch / f"{name}-{self.port}"
        directory.mkdir()
        self.output = directory / "output"
        command = RECIPES[name](Setup(root, directory, self.port, mode, large))
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=output, preexec_fn=lambda: enter(cgroup))
        try:
            self.wait_until_listening()
        except BaseException:
            self.stop()
            raise

    def wait_until_listening(self):
        give_up = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < give_up:
            try:
                socket.create_connection((fetch.HOST, self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not start: {self.output.read_text().strip()}")

    def pids(self):
        return machine.tree(self.process.pid)

    def stop(self):
        machine.stop(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def enter(cgroup):
    """Runs in the child, before the server: where it belongs and what it may use."""
    machine.pin(machine.SERVER_CPU)
    machine.raise_descriptor_limit()
    if cgroup:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))


def free_port():
    with socket.socket() as sock:
        sock.bind((fetch.HOST, 0))
        return sock.getsockname()[1]
