"""Servers that fail, each in its own way."""

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

HANG_SECONDS = 60.0
"""How long a hanging server hangs: longer than any deadline."""

Behaviour = Callable[[socket.socket], None]


def response(status: int, body: object = b"", **headers: str) -> Behaviour:
    """Send a complete response. A body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Length": str(len(content)), "Connection": "close"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())

    def behave(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode("latin-1") + content)

    return behave


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(connection: socket.socket) -> None:
    """Close the connection without sending anything."""


def hang(connection: socket.socket) -> None:
    """Send nothing for `HANG_SECONDS`."""
    connection.settimeout(HANG_SECONDS)
    with contextlib.suppress(OSError):
        connection.recv(1)


def mid_body(then: Behaviour) -> Behaviour:
    """Start a successful response, then behave as given in the middle of its body."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": "pia"')
        time.sleep(0.05)
        then(connection)

    return behave


def drip(start: bytes, piece: bytes) -> Behaviour:
    """Start a response, and then send a piece of it again and again, without end."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        until = time.monotonic() + HANG_SECONDS
        while time.monotonic() < until:
            connection.sendall(piece)
            time.sleep(0.2)

    return behave


DRIPS = {
    "a dripping header": drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "a dripping chunk size": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "a dripping body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
    "endless 100 Continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "no response": hang,
}
"""The behaviours of servers that send too slowly. A socket timeout detects only the last one."""


@dataclass
class FaultServer:
    """Handles each request with the next behaviour; the last one repeats."""

    behaviours: list[Behaviour]
    requests: int = 0

    def serve(self) -> str:
        """Start the server in a thread; returns its URL."""
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    outer.read(self.rfile)
                    outer.requests += 1
                    pending = outer.behaviours
                    behave = pending.pop(0) if len(pending) > 1 else pending[0]
                    behave(self.connection)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def shutdown_request(self, request: Any) -> None:
                request.close()  # sends a reset if the behaviour has set SO_LINGER

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    @staticmethod
    def read(stream: Any) -> None:
        length = 0
        while (line := stream.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        stream.read(length)


def scripted(connections: list[str]) -> tuple[str, list[str]]:
    """Serve keep-alive connections; returns the URL, and a list of the responses sent so far.

    Each string lists the responses of one connection: `ok`, `last` (a response that closes the
    connection), `reset` or `garbage`.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    sent: list[str] = []

    def serve() -> None:
        with listener:
            for script in connections:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as stream:
                    for step in script.split():
                        FaultServer.read(stream)
                        sent.append(step)
                        _STEPS[step](connection)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", sent


def _token(connection: socket.socket, header: str = "") -> None:
    body = '{"access_token": "BQ-token", "token_type": "Bearer"}'
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{header}\r\n{body}".encode())


_STEPS: dict[str, Behaviour] = {
    "ok": _token,
    "last": lambda connection: _token(connection, "Connection: close\r\n"),
    "reset": reset,
    "garbage": lambda connection: connection.sendall(b"SSH-2.0-x\r\n"),
}


def unreachable() -> str:
    """Return a URL where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


def never_accepting() -> str:
    """Return a URL where connections are never accepted, because the listener's queue stays full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    for _ in range(4):
        waiting = socket.socket()
        waiting.setblocking(False)  # noqa: FBT003 - socket's signature
        with contextlib.suppress(BlockingIOError):
            waiting.connect(("127.0.0.1", port))
        _OPEN.append(waiting)
    _OPEN.append(listener)
    return f"http://127.0.0.1:{port}"


_OPEN: list[socket.socket] = []
