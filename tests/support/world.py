"""The app under Chalice's local server, the simulated Spotify and the emulated DynamoDB, as processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import requests

from deploy import PROJECT
from local.aws import CREDENTIALS, connection
from tests.support.kept import Kept
from tests.support.servers import Process, free_port, python, running, wait_until_served
from tests.support.table import TABLE, Table

SECRET_KEY = "a signing key that is used only in tests"
LOCALHOST = "http://localhost:5000/callback"
HTTPS = "https://login.example.test"


@dataclass(frozen=True)
class World:
    """The URLs of the processes, and the app's environment."""

    home: str
    spotify: str
    dynamodb: str
    frontend_port: int
    https: tuple[str, str]
    """Addresses, one with a name and one with a free port, to which Spotify sends visitors back over https."""
    environment: dict[str, str]
    homes: tuple[str, ...] = ()
    """The URLs of all processes of the app; `home` is the last."""
    processes: tuple[Process, ...] = ()

    @property
    def table(self) -> Table:
        return Table(**connection(self.dynamodb))

    @property
    def kept(self) -> Kept:
        """The stored tokens; with TOKENS_KMS_ALIAS only."""
        kms = boto3.client("kms", **connection(self.dynamodb))
        return Kept(self.table, kms, self.environment["TOKENS_KMS_ALIAS"])

    def expire(self, seconds_left: int = -1) -> None:
        """Have all stored access tokens end soon, or long ago."""
        kept = self.kept
        for item in kept.table.items():
            kept.age(item["account_id"]["S"], seconds_left)

    def request_count(self, endpoint: str) -> int:
        """The number of requests that Spotify has received for an endpoint, such as `POST /api/token`."""
        return int(requests.get(f"{self.spotify}/_simulator/asked", timeout=30).json().get(endpoint, 0))

    def refreshes(self) -> dict[str, int]:
        """The number of access tokens that Spotify has refreshed, by user ID."""
        return dict(requests.get(f"{self.spotify}/_simulator/refreshes", timeout=30).json())

    @contextmanager
    def app(self, settings: Mapping[str, str], project: Path = PROJECT) -> Iterator[World]:
        """Start one more process of the app, with other settings and the same Spotify and DynamoDB."""
        port, environment = free_port(), {**self.environment, **settings}
        address = ("--host", "127.0.0.1", "--port", str(port))
        with running(python("-m", "local.server", *address, "--no-autoreload"), environment, project) as app:
            wait_until_served(port)
            home = f"http://127.0.0.1:{port}"
            yield replace(
                self,
                home=home,
                environment=environment,
                homes=(*self.homes, home),
                processes=(*self.processes, app),
            )


@contextmanager
def running_world(
    settings: Mapping[str, str] | None = None,
    *,
    apps: int = 1,
    project: Path = PROJECT,
    rotates: bool = False,
) -> Iterator[World]:
    """Start all processes on free ports, with more settings for the app, and stop them afterwards.

    `apps` is the number of processes of the app, which is the one in the folder `project`. With `rotates`,
    Spotify replaces the refresh token at each refresh.
    """
    more, https = settings or {}, (HTTPS, f"https://127.0.0.1:{free_port()}")
    registered = ["http://127.0.0.1/callback", LOCALHOST, *(f"{home}/callback" for home in https)]
    simulator = python(
        "-m", "simulator", "--port", "0", "--allow-localhost", *(["--rotate"] if rotates else [])
    )
    emulator = python("-m", "local.aws", "--port", "0", "--table", TABLE)
    with (
        running([*simulator, *(part for uri in registered for part in ("--redirect-uri", uri))]) as spotify,
        running([*emulator, "--alias", more.get("TOKENS_KMS_ALIAS", "")]) as dynamodb,
        ExitStack() as stack,
    ):
        spotify_url = spotify.wait_for(r"http://\S+")[0]
        dynamodb_url = dynamodb.wait_for(r"http://[\w.:]+")[0]
        frontend_port = free_port()
        environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": dynamodb_url,
            "SECRET_KEY": SECRET_KEY,
            "SPOTIFY_CLIENT_ID": "simulated-client-id",
            "SPOTIFY_CLIENT_SECRET": "simulated-client-secret",
            "SPOTIFY_ACCOUNTS_URL": spotify_url,
            "SPOTIFY_API_URL": spotify_url,
            "FRONTEND_ORIGINS": f"http://127.0.0.1:{frontend_port}",
        }
        world = World("", spotify_url, dynamodb_url, frontend_port, https, environment)
        for _ in range(apps):
            world = stack.enter_context(world.app(more, project))
        yield world
