"""The login and the front end of docs/frontend.md in WebKit and Firefox."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
import requests

from tests.browser.test_frontend import LINK, LOADED
from tests.support.engines import ENGINES, Engine, missing
from tests.support.frontend import EVERY_CHARACTER, certificate, forwarding, returned, serve_tls
from tests.support.table import Table
from tests.support.world import World


@pytest.fixture(scope="module", params=ENGINES)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A browser. If it is missing, its tests are skipped; in CI they fail."""
    if reason := missing(request.param):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with ENGINES[request.param][0](tmp_path_factory.mktemp("browser")) as engine:
        yield engine


@pytest.fixture
def engine(started: Engine) -> Iterator[Engine]:
    """A browser without cookies. Starting one takes longer than most tests."""
    yield started
    started.forget()


def log_in(engine: Engine, url: str) -> None:
    """Log in from a page, as a user without a picture."""
    engine.open(url)
    agree(engine)


def agree(engine: Engine) -> None:
    """Follow the link to the simulated Spotify, and agree."""
    engine.click("Log in with Spotify")
    engine.wait_for("!!document.querySelector('input[value=development]')")
    engine.run("document.querySelector('input[value=development]').checked = true")
    engine.click("Agree")


def shows(text: str) -> str:
    return f"document.readyState == 'complete' && document.body.innerText.includes('{text}')"


@pytest.mark.promise("E5")
def test_a_user_logs_in_and_out_here_and_on_a_front_end_whose_link_was_loaded_in_advance(
    engine: Engine, world: World, table: Table, frontend: str
) -> None:
    log_in(engine, world.home)
    engine.wait_for(f"location.href == '{world.home}/' && {shows('Log out')}")
    engine.run("location.reload()")
    engine.wait_for(shows("User ID: 31deva"))
    start = f"{frontend}/artist/Guns%20N'%20Roses?genre=rock|pop"
    engine.open(start)
    engine.wait_for(shows("Hello, "))
    url = "document.getElementById('logout').href"
    engine.run(f"({LINK})({url})")
    engine.wait_for(f"({LOADED})({url})")
    assert len(table.items()) == 1
    engine.click("Log out")
    engine.wait_for(f"location.href == {json.dumps(start)} && {shows('You are not logged in.')}")
    assert table.items() == []
    agree(engine)
    engine.wait_for(f"location.href == {json.dumps(start)} && {shows('Hello, ')}")
    engine.open(world.home)
    engine.click("Log out")
    engine.wait_for(shows("User ID: None"))
    assert table.items() == []


@pytest.mark.promise("E4")
def test_the_page_that_asks_asks_again_when_it_is_reloaded(
    engine: Engine, world: World, table: Table
) -> None:
    """WebKit reloads it with `Sec-Fetch-Site: none`, as if its address had been typed."""
    log_in(engine, world.home)
    engine.wait_for(shows("Log out"))
    for route, question in (("login", "Log in again?"), ("logout", "Log out?")):
        engine.open(world.spotify.replace("127.0.0.1", "localhost") + "/authorize")
        engine.run(f"location.href = '{world.home}/{route}'")
        engine.wait_for(shows(question))
        engine.reload()
        engine.wait_for(shows(question))
        assert len(table.items()) == 1
        engine.click("Cancel")
        engine.wait_for(f"location.href == '{world.home}/' && {shows('User ID: 31deva')}")


@pytest.mark.promise("L1")
def test_a_url_with_every_character_returns_as_this_browser_shows_it(
    engine: Engine, world: World, frontend: str
) -> None:
    engine.open(frontend + EVERY_CHARACTER)
    engine.wait_for(shows("You are not logged in."))
    shown = engine.run("return location.href")
    logout = f"{world.home}/logout?return_to={quote(shown, safe='')}"
    sent = requests.get(logout, allow_redirects=False, timeout=30).headers["Location"]
    assert sent == returned(shown)
    engine.open(world.home)
    engine.open(logout)
    engine.wait_for(f"location.href == {json.dumps(sent)} && {shows('You are not logged in.')}")


@pytest.fixture(scope="module")
def secure(world: World) -> Iterator[str]:
    """The URL of the app over https."""
    _, home = world.https
    with world.app({"SPOTIFY_REDIRECT_URI": f"{home}/callback", "FRONTEND_ORIGINS": ""}) as app:
        serve_tls(forwarding(app.home), certificate("127.0.0.1")[0], urlsplit(home).port)
        yield home


@pytest.mark.promise("E8")
def test_back_after_a_logout_over_https_shows_no_personal_data(engine: Engine, secure: str) -> None:
    log_in(engine, secure)
    engine.wait_for(shows("User ID: 31deva"))
    engine.open(f"{secure}/callback")  # WebKit would load a page again after one of another origin
    engine.open(f"{secure}/logout")
    engine.run("history.go(-2)")
    engine.wait_for("performance.getEntriesByType('navigation')[0].type == 'back_forward'")
    engine.wait_for(shows("User ID: None"))
