"""A process that holds idle keep-alive connections, each after one answered request.

It is a process of its own because a process may have 20,000 descriptors on many machines, and
server and client need 10,000 each. `Holder` is the other side: it starts the process and talks to
it in lines. "hold N" opens connections until there are N; "alive" counts those not closed by the
server; both are answered with a number.
"""

import socket
import subprocess
import sys

import documents
import fetch
import machine

# An address has about 28,000 ephemeral ports.
CONNECTIONS_PER_ADDRESS = 5_000
# From <linux/in.h>: the port is chosen by connect, which may share it between destinations, so that
# connections of earlier cases in TIME_WAIT are not in the way.
IP_BIND_ADDRESS_NO_PORT = 24


class Holder:
    def __init__(self, port):
        self.process = subprocess.Popen([sys.executable, "-B", __file__, str(port)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=machine.raise_descriptor_limit)

    def hold(self, count):
        held = self.ask(f"hold {count}")
        if held != count:
            raise RuntimeError(f"{held} idle connections instead of {count}")

    def alive(self):
        return self.ask("alive")

    def ask(self, line):
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the holder of idle connections failed")
        return int(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        machine.stop(self.process)
        self.process.stdout.close()


def connect(port, index):
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((f"127.0.0.{2 + index // CONNECTIONS_PER_ADDRESS}", 0))
    sock.settimeout(10)
    sock.connect((fetch.HOST, port))
    sock.sendall(fetch.request_bytes(f"/{documents.SMALL}"))
    fetch.read_response(sock)
    sock.setblocking(False)
    return sock


def is_alive(sock):
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def main():
    port, held = int(sys.argv[1]), []
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "hold":
            while len(held) < int(arguments[0]):
                held.append(connect(port, len(held)))
            print(len(held), flush=True)
        else:
            print(sum(map(is_alive, held)), flush=True)


if __name__ == "__main__":
    main()
