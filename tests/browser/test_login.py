"""Logging in and out in Chromium, with its cookie rules and security policies."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.support.browser import log_in
from tests.support.table import Table
from tests.support.visitor import query_of
from tests.support.world import World


@pytest.mark.promise("C3", "G2")
def test_a_user_logs_in_and_out(page: Page, world: World, table: Table) -> None:
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


def test_cancelling_at_spotify_shows_the_cancelled_page(page: Page, world: World) -> None:
    page.goto(world.home)
    page.get_by_role("link", name="Log in").first.click()
    page.get_by_role("button", name="Cancel").click()
    assert "You cancelled the login" in page.inner_text("h1")


def test_agreeing_again_after_going_back_keeps_the_first_login(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page)
    page.evaluate("history.back()")
    # A page from the back/forward cache has no load event.
    page.wait_for_url("**/authorize**", wait_until="commit")
    page.get_by_role("button", name="Agree").click()
    assert "This login is no longer valid" in page.inner_text("h1")
    page.get_by_role("link", name="Home").click()
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()


def test_a_login_started_on_localhost_works(page: Page, world: World) -> None:
    page.goto(world.home.replace("127.0.0.1", "localhost"))
    log_in(page)
    assert page.url == f"{world.home}/"
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()


def other_site_url(world: World) -> str:
    """The URL of a page on another site. All ports of 127.0.0.1 are one site; localhost is another."""
    return world.spotify.replace("127.0.0.1", "localhost") + "/authorize"


@pytest.mark.promise("E4")
def test_a_logout_link_on_another_site_asks_before_logging_out(
    page: Page, world: World, table: Table
) -> None:
    page.goto(world.home)
    log_in(page)
    page.goto(other_site_url(world))
    page.evaluate("url => { location.href = url }", f"{world.home}/logout")
    page.wait_for_url(f"{world.home}/logout?ask=1")
    page.reload()
    assert "Log out?" in page.inner_text("h1")
    assert len(table.items()) == 1
    page.get_by_role("link", name="Log out").click()
    assert "User ID: None" in page.inner_text("main")


def test_a_login_link_on_another_site_asks_a_logged_in_user_first(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page)
    page.goto(other_site_url(world))
    page.evaluate("url => { location.href = url }", f"{world.home}/login")
    page.wait_for_url(f"{world.home}/login?ask=1")
    page.reload()
    assert "Log in again?" in page.inner_text("h1")
    page.get_by_role("link", name="Cancel").click()
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()


@pytest.mark.promise("B15")
def test_logins_in_two_tabs_finish_in_either_order(page: Page, world: World) -> None:
    for first, second in ((0, 1), (1, 0)):
        tabs = [page.context.new_page(), page.context.new_page()]
        for tab in tabs:
            tab.goto(world.home)
            tab.get_by_role("link", name="Log in with Spotify").click()
        for number in (first, second):
            tabs[number].get_by_role("button", name="Agree").click()
            assert "User ID: pia.premium" in tabs[number].inner_text("main")
        tabs[second].get_by_role("link", name="Log out").click()


def test_another_account_can_log_in_in_the_same_browser(page: Page, world: World, table: Table) -> None:
    page.goto(world.home)
    log_in(page)
    page.get_by_role("link", name="Use another account").click()
    assert "show_dialog=true" in page.url
    page.locator("input[value=development]").check()
    page.get_by_role("button", name="Agree").click()
    assert "User ID: 31deva" in page.inner_text("main")
    assert len(table.items()) == 2, "switching accounts erases nothing"
    page.get_by_role("link", name="Log out").click()
    assert len(table.items()) == 1, "logging out erases the current account"


@pytest.mark.promise("E8")
def test_back_after_a_logout_shows_no_personal_data(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page)
    page.get_by_role("link", name="Log out").click()
    page.evaluate("history.back()")
    page.wait_for_load_state()
    page.wait_for_timeout(300)
    assert "pia" not in page.content().lower().replace("pia premium</b>: a premium listener", "")
    page.goto(world.home)
    assert "User ID: None" in page.inner_text("main")


@pytest.mark.promise("E8")
def test_back_after_a_logout_in_another_tab_shows_no_personal_data(page: Page, world: World) -> None:
    """The back/forward cache ignores no-store: it keeps the first tab's page until a Clear-Site-Data."""
    page.goto(world.home)
    log_in(page)
    page.evaluate("document.body.dataset.seen = 'before the logout'")
    page.evaluate("url => { location.href = url }", f"{world.spotify}/authorize")
    page.wait_for_url("**/authorize")
    other = page.context.new_page()
    other.goto(world.home)
    other.get_by_role("link", name="Log out").click()
    assert "User ID: None" in other.inner_text("main")
    page.evaluate("history.back()")
    page.wait_for_url(f"{world.home}/", wait_until="commit")
    page.wait_for_timeout(500)
    assert "User ID: None" in page.inner_text("main")
    assert page.evaluate("document.body.dataset.seen") is None


@pytest.mark.promise("C6")
def test_a_logout_removes_the_session_cookie_from_the_browser(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page)
    named = {cookie["name"]: cookie for cookie in page.context.cookies()}
    session = named["spotify-session"]
    assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Lax", "/")
    page.get_by_role("link", name="Log out").click()
    left = {cookie["name"] for cookie in page.context.cookies()}
    assert "spotify-session" not in left


@pytest.mark.promise("B14")
def test_a_failed_login_leaves_no_code_or_state_in_the_address_bar(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page, "down")
    assert page.inner_text("h1") == "Spotify is not available right now"
    assert set(query_of(page.url)) == {"failure"}
    shown = page.inner_text("main")
    page.reload()
    assert page.inner_text("main") == shown
