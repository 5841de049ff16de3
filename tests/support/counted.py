"""A simulated Spotify and an emulated AWS that count their requests."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from waitress.channel import HTTPChannel
from waitress.server import create_server

from deploy import PROJECT
from local.aws import CREDENTIALS, create_table
from simulator.spotify import Application, create_app
from tests.support.events import STAGE_URL
from tests.support.table import TABLE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass
class Counted:
    """A WSGI app, its requests, and the number of connections opened to it."""

    app: WSGIApplication
    calls: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    opened: int = 0
    handshakes: int = 0
    """The connections opened over TLS."""
    journal: list[str] = field(default_factory=list)
    """The calls of all servers that share it, in order."""
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
        with self._turn:
            return list(self.app(environ, start_response))

    def serve(self) -> str:
        """Serve the app with keep-alive connections, as Spotify and AWS do; returns the URL."""
        server: Any = create_server(self, host="127.0.0.1", port=0)
        server.channel_class = self._connect
        threading.Thread(target=server.run, daemon=True).start()
        return f"http://127.0.0.1:{server.effective_port}"

    def _connect(self, *arguments: Any, **options: Any) -> HTTPChannel:
        """Count a connection."""
        self.opened += 1
        return HTTPChannel(*arguments, **options)

    def forget(self) -> None:
        """Reset the counts."""
        self.calls.clear()
        self.bodies.clear()
        self.opened = self.handshakes = 0


@dataclass(frozen=True)
class Cloud:
    """The services that a deployed function calls, and the environment that points it to them."""

    spotify: Counted
    aws: Counted
    aws_url: str
    environment: dict[str, str]

    @property
    def spotify_url(self) -> str:
        """The URL of Spotify without TLS."""
        return self.environment["SPOTIFY_ACCOUNTS_URL"]

    def client(self, service: str) -> Any:
        """A client of the emulated AWS."""
        session = boto3.Session(
            CREDENTIALS["AWS_ACCESS_KEY_ID"],
            CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        )
        return session.client(service, endpoint_url=self.aws_url)  # type: ignore[call-overload]

    @property
    def calls(self) -> list[str]:
        """The calls to both services, in order."""
        return list(self.aws.journal)

    def forget(self) -> None:
        """Reset the counts."""
        self.spotify.forget()
        self.aws.forget()
        self.aws.journal.clear()


def _configured(stage: str) -> dict[str, str]:
    """The environment variables that Chalice gives the function of a stage."""
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    return {**config["environment_variables"], **config["stages"][stage]["environment_variables"]}


def cloud(secret_key: str) -> Cloud:
    """Serve Spotify, the users table and the parameters of a stage, in threads of this process."""
    spotify = Counted(create_app(Application(redirect_uris=(f"{STAGE_URL}/callback",))))
    aws = Counted(DomainDispatcherApplication(create_backend_app), journal=spotify.journal)
    spotify_url, aws_url = spotify.serve(), aws.serve()
    create_table(aws_url, TABLE)
    environment = {
        **_configured("dev"),
        **CREDENTIALS,
        "AWS_REGION": CREDENTIALS["AWS_DEFAULT_REGION"],
        "AWS_ENDPOINT_URL": aws_url,
        "SPOTIFY_ACCOUNTS_URL": spotify_url,
        "SPOTIFY_API_URL": spotify_url,
    }
    served = Cloud(spotify, aws, aws_url, environment)
    parameters = {
        "SPOTIFY_CLIENT_ID": Application.client_id,
        "SPOTIFY_CLIENT_SECRET": Application.client_secret,
        "SECRET_KEY": secret_key,
    }
    path = environment["PARAMETER_PATH"]
    for name, value in parameters.items():
        served.client("ssm").put_parameter(Name=f"{path}/{name}", Value=value, Type="SecureString")
    served.forget()
    return served
