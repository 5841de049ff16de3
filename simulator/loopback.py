"""HTTP servers that only this machine can reach."""

from __future__ import annotations

import threading
from wsgiref.types import WSGIApplication

from werkzeug.serving import WSGIRequestHandler, make_server

HOST = "127.0.0.1"


class Handler(WSGIRequestHandler):
    """A request handler without a log: requests to it hold codes and tokens."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Log nothing."""


def serve(app: WSGIApplication, port: int = 0) -> str:
    """Serve a WSGI app from a thread until the process exits. Returns its URL. Port 0 picks a free port."""
    server = make_server(HOST, port, app, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{HOST}:{server.server_port}"
