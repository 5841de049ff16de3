"""Logging in and out in Chromium, with its cookie rules and security policies."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.support.browser import leave, log_in
from tests.support.table import Table
from tests.support.visitor import query_of
from tests.support.world import World


@pytest.mark.promise("C3", "C6", "G2")
def test_a_user_logs_in_and_out(page: Page, world: World, table: Table) -> None:
    log_in(page, world.home)
    assert page.url == f"{world.home}/"
    page.reload()
    assert "User ID: pia.premium" in page.inner_text("main")
    assert page.evaluate("document.cookie") == ""
    session = {cookie["name"]: cookie for cookie in page.context.cookies()}["spotify-session"]
    assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Lax", "/")
    page.get_by_role("link", name="Log out").click()
    assert page.url == f"{world.home}/"
    assert "User ID: None" in page.inner_text("main")
    assert table.items() == []
    assert "spotify-session" not in {cookie["name"] for cookie in page.context.cookies()}


def test_agreeing_again_after_going_back_keeps_the_first_login(page: Page, world: World) -> None:
    log_in(page, world.home)
    page.evaluate("history.back()")
    # A page from the back/forward cache has no load event.
    page.wait_for_url("**/authorize**", wait_until="commit")
    page.get_by_role("button", name="Agree").click()
    assert "This login is no longer valid" in page.inner_text("h1")
    page.get_by_role("link", name="Home").click()
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()


@pytest.mark.promise("E4")
def test_a_logout_link_on_another_site_asks_before_logging_out(
    page: Page, world: World, table: Table
) -> None:
    log_in(page, world.home)
    leave(page, world.spotify, f"{world.home}/logout")
    page.reload()
    assert "Log out?" in page.inner_text("h1")
    assert len(table.items()) == 1
    page.get_by_role("link", name="Log out").click()
    assert "User ID: None" in page.inner_text("main")


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


@pytest.mark.promise("B14")
def test_a_failed_login_leaves_no_code_or_state_in_the_address_bar(page: Page, world: World) -> None:
    log_in(page, world.home, "down")
    assert page.inner_text("h1") == "Spotify is not available right now"
    assert set(query_of(page.url)) == {"failure"}
    shown = page.inner_text("main")
    page.reload()
    assert page.inner_text("main") == shown
