"""The front end of docs/frontend.md in Chromium: on another port, and over https on another host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from simulator.loopback import serve
from tests.support.browser import launch
from tests.support.frontend import (
    EVERY_CHARACTER,
    certificate,
    forwarding,
    front_end,
    returned,
    serve_tls,
)
from tests.support.table import Table
from tests.support.world import World, running_world

LOGIN, APP = "https://login.example.test", "https://app.example.test"


def agree(page: Page) -> None:
    page.get_by_role("button", name="Agree").click()


def test_a_front_end_on_another_port_logs_in_shows_the_name_returns_and_logs_out(
    page: Page, frontend: str, world: World, table: Table
) -> None:
    start = f"{frontend}/artist/Guns%20N'%20Roses?genre=rock|pop#it's"
    page.goto(start)
    expect(page.locator("#who")).to_have_text("You are not logged in.")
    page.get_by_role("link", name="Log in with Spotify").click()
    agree(page)
    page.wait_for_url(start)
    expect(page.locator("#who")).to_have_text("Hello, Pia Premium!")
    page.reload()
    expect(page.locator("#who")).to_have_text("Hello, Pia Premium!")
    page.get_by_role("link", name="Log out").click()
    page.wait_for_url(start)
    expect(page.locator("#who")).to_have_text("You are not logged in.")
    assert table.items() == []


@pytest.mark.promise("L10")
def test_a_page_on_an_unlisted_port_can_do_none_of_this(
    page: Page, frontend: str, world: World, table: Table
) -> None:
    page.goto(frontend)
    page.get_by_role("link", name="Log in with Spotify").click()
    agree(page)
    expect(page.locator("#who")).to_have_text("Hello, Pia Premium!")
    unlisted = serve(front_end(world.home))
    page.goto(unlisted)
    expect(page.locator("#who")).to_have_text(
        "We could not ask who is logged in. Reload this page to try again."
    )
    page.evaluate("document.getElementById('logout').hidden = false")
    page.get_by_role("link", name="Log out").click()
    assert "Log out?" in page.inner_text("h1"), "it is asked first"
    page.get_by_role("link", name="Cancel").click()
    assert page.url == f"{world.home}/", "and does not return there"
    page.goto(unlisted)
    page.evaluate("document.getElementById('login').hidden = false")
    page.get_by_role("link", name="Log in with Spotify").click()
    assert "Log in again?" in page.inner_text("h1")
    image = "url => new Promise(done => { const image = new Image(); image.onerror = done; image.src = url })"
    page.goto(frontend)
    page.evaluate(f"() => ({image})('{world.home}/logout')")
    page.goto(world.home)
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()


@pytest.mark.promise("L1")
def test_a_hostile_return_to_ends_at_the_home_page_in_a_browser(page: Page, world: World) -> None:
    for hostile in (
        "//evil.example/",
        "/\\evil.example/",
        "/\t/evil.example/",
        "https:evil.example",
        "https://127.0.0.1@evil.example/",
        "/%2e%2e//evil.example/",
        "javascript:alert(1)",
    ):
        for value in (hostile, quote(hostile, safe="")):
            page.goto(f"{world.home}/logout?return_to={value}")
            assert page.url == f"{world.home}/"


@pytest.mark.promise("L1")
def test_a_url_with_every_character_returns_as_this_browser_shows_it(
    page: Page, frontend: str, world: World
) -> None:
    page.goto(frontend + EVERY_CHARACTER)
    shown = page.evaluate("location.href")
    logout = f"{world.home}/logout?return_to={quote(shown, safe='')}"
    sent = requests.get(logout, allow_redirects=False, timeout=30).headers["Location"]
    page.goto(logout)
    assert page.evaluate("location.href") == sent == returned(shown)


LINK = """url => document.head.append(Object.assign(document.createElement("link"), {rel: "prefetch", href: url}))"""
LOADED = "url => performance.getEntriesByType('resource').some(entry => entry.name == url)"
RULES = """rules => {
    const script = Object.assign(document.createElement("script"), {type: "speculationrules"});
    script.textContent = rules;
    document.head.append(script);
}"""


def load_in_advance(page: Page, how: str, name: str) -> None:
    """Load a link by `<link rel=prefetch>`, or by speculation rules, whose response Chromium must drop."""
    url = page.get_by_role("link", name=name).get_attribute("href")
    if how == "link":
        page.evaluate(LINK, url)
        page.wait_for_function(LOADED, arg=url)
        return
    ends: list[str] = []
    devtools = page.context.new_cdp_session(page)
    devtools.on("Preload.prefetchStatusUpdated", lambda event: ends.append(event["prefetchStatus"]))
    devtools.send("Preload.enable")
    page.evaluate(RULES, json.dumps({how: [{"urls": [url], "eagerness": "immediate"}]}))
    for _ in range(100):
        if ends[-1:] not in ([], ["PrefetchNotFinishedInTime"]):
            break
        page.wait_for_timeout(100)
    devtools.detach()
    assert ends[-1] == "PrefetchFailedNon2XX"


@pytest.mark.promise("E5")
@pytest.mark.parametrize("how", ["link", "prefetch", "prerender"])
def test_a_link_that_was_loaded_in_advance_works_once_it_is_followed(
    page: Page, frontend: str, world: World, table: Table, how: str
) -> None:
    page.goto(frontend)
    load_in_advance(page, how, "Log in with Spotify")
    assert page.context.cookies() == []
    page.get_by_role("link", name="Log in with Spotify").click()
    agree(page)
    expect(page.locator("#who")).to_have_text("Hello, Pia Premium!")
    assert len(page.context.cookies()) == 2, "the session and one attempt"
    load_in_advance(page, how, "Log out")
    assert len(table.items()) == 1
    page.get_by_role("link", name="Log out").click()
    expect(page.locator("#who")).to_have_text("You are not logged in.")
    assert table.items() == []


@contextmanager
def https_hosts(browser: Browser) -> Iterator[tuple[Page, World]]:
    """The app at LOGIN and the front end at APP, and a page of another Chromium that reaches them."""
    login, app = (url.removeprefix("https://") for url in (LOGIN, APP))
    context, spki = certificate(login, app)
    with running_world({"SPOTIFY_REDIRECT_URI": f"{LOGIN}/callback", "FRONTEND_ORIGINS": APP}) as world:
        ports = {login: serve_tls(forwarding(world.home), context), app: serve_tls(front_end(LOGIN), context)}
        hosts = ",".join(f"MAP {host} 127.0.0.1:{port}" for host, port in ports.items())
        trust = f"--ignore-certificate-errors-spki-list={spki}"
        another = launch(browser.browser_type, f"--host-resolver-rules={hosts}", trust)
        yield another.new_context().new_page(), world
        another.close()


def test_two_https_hosts_of_one_site_work_together(browser: Browser) -> None:
    with https_hosts(browser) as (page, world):
        page.goto(f"{APP}/albums")
        expect(page.locator("#who")).to_have_text("You are not logged in.")
        page.get_by_role("link", name="Log in with Spotify").click()
        agree(page)
        page.wait_for_url(f"{APP}/albums")
        expect(page.locator("#who")).to_have_text("Hello, Pia Premium!")
        (session,) = [cookie for cookie in page.context.cookies() if "session" in cookie["name"]]
        assert (session["name"], session["secure"]) == ("__Host-spotify-session", True)
        page.get_by_role("link", name="Log out").click()
        page.wait_for_url(f"{APP}/albums")
        expect(page.locator("#who")).to_have_text("You are not logged in.")
        assert world.table.items() == []


@pytest.mark.promise("E8")
def test_back_after_a_logout_over_https_shows_no_personal_data(browser: Browser) -> None:
    """In another tab, and in the same one."""
    with https_hosts(browser) as (page, _):
        for logged_out_in in (page.context.new_page(), page):
            page.goto(LOGIN)
            page.get_by_role("link", name="Log in with Spotify").click()
            agree(page)
            expect(page.locator("main")).to_contain_text("User ID: pia.premium")
            page.goto(APP)
            logged_out_in.goto(f"{LOGIN}/logout")
            expect(logged_out_in.locator("main")).to_contain_text("User ID: None")
            page.evaluate(f"history.go({-1 if logged_out_in is not page else -2})")
            page.wait_for_url(f"{LOGIN}/", wait_until="commit")
            page.wait_for_timeout(500)
            expect(page.locator("main")).to_contain_text("User ID: None")
