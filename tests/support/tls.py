"""Spotify and AWS under their own host names, over TLS, on this machine."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from werkzeug.test import create_environ, run_wsgi_app

from deploy import bundle, roots
from local.aws import CREDENTIALS
from tests.support.counted import Cloud, Counted

SPOTIFY = ("accounts.spotify.com", "api.spotify.com")
AWS = tuple(
    f"{service}.{CREDENTIALS['AWS_DEFAULT_REGION']}.amazonaws.com" for service in ("ssm", "dynamodb", "kms")
)

BUNDLES = ("certifi/cacert.pem", "botocore/cacert.pem", "chalicelib/amazon.pem")
"""The CA bundles that a package can have."""

PLAIN = ("SPOTIFY_ACCOUNTS_URL", "SPOTIFY_API_URL", "AWS_ENDPOINT_URL")
"""The variables that point a function to servers without TLS."""

RESOLVER = """import socket

PORTS = {ports}
resolve = socket.getaddrinfo


def getaddrinfo(host, port, *arguments, **options):
    if host in PORTS:
        host, port = "127.0.0.1", PORTS[host]
    return resolve(host, port, *arguments, **options)


socket.getaddrinfo = getaddrinfo
"""
"""The module sitecustomize of the function's interpreter."""


class _Server(ThreadingHTTPServer):
    """Serves an app over TLS 1.3 with keep-alive connections, as Spotify and AWS do."""

    daemon_threads = True

    def __init__(self, app: Counted, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.app = app
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a function that ends does not close its connections."""


class _Connection(BaseHTTPRequestHandler):
    """A connection, which has had its handshake. Werkzeug's own server would close it after each response."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.server.app.opened += 1
        self.server.app.handshakes += 1

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url, headers = f"https://{self.headers['Host']}", list(self.headers.items())
        environ = create_environ(self.path, url, method=self.command, headers=headers, data=body)
        chunks, status, sent = run_wsgi_app(self.server.app, environ, buffered=True)
        content = b"".join(chunks)
        sent["Content-Length"] = str(len(content))
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in sent:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Print nothing: requests hold codes and tokens."""


@dataclass(frozen=True)
class Tls:
    """The certificate of a test CA, and the folder of the module that resolves the host names to this machine."""

    root: bytes
    folder: Path

    def trust(self, task: Path) -> None:
        """Add the CA to each bundle and folder of roots in an unzipped package, which takes no longer to load."""
        for name in BUNDLES:
            path = task / name
            if path.exists():
                path.write_bytes(path.read_bytes() + b"\n" + self.root)
        if (task / bundle.ROOTS).exists():
            for name, certificate in roots.folder(self.root.decode()):
                (task / bundle.ROOTS / name).write_bytes(certificate)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment of a function that uses the host names, from that of one that does not."""
        kept = {name: value for name, value in environment.items() if name not in PLAIN}
        return {**kept, "PYTHONPATH": str(self.folder)}


def serve(cloud: Cloud, folder: Path) -> Tls:
    """Serve Spotify and AWS over TLS as well, in threads of this process."""
    root = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    root.create_child_ca().issue_cert(*SPOTIFY, *AWS).configure_cert(context)
    ports: dict[str, int] = {}
    for app, hosts in ((cloud.spotify, SPOTIFY), (cloud.aws, AWS)):
        server = _Server(app, context)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ports |= dict.fromkeys(hosts, server.server_address[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(RESOLVER.format(ports=ports), encoding="utf-8")
    return Tls(root.cert_pem.bytes(), folder)
