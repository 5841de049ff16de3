"""The app under Chalice's local server, the simulated Spotify and the emulated DynamoDB, as processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from local.dynamodb import CREDENTIALS
from tests.support.servers import free_port, python, running, wait_until_served
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
    """The port of the front end that is listed."""
    environment: dict[str, str]
    """The environment variables of the app."""

    @property
    def table(self) -> Table:
        keys = {name.lower(): value for name, value in CREDENTIALS.items() if name != "AWS_DEFAULT_REGION"}
        return Table(endpoint_url=self.dynamodb, region_name=CREDENTIALS["AWS_DEFAULT_REGION"], **keys)

    def request_count(self, endpoint: str) -> int:
        """The number of requests that Spotify has received for an endpoint, such as `POST /api/token`."""
        return int(requests.get(f"{self.spotify}/_simulator/asked", timeout=5).json().get(endpoint, 0))


@contextmanager
def running_world(settings: Mapping[str, str] | None = None) -> Iterator[World]:
    """Start all processes on free ports, with more settings for the app, and stop them afterwards."""
    more = settings or {}
    redirect_uri = more.get("SPOTIFY_REDIRECT_URI", "http://127.0.0.1/callback")
    frontend_port = free_port()
    simulator = python("-m", "simulator", "--port", "0", "--allow-localhost", "--redirect-uri", LOCALHOST)
    emulator = python("-m", "local.dynamodb", "--port", "0", "--table", TABLE)
    with (
        running([*simulator, "--redirect-uri", redirect_uri]) as spotify,
        running(emulator) as dynamodb,
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
        port = free_port()
        app = python("-m", "local.server", "--host", "127.0.0.1", "--port", str(port), "--no-autoreload")
        with running(app, environment):
            wait_until_served(port)
            yield World(f"http://127.0.0.1:{port}", spotify_url, dynamodb_url, frontend_port, environment)
