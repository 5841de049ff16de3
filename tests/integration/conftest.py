"""The world as processes, once for each worker of the test run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from local.dynamodb import CREDENTIALS
from tests.conftest import SECRET_KEY
from tests.support.servers import free_port, python, running, wait_until_served
from tests.support.table import TABLE, Table
from tests.support.visitor import HttpVisitor


@dataclass(frozen=True)
class World:
    """Where everything is."""

    home: str
    spotify: str
    dynamodb: str
    environment: dict[str, str]
    """What the app was given."""

    def asked(self, endpoint: str) -> int:
        """How often Spotify was asked this, such as `POST /api/token`."""
        return int(requests.get(f"{self.spotify}/_simulator/asked", timeout=5).json().get(endpoint, 0))


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    localhost = "http://localhost:5000/callback"
    simulator = python("-m", "simulator", "--port", "0", "--allow-localhost", "--redirect-uri", localhost)
    emulator = python("-m", "local.dynamodb", "--port", "0", "--table", TABLE)
    with (
        running([*simulator, "--redirect-uri", "http://127.0.0.1/callback"]) as spotify,
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
        }
        port = free_port()
        app = python("-m", "local.server", "--host", "127.0.0.1", "--port", str(port), "--no-autoreload")
        with running(app, environment):
            wait_until_served(port)
            yield World(f"http://127.0.0.1:{port}", spotify_url, dynamodb_url, environment)


@pytest.fixture
def visitor(world: World) -> HttpVisitor:
    return HttpVisitor(world.home)


@pytest.fixture
def table(world: World) -> Iterator[Table]:
    """The users table, empty before and after."""
    table = Table(
        endpoint_url=world.dynamodb,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    yield table
    for item in table.items():
        table.delete(item["account_id"]["S"])
