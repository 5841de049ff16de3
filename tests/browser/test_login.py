"""The login in Chromium, cookies and policies included."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.integration.conftest import table, world
from tests.support import chromium
from tests.support.table import Table
from tests.support.world import World

__all__ = ["table", "world"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if chromium.PATH is None:
        if os.environ.get("CI"):
            pytest.fail(chromium.MISSING)
        pytest.skip(chromium.MISSING)
    with chromium.chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new page of a new browser profile; its console stays silent, but for the status of an error page."""
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    # Spotify's pictures are not on this machine.
    context.route(re.compile("^https://"), lambda route: route.fulfill(content_type="image/gif", body=b""))
    yield page
    context.close()
    assert [text for text in said if "the server responded with a status of" not in text] == []


def log_in(page: Page, persona: str = "Pia Premium") -> None:
    page.get_by_role("link", name="Log in").first.click()
    page.get_by_label(persona).first.check()
    page.get_by_role("button", name="Agree").click()


def test_a_person_logs_in_and_out(page: Page, world: World, table: Table) -> None:
    page.goto(world.home)
    assert "User ID: None" in page.inner_text("main")
    log_in(page)
    assert page.url == f"{world.home}/"
    assert "User ID: pia.premium" in page.inner_text("main")
    assert page.evaluate("document.cookie") == ""
    page.reload()
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()
    assert page.url == f"{world.home}/"
    assert "User ID: None" in page.inner_text("main")
    assert table.items() == []
    names = {cookie["name"] for cookie in page.context.cookies()}
    assert not any(name.startswith("spotify-session") for name in names)


def test_cancelling_is_answered_kindly(page: Page, world: World) -> None:
    page.goto(world.home)
    page.get_by_role("link", name="Log in").first.click()
    page.get_by_role("button", name="Cancel").click()
    assert "You cancelled the login" in page.inner_text("h1")


def test_going_back_to_spotify_and_agreeing_again_stays_logged_in(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page)
    page.evaluate("history.back()")
    page.wait_for_url("**/authorize**")
    page.get_by_role("button", name="Agree").click()
    assert page.url == f"{world.home}/"
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()


def test_localhost_leads_to_a_login_that_works(page: Page, world: World) -> None:
    page.goto(world.home.replace("127.0.0.1", "localhost"))
    log_in(page)
    assert page.url == f"{world.home}/"
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()


def test_a_link_on_another_site_does_not_log_out(page: Page, world: World, table: Table) -> None:
    page.goto(world.home)
    log_in(page)
    page.goto(world.spotify + "/authorize")
    page.evaluate("url => { location.href = url }", f"{world.home}/logout")
    page.wait_for_url(f"{world.home}/logout")
    assert "Log out?" in page.inner_text("h1")
    assert len(table.items()) == 1
    page.get_by_role("link", name="Log out").click()
    assert "User ID: None" in page.inner_text("main")


def test_back_after_a_logout_shows_nothing_personal(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page)
    page.get_by_role("link", name="Log out").click()
    page.evaluate("history.back()")
    page.wait_for_load_state()
    page.wait_for_timeout(300)
    assert "pia" not in page.content().lower().replace("pia premium</b>: a premium listener", "")
    page.goto(world.home)
    assert "User ID: None" in page.inner_text("main")


def test_the_session_cookie_is_gone_from_the_browser_after_a_logout(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page)
    named = {cookie["name"]: cookie for cookie in page.context.cookies()}
    session = named["spotify-session"]
    assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Lax", "/")
    page.get_by_role("link", name="Log out").click()
    left = {cookie["name"] for cookie in page.context.cookies()}
    assert "spotify-session" not in left
