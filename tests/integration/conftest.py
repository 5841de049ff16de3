"""The app, Spotify and DynamoDB as processes, started once for each test worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.table import Table
from tests.support.visitor import HttpVisitor
from tests.support.world import World, running_world


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def visitor(world: World) -> HttpVisitor:
    return HttpVisitor(world.home)


@pytest.fixture
def table(world: World) -> Iterator[Table]:
    """The users table, emptied after the test."""
    table = world.table
    yield table
    table.clear()
