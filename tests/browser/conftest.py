"""Fixtures for the browser tests: Chromium, and the same processes as for the integration tests."""

from tests.integration.conftest import table, world
from tests.support.browser import browser, page

__all__ = ["browser", "page", "table", "world"]
