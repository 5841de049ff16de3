"""The front end of docs/frontend.md in Chromium: on another port, and over https on another host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.support import chromium
from tests.support.frontend import EVERY_CHARACTER, certificate, over_tls, returned, served
from tests.support.servers import free_port
from tests.support.table import Table
from tests.support.world import World, running_world


def agree(page: Page) -> None:
    page.get_by_role("button", name="Agree").click()


@pytest.fixture
def frontend(world: World) -> Iterator[str]:
    with served(world.home, world.frontend_port) as url:
        yield url


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
    with served(world.home, free_port()) as unlisted:
        page.goto(f"{unlisted}/")
        expect(page.locator("#who")).to_have_text(
            "We could not ask who is logged in. Reload this page to try again."
        )
        page.evaluate("document.getElementById('logout').hidden = false")
        page.get_by_role("link", name="Log out").click()
        assert "Log out?" in page.inner_text("h1"), "it is asked first"
        page.get_by_role("link", name="Cancel").click()
        assert page.url == f"{world.home}/", "and does not return there"
        page.goto(f"{unlisted}/")
        page.evaluate("document.getElementById('login').hidden = false")
        page.get_by_role("link", name="Log in with Spotify").click()
        assert "Log in again?" in page.inner_text("h1")
        image = (
            "url => new Promise(done => { const image = new Image(); image.onerror = done; image.src = url })"
        )
        page.goto(frontend)
        page.evaluate(f"() => ({image})('{world.home}/logout')")
    page.goto(world.home)
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()


HOSTILE = [
    "//evil.example/",
    "/\\evil.example/",
    "/%5cevil.example/",
    "/\t/evil.example/",
    "/%09/evil.example/",
    "https:evil.example",
    "HTTPS://evil.example/",
    "https://127.0.0.1@evil.example/",
    "https://[::1]/",
    "https://еvil.example/",
    "/%2e%2e//evil.example/",
    "/..//evil.example/",
    "javascript:alert(1)",
]


@pytest.mark.promise("L1")
@pytest.mark.parametrize("return_to", HOSTILE)
def test_a_hostile_return_to_ends_at_the_home_page_in_a_browser(
    page: Page, world: World, return_to: str
) -> None:
    for value in (return_to, quote(return_to, safe="")):
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


def test_two_https_hosts_of_one_site_work_together(browser: Browser, tmp_path: Path) -> None:
    login, app = "login.example.test", "app.example.test"
    settings = {
        "SPOTIFY_REDIRECT_URI": f"https://{login}/callback",
        "FRONTEND_ORIGINS": f"https://{app}",
    }
    pem, spki = certificate(tmp_path, login, app)
    with (
        running_world(settings) as world,
        served(f"https://{login}", 0) as page_server,
        over_tls(int(world.home.rpartition(":")[2]), pem) as login_port,
        over_tls(int(page_server.rpartition(":")[2]), pem) as app_port,
    ):
        hosts = f"MAP {login} 127.0.0.1:{login_port},MAP {app} 127.0.0.1:{app_port}"
        trust = f"--ignore-certificate-errors-spki-list={spki}"
        arguments = [*chromium.QUIET, f"--host-resolver-rules={hosts}", trust]
        another = browser.browser_type.launch(executable_path=chromium.PATH, args=arguments)
        page = another.new_page()
        page.goto(f"https://{app}/albums")
        expect(page.locator("#who")).to_have_text("You are not logged in.")
        page.get_by_role("link", name="Log in with Spotify").click()
        agree(page)
        page.wait_for_url(f"https://{app}/albums")
        expect(page.locator("#who")).to_have_text("Hello, Pia Premium!")
        (session,) = [cookie for cookie in page.context.cookies() if "session" in cookie["name"]]
        assert (session["name"], session["secure"]) == ("__Host-spotify-session", True)
        page.get_by_role("link", name="Log out").click()
        page.wait_for_url(f"https://{app}/albums")
        expect(page.locator("#who")).to_have_text("You are not logged in.")
        assert world.table.items() == []
        another.close()
