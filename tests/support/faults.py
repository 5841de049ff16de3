"""Servers that fail, each in its own way."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from tests.support.servers import free_port

HANG_SECONDS = 60.0
"""How long a hanging server hangs: longer than any deadline."""

KEEP = "keep-alive"

Behaviour = Callable[[socket.socket], str | None]
"""What a server does with a connection after it has read a request. `KEEP` leaves the connection open."""


def response(status: int, body: object = b"", connection: str = "close", **headers: str) -> Behaviour:
    """Send a complete response. A body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Length": str(len(content)), "Connection": connection}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())

    def behave(open_connection: socket.socket) -> str:
        open_connection.sendall(f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode("latin-1") + content)
        return connection

    return behave


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-x\r\n")


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


class ReceivedRequest(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: str


@dataclass
class FaultServer:
    """Handles each request with the next behaviour; the last one repeats. Records the requests."""

    behaviours: list[Behaviour]
    requests: list[ReceivedRequest] = field(default_factory=list)

    def serve(self, context: ssl.SSLContext | None = None) -> str:
        """Start the server in a thread, over TLS if a context is given; returns its URL."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while outer.handle(self):
                        pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def shutdown_request(self, request: Any) -> None:
                request.close()  # sends a reset if the behaviour has set SO_LINGER

        server = Server(("127.0.0.1", 0), Handler)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"{'https://localhost' if context else 'http://127.0.0.1'}:{server.server_address[1]}"

    def handle(self, received: BaseHTTPRequestHandler) -> bool:
        """Read a request and behave; returns whether another request may follow on the connection."""
        line = received.raw_requestline = received.rfile.readline()  # type: ignore[attr-defined] # missing in typeshed
        if not line or not received.parse_request():
            return False
        body = received.rfile.read(int(received.headers.get("Content-Length", 0))).decode()
        self.requests.append(ReceivedRequest(received.command, received.path, dict(received.headers), body))
        behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        return behave(received.connection) is KEEP


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
