"""Servers that break, each in its own way."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.servers import free_port

LONG = 60.0
"""Seconds that a hanging server hangs: longer than anybody waits."""

Behaviour = Callable[[socket.socket], None]


def answer(status: int, body: object = b"", **headers: str) -> Behaviour:
    """A whole answer. A body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Length": str(len(content)), "Connection": "close"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())

    def behave(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode("latin-1") + content)

    return behave


def reset(connection: socket.socket) -> None:
    """End the connection by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(connection: socket.socket) -> None:
    """End the connection without a word."""


def hang(connection: socket.socket) -> None:
    """Say nothing for a long time."""
    connection.settimeout(LONG)
    with contextlib.suppress(OSError):
        connection.recv(1)


def partly(then: Behaviour) -> Behaviour:
    """Begin a good answer and stop in the middle of its body."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": "somebody"')
        time.sleep(0.05)
        then(connection)

    return behave


def drip(connection: socket.socket) -> None:
    """Send a body byte by byte, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        connection.sendall(b" ")
        time.sleep(0.5)


@dataclass
class FaultServer:
    """Answers every request by the next behaviour; the last one stays."""

    behaviours: list[Behaviour]
    asked: int = 0
    """Requests that have arrived whole."""

    def serve(self) -> str:
        """Serve it from a thread; returns the URL."""
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    outer._read(self.rfile)
                    outer.asked += 1
                    pending = outer.behaviours
                    behave = pending.pop(0) if len(pending) > 1 else pending[0]
                    behave(self.connection)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def shutdown_request(self, request: Any) -> None:
                request.close()  # as a reset, where the behaviour has asked for one

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    @staticmethod
    def _read(stream: Any) -> None:
        length = 0
        while (line := stream.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        stream.read(length)


def nobody() -> str:
    """A URL where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


def full_house() -> str:
    """A URL where connections are never accepted: the queue at the door is full, and stays so."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen(0)
    port = door.getsockname()[1]
    for _ in range(4):
        waiting = socket.socket()
        waiting.setblocking(False)  # noqa: FBT003 - socket's signature
        with contextlib.suppress(BlockingIOError):
            waiting.connect(("127.0.0.1", port))
        _KEPT.append(waiting)
    _KEPT.append(door)
    return f"http://127.0.0.1:{port}"


_KEPT: list[socket.socket] = []
