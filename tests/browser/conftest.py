"""The world that a browser visits."""

from tests.integration.conftest import table, world

__all__ = ["table", "world"]
