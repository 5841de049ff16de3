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
"""Seconds that a hanging server hangs: longer than any deadline."""

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
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": "pia"')
        time.sleep(0.05)
        then(connection)

    return behave


def drip(connection: socket.socket) -> None:
    """Send a body byte by byte, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    _drip(connection, b" ")


def drip_headers(connection: socket.socket) -> None:
    """Send a header byte by byte, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _drip(connection, b"x")


def drip_chunk_size(connection: socket.socket) -> None:
    """Send the size of the first chunk digit by digit, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _drip(connection, b"0")


def endless_continue(connection: socket.socket) -> None:
    """Announce a response again and again, and never send it."""
    _drip(connection, b"HTTP/1.1 100 Continue\r\n\r\n")


def _drip(connection: socket.socket, piece: bytes) -> None:
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        connection.sendall(piece)
        time.sleep(0.2)


DRIPS = {
    "a dripping header": drip_headers,
    "a dripping chunk size": drip_chunk_size,
    "a dripping body": drip,
    "100 Continue for ever": endless_continue,
    "silence": hang,
}
"""What a server does that sends too little too late; a socket timeout notices only the last one."""


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
                    outer.read(self.rfile)
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
    def read(stream: Any) -> None:
        """Read one request."""
        length = 0
        while (line := stream.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        stream.read(length)


def scripted(connections: list[str]) -> tuple[str, list[str]]:
    """Serve connections that are kept alive; returns the URL, and a list of what was answered so far.

    Each string says what the requests of one connection get: `ok`, `last` (a response that closes the
    connection), `reset` or `garbage`.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    answered: list[str] = []

    def serve() -> None:
        with listener:
            for script in connections:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as stream:
                    for step in script.split():
                        FaultServer.read(stream)
                        answered.append(step)
                        _STEPS[step](connection)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", answered


def _token(connection: socket.socket, header: str = "") -> None:
    body = '{"access_token": "BQ-token", "token_type": "Bearer"}'
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{header}\r\n{body}".encode())


_STEPS: dict[str, Behaviour] = {
    "ok": _token,
    "last": lambda connection: _token(connection, "Connection: close\r\n"),
    "reset": reset,
    "garbage": lambda connection: connection.sendall(b"SSH-2.0-x\r\n"),
}


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
