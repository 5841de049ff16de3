"""Every page in every state: layout, accessibility and keyboard use. `make screenshots` also takes pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from deploy import PROJECT
from tests.browser.test_login import other_site_url
from tests.support import fork
from tests.support.browser import log_in
from tests.support.table import Table
from tests.support.world import World, running_world

SCREENSHOTS = PROJECT / os.environ.get("SCREENSHOTS", "")
"""The folder for the screenshots; without the variable, none are taken."""

PICTURE = "**/_simulator/pictures/pia.svg"
NAME = "Wolfeschlegelsteinhausenbergerdorff" * 9
State = Callable[[Page, World], None]


def logged_out(page: Page, world: World) -> None:
    """Stay logged out."""


def cancelled(page: Page, world: World) -> None:
    page.get_by_role("link", name="Log in with Spotify").click()
    page.get_by_role("button", name="Cancel").click()


def consent(page: Page, world: World) -> None:
    page.get_by_role("link", name="Log in with Spotify").click()


def rejected_by_spotify(page: Page, world: World) -> None:
    page.goto(f"{world.spotify}/authorize?client_id=unknown")


def login_confirmation(page: Page, world: World) -> None:
    log_in(page)
    page.goto(other_site_url(world))
    page.evaluate("url => { location.href = url }", f"{world.home}/login")
    page.wait_for_url(f"{world.home}/login?ask=1")


def logout_confirmation(page: Page, world: World) -> None:
    log_in(page)
    page.goto(other_site_url(world))
    page.evaluate("url => { location.href = url }", f"{world.home}/logout")
    page.wait_for_url(f"{world.home}/logout?ask=1")


def started_in_another_browser(page: Page, world: World) -> None:
    consent(page, world)
    page.context.clear_cookies()
    page.get_by_role("button", name="Agree").click()


def incomplete_callback(page: Page, world: World) -> None:
    page.goto(f"{world.home}/callback")


def as_persona(persona: str, user_id: str = "") -> State:
    def reach(page: Page, _: World) -> None:
        log_in(page, persona, user_id)

    return reach


def picture_that_does_not_load(page: Page, world: World) -> None:
    page.context.route(PICTURE, lambda route: route.fulfill(content_type="image/gif", body=b""))
    log_in(page)


def with_exact_data(persona: str) -> State:
    def reach(page: Page, _: World) -> None:
        log_in(page, persona)
        page.get_by_text("Show the exact data").click()

    return reach


def ended_elsewhere(page: Page, world: World) -> None:
    log_in(page)
    world.table.delete("7h3pr3m1uml1573n3r0000")
    page.goto(world.home)


def all_failures(page: Page, world: World) -> None:
    consent(page, world)
    for details in page.locator("summary").all():
        details.click()


STATES: dict[str, tuple[State, str]] = {
    "logged out": (logged_out, "Log in with your Spotify account"),
    "logged out elsewhere": (ended_elsewhere, "Your session has ended"),
    "logged in": (as_persona("premium"), "You are logged in"),
    "logged in with a picture that does not load": (picture_that_does_not_load, "You are logged in"),
    "logged in with a development profile": (as_persona("development"), "You are logged in"),
    "logged in with a long name": (as_persona("premium", NAME[:100]), "You are logged in"),
    "logged in with exact data": (with_exact_data("premium"), "You are logged in"),
    "logged in with an unusual profile": (with_exact_data("odd"), "You are logged in"),
    "login confirmation": (login_confirmation, "Log in again?"),
    "logout confirmation": (logout_confirmation, "Log out?"),
    "cancelled": (cancelled, "You cancelled the login"),
    "started in another browser": (started_in_another_browser, "This browser does not recognize this login"),
    "incomplete callback": (incomplete_callback, "This address is not complete"),
    "not on the user list": (as_persona("unlisted"), "You are not on this app's list of users"),
    "no Premium": (as_persona("no-premium"), "Spotify has paused this app"),
    "rate limited": (as_persona("rate-limited"), "Too many requests to Spotify"),
    "Spotify unavailable": (as_persona("down"), "Spotify is not available right now"),
    "malformed profile": (as_persona("garbage"), "Spotify sent an unexpected response"),
    "Spotify consent": (consent, "Login on this machine asks who you are"),
    "Spotify consent with all choices": (all_failures, "Login on this machine asks who you are"),
    "rejected by Spotify": (rejected_by_spotify, "Spotify refuses this request"),
}


@pytest.mark.parametrize("name", STATES)
def test_a_page_fits_every_width_and_is_accessible(page: Page, world: World, table: Table, name: str) -> None:
    reach, title = STATES[name]
    page.goto(world.home)
    reach(page, world)
    inspect(page, name, title)


def test_each_page_of_kept_access_fits_every_width_and_is_accessible(page: Page, tmp_path: Path) -> None:
    project = fork.create(tmp_path / "fork")
    with running_world({"TOKENS_KMS_ALIAS": fork.ALIAS}, project=project) as world:
        page.goto(world.home)
        inspect(page, "logged out with kept access", "Log in with your Spotify account")
        log_in(page)
        inspect(page, "logged in with kept access", "You are logged in")
        (item,) = world.table.items()
        world.kept.age(item["account_id"]["S"])
        requests.post(f"{world.spotify}/_simulator/revoke", data={"user_id": "pia.premium"}, timeout=30)
        page.goto(f"{world.home}/top")
        inspect(page, "access ended", "This page needs access to your Spotify account")
        page.get_by_role("link", name="Log in").click()
        page.get_by_role("button", name="Agree").click()
        page.wait_for_url(f"{world.home}/top")
        assert page.locator("body").inner_text().count('", "') == 4


def inspect(page: Page, name: str, title: str) -> None:
    """Check a page's layout and accessibility, and take screenshots of it."""
    assert page.locator("h1").all_inner_texts() == [title]
    assert title in page.title()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("main").count() == 1
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (320, 640, 1920):
            page.set_viewport_size({"width": width, "height": 720})
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(overflow) <= 0, f"the page overflows at {width} px"
            take_screenshot(page, name, scheme, width)
        violations = Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 640, "height": 720})
    page.emulate_media(media="print")
    take_screenshot(page, name, "print", 640)
    page.emulate_media(media="screen", forced_colors="active")
    take_screenshot(page, name, "forced-colors", 640)
    page.emulate_media(forced_colors="none")


