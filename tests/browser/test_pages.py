"""Every page in every state: small and large, light and dark, by keyboard and by screen reader; and pictures of it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from deploy import PROJECT
from tests.browser.test_login import elsewhere
from tests.support.browser import log_in
from tests.support.table import Table
from tests.support.world import World

PICTURES = PROJECT / "screenshots"
NAME = "Wolfeschlegelsteinhausenbergerdorff" * 9
State = Callable[[Page, World], None]


def nobody(page: Page, world: World) -> None:
    """Nobody is logged in."""


def cancelled(page: Page, world: World) -> None:
    page.get_by_role("link", name="Log in with Spotify").click()
    page.get_by_role("button", name="Cancel").click()


def consent(page: Page, world: World) -> None:
    page.get_by_role("link", name="Log in with Spotify").click()


def refused(page: Page, world: World) -> None:
    page.goto(f"{world.spotify}/authorize?client_id=unknown")


def asked_to_log_in(page: Page, world: World) -> None:
    log_in(page)
    page.goto(elsewhere(world))
    page.evaluate("url => { location.href = url }", f"{world.home}/login")
    page.wait_for_url(f"{world.home}/login")


def asked_to_log_out(page: Page, world: World) -> None:
    log_in(page)
    page.goto(elsewhere(world))
    page.evaluate("url => { location.href = url }", f"{world.home}/logout")
    page.wait_for_url(f"{world.home}/logout")


def begun_elsewhere(page: Page, world: World) -> None:
    consent(page, world)
    page.context.clear_cookies()
    page.get_by_role("button", name="Agree").click()


def half_an_address(page: Page, world: World) -> None:
    page.goto(f"{world.home}/callback")


def as_persona(persona: str, user_id: str = "") -> State:
    def arrive(page: Page, _: World) -> None:
        log_in(page, persona, user_id)

    return arrive


def without_picture(page: Page, world: World) -> None:
    page.context.unroute(re.compile("^https://"))
    page.context.route(
        re.compile("^https://"), lambda route: route.fulfill(content_type="image/gif", body=b"")
    )
    log_in(page)


STATES: dict[str, tuple[State, str]] = {
    "nobody": (nobody, "Log in with Spotify"),
    "somebody": (as_persona("premium"), "Logged in with Spotify"),
    "somebody whose picture does not load": (without_picture, "Logged in with Spotify"),
    "somebody with a long name": (as_persona("premium", NAME[:100]), "Logged in with Spotify"),
    "somebody odd": (as_persona("odd"), "Logged in with Spotify"),
    "asked to log in": (asked_to_log_in, "Log in again?"),
    "asked to log out": (asked_to_log_out, "Log out?"),
    "cancelled": (cancelled, "You cancelled the login"),
    "begun elsewhere": (begun_elsewhere, "This browser did not start this login"),
    "half an address": (half_an_address, "This address is not complete"),
    "not on the list": (as_persona("unlisted"), "You are not on this app's list of users"),
    "no Premium": (as_persona("no-premium"), "This app is paused by Spotify"),
    "rate limited": (as_persona("rate-limited"), "Spotify asks this app to slow down"),
    "Spotify down": (as_persona("down"), "Spotify is not available right now"),
    "garbage": (as_persona("garbage"), "Spotify sent an unexpected response"),
    "consent": (consent, "Login on this machine asks who you are"),
    "refused": (refused, "Spotify refuses this request"),
}


@pytest.mark.parametrize("name", STATES)
def test_a_page_is_good_to_look_at_and_to_listen_to(
    page: Page, world: World, table: Table, name: str
) -> None:
    arrive, title = STATES[name]
    page.goto(world.home)
    arrive(page, world)
    assert page.locator("h1").all_inner_texts() == [title]
    assert title in page.title()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("main").count() == 1
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (320, 640, 1920):
            page.set_viewport_size({"width": width, "height": 720})
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(overflow) <= 0, f"nothing is cut off at {width} px"
            photograph(page, name, scheme, width)
        violations = Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []


def photograph(page: Page, name: str, scheme: str, width: int) -> None:
    """Keep a picture of a page."""
    page.screenshot(path=PICTURES / f"{name.replace(' ', '-')}-{scheme}-{width}.png", full_page=True)


def test_every_link_can_be_reached_and_seen_by_keyboard(page: Page, world: World) -> None:
    page.goto(world.home)
    reached = []
    for _ in range(page.locator("a").count()):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == page.locator("a").all_inner_texts()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{world.spotify}/authorize**")


def test_nothing_moves_while_the_picture_loads(page: Page, world: World, table: Table) -> None:
    tops = []
    for loads in (True, False):
        page.context.unroute(re.compile("^https://"))
        page.context.route(
            re.compile("^https://"),
            lambda route, loads=loads: (
                route.fulfill(content_type="image/svg+xml", body="<svg/>") if loads else None
            ),
        )
        page.goto(world.home, wait_until="domcontentloaded")
        if loads:
            log_in(page)
        tops.append(page.locator(".name").bounding_box())
    assert tops[0] == tops[1]


def test_a_page_can_be_read_without_its_style(page: Page, world: World) -> None:
    page.goto(world.home)
    page.evaluate("document.querySelector('style').remove()")
    assert page.inner_text("main").split("\n")[0] == "Log in with Spotify"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") == "32px"


def test_the_address_of_the_dashboard_is_a_link(page: Page, world: World) -> None:
    page.goto(world.home)
    log_in(page, "unlisted")
    link = page.get_by_role("link", name="https://developer.spotify.com/dashboard")
    assert link.get_attribute("href") == "https://developer.spotify.com/dashboard"
