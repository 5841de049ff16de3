"""The simulator as the contract's target."""

from __future__ import annotations

import pytest

from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.contract.target import Target


@pytest.fixture(scope="session")
def target() -> Target:
    """A simulated Spotify in this process."""
    url = serve(create_app(Application()))
    redirect_uri = "http://127.0.0.1:5000/callback"
    return Target(url, url, Application.client_id, Application.client_secret, redirect_uri)
