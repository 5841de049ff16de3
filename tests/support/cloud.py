"""Spotify and AWS in threads of this process: each request is recorded, and fails if the test says so.

moto emulates AWS here, behind one server with keep-alive connections, as Spotify and AWS have. It is the emulation for
questions about calls, connections and faults. It checks no permissions.
"""

from __future__ import annotations

import io
import json
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import create_environ, run_wsgi_app

from deploy import PROJECT
from local.aws import CREDENTIALS, connection, create_table
from simulator.spotify import Application, create_app
from tests.support.events import STAGE_URL
from tests.support.faults import HANG_SECONDS
from tests.support.table import TABLE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True)
class Fault:
    status: int = 500
    code: str = "InternalServerError"
    applied: bool = False
    """Whether the call takes effect despite the fault."""
    hangs: bool = False
    """Whether no response arrives before the timeout."""
    body: bytes | None = None
    """The response body, if not DynamoDB's error document."""
    passes: bool = False
    """Whether this call succeeds, so that the next fault in the list hits the next call."""
    truncate_to: float | None = None
    """The share of a successful response's body that arrives. The headers, including the checksum, are complete."""


@dataclass
class Service:
    """A WSGI app behind a server, its requests, and the faults of the next calls, by operation."""

    app: WSGIApplication
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    handshakes: int = 0
    journal: list[str] = field(default_factory=list)
    """The calls of all services that share it, in order."""
    _turn: threading.Lock = field(default_factory=threading.Lock)
    """Requests are passed on one at a time, because moto loses concurrent updates."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2]
        call = operation or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        self.calls.append(call)
        self.journal.append(call)
        self.bodies.append(body)
        pending = self.faults.get(call, [])
        fault = pending.pop(0) if pending else Fault(passes=True)
        if fault.passes or fault.applied or fault.truncate_to is not None:
            with self._turn:
                chunks, status, headers = run_wsgi_app(self.app, environ, buffered=True)
            content = b"".join(chunks)
            if not fault.applied:
                start_response(status, [*headers.items()])
                return [
                    content if fault.truncate_to is None else content[: int(len(content) * fault.truncate_to)]
                ]
        if fault.hangs:
            time.sleep(HANG_SECONDS)
        error = f'{{"__type": "com.amazonaws.dynamodb.v20120810#{fault.code}", "message": "injected"}}'
        start_response(f"{fault.status} Injected", [("Content-Type", "application/x-amz-json-1.0")])
        return [error.encode() if fault.body is None else fault.body]

    def serve(self, table: str = "", context: ssl.SSLContext | None = None) -> str:
        """Serve the app, with an empty users table if one is named, and over TLS if a context is given; returns the URL."""
        server = _Server(("127.0.0.1", 0), _Connection)
        server.service = self
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
        if table:
            create_table(url, table)
            self.forget()
        return url

    def forget(self) -> None:
        self.calls.clear()
        self.bodies.clear()
        self.handshakes = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    service: Service

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a function that ends does not close its connections."""


class _Connection(BaseHTTPRequestHandler):
    """A keep-alive connection, which has had its handshake. Werkzeug's server closes it after each response."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.server.service.handshakes += isinstance(self.request, ssl.SSLSocket)

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url, headers = f"http://{self.headers['Host']}", list(self.headers.items())
        environ = create_environ(self.path, url, method=self.command, headers=headers, data=body)
        chunks, status, sent = run_wsgi_app(self.server.service, environ, buffered=True)
        content = b"".join(chunks)
        sent["Content-Length"] = str(len(content))
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in sent:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = respond  # noqa: N815 - the names of http.server

    def log_message(self, *arguments: Any) -> None:
        """Print nothing: requests hold codes and tokens."""


@dataclass(frozen=True)
class Cloud:
    """The services that a deployed function calls, and the environment that points it to them."""

    spotify: Service
    aws: Service
    environment: dict[str, str]

    @property
    def spotify_url(self) -> str:
        return self.environment["SPOTIFY_ACCOUNTS_URL"]

    @property
    def journal(self) -> list[str]:
        return self.aws.journal

    def forget(self) -> None:
        self.spotify.forget()
        self.aws.forget()
        self.journal.clear()


def cloud(secret_key: str) -> Cloud:
    """Serve Spotify, the users table and the parameters of a stage."""
    spotify = Service(create_app(Application(redirect_uris=(f"{STAGE_URL}/callback",))))
    aws = Service(DomainDispatcherApplication(create_backend_app), journal=spotify.journal)
    spotify_url, aws_url = spotify.serve(), aws.serve(TABLE)
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    environment = {
        **config["environment_variables"],
        **config["stages"]["dev"]["environment_variables"],
        **CREDENTIALS,
        "AWS_REGION": CREDENTIALS["AWS_DEFAULT_REGION"],
        "AWS_ENDPOINT_URL": aws_url,
        "SPOTIFY_ACCOUNTS_URL": spotify_url,
        "SPOTIFY_API_URL": spotify_url,
    }
    served = Cloud(spotify, aws, environment)
    parameters = {
        "SPOTIFY_CLIENT_ID": Application.client_id,
        "SPOTIFY_CLIENT_SECRET": Application.client_secret,
        "SECRET_KEY": secret_key,
    }
    ssm = boto3.client("ssm", **connection(aws_url))
    for name, value in parameters.items():
        path = f"{environment['PARAMETER_PATH']}/{name}"
        ssm.put_parameter(Name=path, Value=value, Type="SecureString")
    served.forget()
    return served
