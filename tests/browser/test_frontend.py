"""Logins in Chromium, here and on the front end of docs/frontend.md, on another port and on another https host."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from simulator.loopback import serve
from tests.support.browser import launch, log_in
from tests.support.frontend import (
    EVERY_CHARACTER,
    certificate,
    forwarding,
    front_end,
    returned,
    serve_tls,
)
from tests.support.table import Table
from tests.support.world import HTTPS, World

LOGIN, APP = HTTPS, "https://app.example.test"


def agree(page: Page) -> None:
    page.get_by_role("button", name="Agree").click()


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


@pytest.mark.promise("E4", "L10")
def test_a_page_on_an_unlisted_port_can_neither_read_the_name_nor_log_in_or_out_without_asking(
    page: Page, world: World, table: Table
) -> None:
    log_in(page, world.home)
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
    page.goto(world.home)
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()


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
LOADED = "url => performance.getEntriesByType('resource').some(entry => entry.name == new URL(url).href)"
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
    """On the front end of another port."""
    start = f"{frontend}/artist/Guns%20N'%20Roses?genre=rock|pop#it's"
    page.goto(start)
    load_in_advance(page, how, "Log in with Spotify")
    assert page.context.cookies() == []
    page.get_by_role("link", name="Log in with Spotify").click()
    agree(page)
    page.wait_for_url(start)
    expect(page.locator("#who")).to_have_text("Hello, Pia Premium!")
    assert len(page.context.cookies()) == 2, "the session and one attempt"
    load_in_advance(page, how, "Log out")
    assert len(table.items()) == 1
    page.get_by_role("link", name="Log out").click()
    page.wait_for_url(start)
    expect(page.locator("#who")).to_have_text("You are not logged in.")
    assert table.items() == []


@pytest.mark.promise("E8")
def test_two_https_hosts_of_one_site_work_together_and_back_after_a_logout_shows_no_personal_data(
    browser: Browser, world: World, table: Table
) -> None:
    """After a logout in another tab, and in the same one. The hosts are those of another Chromium."""
    login, app = (url.removeprefix("https://") for url in (LOGIN, APP))
    context, spki = certificate(login, app)
    with world.app({"SPOTIFY_REDIRECT_URI": f"{LOGIN}/callback", "FRONTEND_ORIGINS": APP}) as secure:
        ports = {
            login: serve_tls(forwarding(secure.home), context),
            app: serve_tls(front_end(LOGIN), context),
        }
        hosts = ",".join(f"MAP {host} 127.0.0.1:{port}" for host, port in ports.items())
        trust = f"--ignore-certificate-errors-spki-list={spki}"
        another = launch(browser.browser_type, f"--host-resolver-rules={hosts}", trust)
        page = another.new_context().new_page()
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
        assert table.items() == []
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
        another.close()
