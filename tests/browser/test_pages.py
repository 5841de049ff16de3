"""Every kind of page: layout, accessibility and keyboard use. `make screenshots` also takes pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from deploy import PROJECT
from tests.support import fork
from tests.support.browser import leave, log_in
from tests.support.table import Table
from tests.support.world import World, running_world

SCREENSHOTS = PROJECT / os.environ.get("SCREENSHOTS", "")
"""The folder for the screenshots; without the variable, none are taken."""

AXE = Axe()

State = Callable[[Page, World], None]


def logged_out(page: Page, world: World) -> None:
    page.goto(world.home)


def consent(page: Page, world: World) -> None:
    page.goto(world.home)
    page.get_by_role("link", name="Log in with Spotify").click()
    for details in page.locator("summary").all():
        details.click()


def cancelled(page: Page, world: World) -> None:
    page.goto(f"{world.home}/login")
    page.get_by_role("button", name="Cancel").click()


def rejected_by_spotify(page: Page, world: World) -> None:
    page.goto(f"{world.spotify}/authorize?client_id=unknown")


def as_persona(persona: str, user_id: str = "") -> State:
    return lambda page, world: log_in(page, world.home, persona, user_id)


def picture_that_does_not_load(page: Page, world: World) -> None:
    picture = "**/_simulator/pictures/pia.svg"
    page.context.route(picture, lambda route: route.fulfill(content_type="image/gif", body=b""))
    log_in(page, world.home)


def with_exact_data(page: Page, world: World) -> None:
    log_in(page, world.home, "odd")
    page.get_by_text("Show the exact data").click()


def asked_for(route: str) -> State:
    def reach(page: Page, world: World) -> None:
        log_in(page, world.home)
        leave(page, world.spotify, f"{world.home}/{route}")

    return reach


def ended_elsewhere(page: Page, world: World) -> None:
    log_in(page, world.home)
    world.table.delete("7h3pr3m1uml1573n3r0000")
    page.goto(world.home)


STATES: dict[str, tuple[State, str]] = {
    "logged out": (logged_out, "Log in with your Spotify account"),
    "logged out elsewhere": (ended_elsewhere, "Your session has ended"),
    "logged in": (as_persona("premium"), "You are logged in"),
    "logged in with a picture that does not load": (picture_that_does_not_load, "You are logged in"),
    "logged in with a long name": (
        as_persona("premium", "Wolfeschlegelsteinhausen" * 4),
        "You are logged in",
    ),
    "logged in with an unusual profile": (with_exact_data, "You are logged in"),
    "login confirmation": (asked_for("login"), "Log in again?"),
    "logout confirmation": (asked_for("logout"), "Log out?"),
    "cancelled": (cancelled, "You cancelled the login"),
    "not on the user list": (as_persona("unlisted"), "You are not on this app's list of users"),
    "Spotify unavailable": (as_persona("down"), "Spotify is not available right now"),
    "Spotify consent": (consent, "Login on this machine asks who you are"),
    "rejected by Spotify": (rejected_by_spotify, "Spotify refuses this request"),
}


@pytest.mark.parametrize("name", STATES)
def test_a_page_fits_every_width_and_is_accessible(page: Page, world: World, table: Table, name: str) -> None:
    reach, title = STATES[name]
    reach(page, world)
    inspect(page, name, title)


def test_each_page_of_kept_access_fits_every_width_and_is_accessible(page: Page, tmp_path: Path) -> None:
    project = fork.create(tmp_path / "fork")
    with running_world({"TOKENS_KMS_ALIAS": fork.ALIAS}, project=project) as world:
        log_in(page, world.home)
        inspect(page, "logged in with kept access", "You are logged in")
        page.get_by_role("link", name="Go to your account").click()
        inspect(page, "page of the site", "Your account")
        assert "T" not in page.locator("time").inner_text(), "its script has run, and no other can"
        assert page.locator("ul").evaluate("list => getComputedStyle(list).listStyleType") == "disc"
        world.expire()
        requests.post(f"{world.spotify}/_simulator/revoke", data={"user_id": "pia.premium"}, timeout=30)
        page.goto(f"{world.home}/top")
        inspect(page, "access ended", "This page needs access to your Spotify account")
        page.get_by_role("link", name="Log in").click()
        page.get_by_role("button", name="Agree").click()
        page.wait_for_url(f"{world.home}/top")
        assert page.locator("body").inner_text().count('", "') == 4


def inspect(page: Page, name: str, title: str) -> None:
    """Check a page's layout and accessibility, and take screenshots of it, if they are wanted."""
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
            if SCREENSHOTS != PROJECT:
                path = SCREENSHOTS / f"{name.replace(' ', '-')}-{scheme}-{width}.png"
                page.screenshot(path=path, full_page=True)
        rules = None if scheme == "light" else {"runOnly": ["color-contrast"]}  # the others see no colours
        violations = AXE.run(page, options=rules).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []


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
