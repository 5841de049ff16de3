"""Fixtures for the browser tests: Chromium, the same processes as for the integration tests, and a front end."""

import pytest

from simulator.loopback import serve
from tests.integration.conftest import table, world
from tests.support.browser import browser, page
from tests.support.frontend import front_end
from tests.support.world import World

__all__ = ["browser", "page", "table", "world"]


@pytest.fixture(scope="session")
def frontend(world: World) -> str:
    return serve(front_end(world.home), world.frontend_port)
