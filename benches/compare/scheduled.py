"""Requests on a schedule: each is due at its time, whether or not earlier ones were answered.

A latency is counted from when the request was due, so a server that stalls is charged for all
that should have been asked meanwhile. At most CONNECTIONS_MAX requests are on their way; later
ones wait here, and their waiting counts.
"""

import select
import socket
import time
from collections import deque
from dataclasses import dataclass

import fetch

RATE = 800
CONNECTIONS_MAX = 64
# After the last request is due, answers are awaited for this long.
GRACE_SECONDS = 1.0


@dataclass
class Outcome:
    latencies: list
    unanswered: int

    def percentile_ms(self, share):
        """Unanswered ones are among them, with the time they had waited at the end."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


class Schedule:
    def __init__(self, port, path, response_bytes):
        self.port, self.response_bytes = port, response_bytes
        self.request = fetch.request_bytes(path)
        self.epoll = select.epoll()
        self.free, self.busy = [], {}  # busy: descriptor -> [socket, due, bytes left]
        self.waiting, self.latencies = deque(), []

    def run(self, seconds):
        started = time.monotonic()
        due, last = started, started + seconds
        while (now := time.monotonic()) < last + GRACE_SECONDS:
            while due <= now and due < last:
                self.waiting.append(due)
                due += 1 / RATE
            self.send()
            if due >= last and not self.busy:
                break
            until = due if due < last else last + GRACE_SECONDS
            # epoll rounds up to milliseconds; select around it does not.
            if select.select([self.epoll], [], [], max(0, until - time.monotonic()))[0]:
                self.receive()
        return self.finish()

    def send(self):
        while self.waiting and (self.free or len(self.busy) < CONNECTIONS_MAX):
            sock = self.free.pop() if self.free else self.connect()
            self.busy[sock.fileno()] = [sock, self.waiting.popleft(), self.response_bytes]
            sock.send(self.request)

    def connect(self):
        sock = socket.create_connection((fetch.HOST, self.port), timeout=5)
        sock.setblocking(False)
        self.epoll.register(sock, select.EPOLLIN)
        return sock

    def receive(self):
        for descriptor, _ in self.epoll.poll(0):
            entry = self.busy[descriptor]
            entry[2] -= len(fetch.receive(entry[0]))
            if entry[2] == 0:
                self.latencies.append(time.monotonic() - entry[1])
                self.free.append(self.busy.pop(descriptor)[0])

    def finish(self):
        now = time.monotonic()
        pending = [entry[1] for entry in self.busy.values()] + list(self.waiting)
        for sock in self.free + [entry[0] for entry in self.busy.values()]:
            sock.close()
        self.epoll.close()
        return Outcome(self.latencies + [now - due for due in pending], len(pending))
