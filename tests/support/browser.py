"""Chromium for the tests, started once for each test worker, and the login in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserType, Page, sync_playwright

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium on PATH (Debian: apt-get install chromium)"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


def launch(chromium: BrowserType, *options: str) -> Browser:
    """Start Chromium headless, with the cache that Back uses, which Playwright turns off by default."""
    ignored = ["--disable-back-forward-cache"]
    return chromium.launch(executable_path=PATH, args=[*QUIET, *options], ignore_default_args=ignored)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium. If it is missing, the tests are skipped; in CI they fail."""
    if PATH is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        yield browser
        browser.close()


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


def log_in(page: Page, home: str, persona: str = "premium", user_id: str = "") -> None:
    """Log in from the home page, as one of the simulator's personas."""
    page.goto(home)
    page.get_by_role("link", name="Log in with Spotify").click()
    page.locator("details").evaluate_all("all => all.forEach(details => { details.open = true })")
    page.locator(f"input[value={persona}]").check()
    page.get_by_label("Another user ID").fill(user_id)
    page.get_by_role("button", name="Agree").click()


def leave(page: Page, spotify: str, target: str) -> None:
    """Open a page on another site, and follow a link there. All ports of 127.0.0.1 are one site; localhost is another."""
    page.goto(spotify.replace("127.0.0.1", "localhost") + "/authorize")
    page.evaluate("url => { location.href = url }", target)
    page.wait_for_url(f"{target}?ask=1")
