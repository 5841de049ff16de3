"""Fixtures for all tests."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from moto import mock_aws
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from local.aws import CREDENTIALS, create_key
from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.support.cloud import Service
from tests.support.gateway import STAGE_URL, GatewayVisitor
from tests.support.table import TABLE, Table
from tests.support.world import SECRET_KEY

REDIRECT_URIS = (
    "http://127.0.0.1/callback",
    "http://localhost:5000/callback",
    f"{STAGE_URL}/callback",
    "https://login.example.com/callback",
)


# Generating examples can be slow on the first run, and on a slow machine.
hypothesis_settings.register_profile(
    "quick",
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis_settings.register_profile("deep", hypothesis_settings.get_profile("quick"), max_examples=250)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options for what takes longer than `make test` may take."""
    text = "try ten times as many examples; in these paths, run no other tests"
    parser.addoption("--every-call", action="store_true", help="interrupt deployments at every call to AWS")
    parser.addoption("--deep", metavar="PATHS", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the number of examples."""
    hypothesis_settings.load_profile("deep" if config.getoption("--deep") else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that try more examples with --deep: those of hypothesis, and those that ask for `times`."""
    for item in items:
        if isinstance(item, pytest.Function) and (
            hasattr(item.function, "hypothesis") or "times" in item.fixturenames
        ):
            item.add_marker("deep")
    if paths := tuple((config.getoption("--deep") or "").split()):
        items[:] = [item for item in items if not item.nodeid.startswith(paths) or "deep" in item.keywords]


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """How often to repeat what depends on chance: ten times as often with --deep."""
    return 10 if request.config.getoption("--deep") else 1


@pytest.fixture(scope="session")
def spotify() -> str:
    """The URL of a simulated Spotify in this process."""
    return serve(create_app(Application(redirect_uris=REDIRECT_URIS, allow_localhost=True)))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, spotify: str) -> dict[str, str]:
    """Set the environment of a fully configured function."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "SPOTIFY_", "SECRET_KEY"))]:
        monkeypatch.delenv(name)
    values = {
        "SPOTIFY_CLIENT_ID": Application.client_id,
        "SPOTIFY_CLIENT_SECRET": Application.client_secret,
        "SPOTIFY_ACCOUNTS_URL": spotify,
        "SPOTIFY_API_URL": spotify,
        "SECRET_KEY": SECRET_KEY,
        "USERS_TABLE": TABLE,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def table(settings: dict[str, str]) -> Iterator[Table]:
    """An empty users table. moto emulates AWS inside botocore: without a server, each test can have its own."""
    with mock_aws():
        table = Table()
        table.create()
        yield table


@pytest.fixture(scope="module")
def served_aws() -> tuple[Service, dict[str, str]]:
    """DynamoDB and KMS behind a server, and the settings for a table and a key of theirs."""
    service, name = Service(DomainDispatcherApplication(create_backend_app)), f"users-{uuid.uuid4()}"
    url = service.serve(name)
    create_key(url, f"alias/{name}")
    return service, {"USERS_TABLE": name, "AWS_ENDPOINT_URL": url, **CREDENTIALS}


@pytest.fixture
def aws(
    settings: dict[str, str],
    served_aws: tuple[Service, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> Service:
    """An AWS in which faults can be injected, with an empty users table. `alias/` and its name is a key's alias."""
    service, own = served_aws
    for variable, value in own.items():
        monkeypatch.setenv(variable, value)
    service.faults.clear()
    Table().clear()
    return service


@pytest.fixture
def visitor(table: Table) -> GatewayVisitor:
    """A visitor who comes through API Gateway."""
    return GatewayVisitor()


@pytest.fixture
def log() -> Iterator[list[dict[str, Any]]]:
    """The events that the app logs during the test."""
    lines: list[dict[str, Any]] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(record.getMessage()))

    logger, collector = logging.getLogger("spotify-login.events"), Collector()
    logger.addHandler(collector)
    yield lines
    logger.removeHandler(collector)
