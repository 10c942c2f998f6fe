"""One request on a plain socket, read to its end. Used to check answers, not to make load."""

import socket
from dataclasses import dataclass

HOST = "127.0.0.1"


@dataclass
class Response:
    status: int
    body: bytes
    wire_bytes: int


def request_bytes(path, close=False):
    connection = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{connection}\r\n".encode()


def read_response(sock):
    """Reads by Content-Length, which every response of this comparison carries."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += receive(sock)
    head, body = received.split(b"\r\n\r\n", 1)
    status_line, *fields = head.decode("latin-1").split("\r\n")
    lengths = [value for name, _, value in (field.partition(":") for field in fields)
               if name.lower() == "content-length"]
    if len(lengths) != 1:
        raise ValueError(f"response without one Content-Length: {head!r}")
    body = bytearray(body)
    while len(body) < int(lengths[0]):
        body += receive(sock)
    return Response(int(status_line.split()[1]), bytes(body), len(head) + 4 + len(body))


def receive(sock):
    piece = sock.recv(1 << 20)
    if not piece:
        raise ConnectionError("connection ended inside a response")
    return piece


def fetch(port, path, close=False):
    with socket.create_connection((HOST, port), timeout=10) as sock:
        sock.sendall(request_bytes(path, close))
        return read_response(sock)


def check(port, path, expected_status, expected_body=None, close=False):
    """Raises unless the server answers as it must; returns the bytes of the response on the wire."""
    response = fetch(port, path, close)
    if response.status != expected_status:
        raise ValueError(f"{path}: status {response.status} instead of {expected_status}")
    if expected_body is not None and response.body != expected_body:
        raise ValueError(f"{path}: wrong body ({len(response.body)} bytes)")
    return response.wire_bytes
