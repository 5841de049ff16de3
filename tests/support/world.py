"""The app under Chalice's local server, the simulated Spotify and the emulated DynamoDB, as processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class World:
    """The URLs of the processes, and the app's environment."""

    home: str
    spotify: str
    dynamodb: str
    frontend_port: int
    environment: dict[str, str]
    homes: tuple[str, ...] = ()
    """The URLs of all processes of the app; `home` is the first."""
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
    more = settings or {}
    redirect_uri = more.get("SPOTIFY_REDIRECT_URI", "http://127.0.0.1/callback")
    frontend_port = free_port()
    simulator = python("-m", "simulator", "--port", "0", "--allow-localhost", "--redirect-uri", LOCALHOST)
    emulator = python("-m", "local.aws", "--port", "0", "--table", TABLE)
    alias = more.get("TOKENS_KMS_ALIAS", "")
    with (
        running([*simulator, "--redirect-uri", redirect_uri, *(["--rotate"] if rotates else [])]) as spotify,
        running([*emulator, "--alias", alias]) as dynamodb,
        ExitStack() as stack,
    ):
        spotify_url = spotify.wait_for(r"http://\S+")[0]
        dynamodb_url = dynamodb.wait_for(r"http://[\w.:]+")[0]
        environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": dynamodb_url,
            "SECRET_KEY": SECRET_KEY,
            "SPOTIFY_CLIENT_ID": "simulated-client-id",
            "SPOTIFY_CLIENT_SECRET": "simulated-client-secret",
            "SPOTIFY_ACCOUNTS_URL": spotify_url,
            "SPOTIFY_API_URL": spotify_url,
            "FRONTEND_ORIGINS": f"http://127.0.0.1:{frontend_port}",
            **more,
        }
        ports, processes = [free_port() for _ in range(apps)], []
        for port in ports:
            address = ("--host", "127.0.0.1", "--port", str(port))
            app = python("-m", "local.server", *address, "--no-autoreload")
            processes.append(stack.enter_context(running(app, environment, project)))
        for port in ports:
            wait_until_served(port)
        homes = tuple(f"http://127.0.0.1:{port}" for port in ports)
        yield World(homes[0], spotify_url, dynamodb_url, frontend_port, environment, homes, tuple(processes))
