"""Fixtures for the browser tests: the same processes as for the integration tests."""

from tests.integration.conftest import table, world

__all__ = ["table", "world"]