def take_screenshot(page: Page, name: str, look: str, width: int) -> None:
    """Save a screenshot of a page, if they are wanted."""
    if SCREENSHOTS != PROJECT:
        page.screenshot(path=SCREENSHOTS / f"{name.replace(' ', '-')}-{look}-{width}.png", full_page=True)


def test_every_link_is_reachable_by_keyboard_with_a_visible_focus(page: Page, world: World) -> None:
    page.goto(world.home)
    reached = []
    for _ in range(page.locator("a").count()):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == page.locator("a").all_inner_texts()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{world.spotify}/authorize**")


def test_the_layout_does_not_shift_when_the_picture_loads(page: Page, world: World, table: Table) -> None:
    page.goto(world.home)
    log_in(page)
    loaded = page.locator(".name").bounding_box()
    page.context.route(PICTURE, lambda route: None)
    page.goto(world.home, wait_until="domcontentloaded")
    assert page.locator(".name").bounding_box() == loaded


def test_the_picture_of_a_simulated_user_is_shown(page: Page, world: World, table: Table) -> None:
    page.goto(world.home)
    log_in(page)
    assert page.locator("img").get_attribute("src") == f"{world.spotify}/_simulator/pictures/pia.svg"
    assert page.evaluate("document.querySelector('img').naturalWidth") == 300


def test_a_page_is_readable_without_its_style_sheet(page: Page, world: World) -> None:
    page.goto(world.home)
    page.evaluate("document.querySelector('style').remove()")
    assert page.inner_text("main").split("\n")[0] == "Log in with your Spotify account"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") == "32px"


def test_the_dashboard_url_on_an_error_page_is_a_link(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page, "unlisted")
    link = page.get_by_role("link", name="https://developer.spotify.com/dashboard")
    assert link.get_attribute("href") == "https://developer.spotify.com/dashboard"
