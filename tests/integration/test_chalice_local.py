"""Plain `chalice local`, without this project's tooling."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from chalicelib.config import EVERY_SCOPE
from tests.support.servers import free_port, python, running, wait_until_served
from tests.support.table import Table
from tests.support.visitor import HttpVisitor, query_of
from tests.support.world import World

CHALICE = python("-c", "import sys; from chalice.cli import main; sys.exit(main())")
SETTINGS = {
    "SPOTIFY_CLIENT_ID": "the-id",
    "SPOTIFY_CLIENT_SECRET": "the-secret",
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuv",
}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def chalice_local(port: int, request: pytest.FixtureRequest) -> Iterator[None]:
    """Run `chalice local` with the variables that the test sets."""
    with running([*CHALICE, "local", "--port", str(port), "--no-autoreload"], request.param):
        wait_until_served(port)
        yield


@pytest.mark.parametrize("chalice_local", [SETTINGS], indirect=True)
def test_three_variables_are_enough_to_start_a_login(chalice_local: None, port: int) -> None:
    visitor = HttpVisitor(f"http://127.0.0.1:{port}")
    assert visitor.see_id() == "None"
    url = visitor.begin()
    assert url.startswith("https://accounts.spotify.com/authorize?")
    query = query_of(url)
    assert query["client_id"] == "the-id"
    assert query["scope"] == EVERY_SCOPE
    assert query["redirect_uri"] == f"http://127.0.0.1:{port}/callback"
    assert visitor.get("/logout").status == 307


@pytest.mark.parametrize("chalice_local", [{}], indirect=True)
def test_the_home_page_needs_no_variables(chalice_local: None, port: int) -> None:
    visitor = HttpVisitor(f"http://127.0.0.1:{port}")
    assert visitor.see_id() == "None"
    assert visitor.get("/login").status == 500


@pytest.mark.parametrize(
    "chalice_local", [{**SETTINGS, "SPOTIFY_REDIRECT_URI": "http://localhost:5000/callback"}], indirect=True
)
def test_a_redirect_uri_on_localhost_is_used_as_configured(chalice_local: None, port: int) -> None:
    reply = requests.get(
        f"http://127.0.0.1:{port}/login",
        headers={"Host": "localhost:5000"},
        allow_redirects=False,
        timeout=30,
    )
    assert query_of(reply.headers["Location"])["redirect_uri"] == "http://localhost:5000/callback"
    elsewhere = requests.get(f"http://127.0.0.1:{port}/login", allow_redirects=False, timeout=30)
    assert elsewhere.headers["Location"] == "http://localhost:5000/login?moved=1"


def test_a_login_on_localhost_stays_on_localhost(world: World, table: Table, port: int) -> None:
    home = f"http://localhost:{port}"
    settings = {
        **world.environment,
        "SPOTIFY_REDIRECT_URI": "http://localhost:5000/callback",
        "FRONTEND_ORIGINS": "",
    }
    with running([*CHALICE, "local", "--port", str(port), "--no-autoreload"], settings):
        wait_until_served(port)
        visitor = HttpVisitor(home)
        at_5000 = {"Host": "localhost:5000"}
        url = visitor.get("/login", at_5000).location
        callback = visitor.agree(url).replace("http://localhost:5000", home)
        reply = visitor.get(callback, {**at_5000, "Cookie": cookies(visitor)})
        assert reply.location == "http://localhost:5000/"
        page = visitor.get("/", {**at_5000, "Cookie": cookies(visitor)})
        assert page.user_id == "pia.premium"
        assert all(link.startswith("http://localhost:5000/") for link in page.links)


def cookies(visitor: HttpVisitor) -> str:
    return "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
