"""Plain `chalice local`, without this project's tooling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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


@contextmanager
def chalice_local(settings: Mapping[str, str]) -> Iterator[int]:
    """Run `chalice local` with only these variables. Yields its port."""
    port = free_port()
    with running([*CHALICE, "local", "--port", str(port), "--no-autoreload"], settings):
        wait_until_served(port)
        yield port


def test_three_variables_are_enough_to_start_a_login_and_none_for_the_home_page() -> None:
    with chalice_local(SETTINGS) as port:
        visitor = HttpVisitor(f"http://127.0.0.1:{port}")
        assert visitor.see_id() == "None"
        url = visitor.begin()
        assert url.startswith("https://accounts.spotify.com/authorize?")
        query = query_of(url)
        assert query["client_id"] == "the-id"
        assert query["scope"] == EVERY_SCOPE
        assert query["redirect_uri"] == f"http://127.0.0.1:{port}/callback"
        assert visitor.get("/logout").status == 307
    with chalice_local({}) as port:
        visitor = HttpVisitor(f"http://127.0.0.1:{port}")
        assert visitor.see_id() == "None"
        assert visitor.get("/login").status == 500


def test_a_login_on_localhost_stays_on_localhost(world: World, table: Table) -> None:
    configured = {"SPOTIFY_REDIRECT_URI": "http://localhost:5000/callback", "FRONTEND_ORIGINS": ""}
    with chalice_local({**world.environment, **configured}) as port:
        visitor = HttpVisitor(f"http://localhost:{port}")
        assert visitor.get("/login").location == "http://localhost:5000/login?moved=1"
        at_5000 = {"Host": "localhost:5000"}
        url = visitor.get("/login", at_5000).location
        assert query_of(url)["redirect_uri"] == "http://localhost:5000/callback"
        callback = visitor.agree(url).replace("http://localhost:5000", visitor.home)
        assert visitor.get(callback, at_5000).location == "http://localhost:5000/"
        page = visitor.get("/", at_5000)
        assert page.user_id == "pia.premium"
        assert all(link.startswith("http://localhost:5000/") for link in page.links)
