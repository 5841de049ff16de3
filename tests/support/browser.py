"""Chromium for the tests, started once for each test worker, and the login in it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support import chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium. If it is missing, the tests are skipped; in CI they fail."""
    if chromium.PATH is None:
        if os.environ.get("CI"):
            pytest.fail(chromium.MISSING)
        pytest.skip(chromium.MISSING)
    with chromium.chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a new browser profile. Fails the test if the console has unexpected messages."""
    context = browser.new_context()
    page = context.new_page()
    messages: list[str] = []
    context.on("console", lambda message: messages.append(message.text))
    context.on("weberror", lambda error: messages.append(str(error.error)))
    yield page
    context.close()
    expected = (
        "the server responded with a status of",
        "net::ERR_BLOCKED_BY_RESPONSE.NotSameOrigin",
        'Cleared data types: "cache"',
        "has been blocked by CORS policy",
        "net::ERR_FAILED",
    )
    assert [text for text in messages if not any(words in text for words in expected)] == []


def log_in(page: Page, persona: str = "premium", user_id: str = "") -> None:
    """Log in from the home page, as one of the simulator's personas."""
    page.get_by_role("link", name="Log in with Spotify").click()
    page.locator("details").evaluate_all("all => all.forEach(details => { details.open = true })")
    page.locator(f"input[value={persona}]").check()
    page.get_by_label("Another user ID").fill(user_id)
    page.get_by_role("button", name="Agree").click()
