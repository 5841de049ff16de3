"""Plain `chalice local`, without this project's tooling."""

from __future__ import annotations

import pytest

from chalicelib.config import EVERY_SCOPE
from tests.support.servers import free_port, python, running, wait_until_served
from tests.support.visitor import HttpVisitor, query_of

CHALICE = python("-c", "import sys; from chalice.cli import main; sys.exit(main())")
SETTINGS = {
    "SPOTIFY_CLIENT_ID": "the-id",
    "SPOTIFY_CLIENT_SECRET": "the-secret",
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuv",
}


@pytest.mark.parametrize("settings", [SETTINGS, {}], ids=["set", "unset"])
def test_three_variables_are_enough_to_start_a_login_and_none_for_the_home_page(
    settings: dict[str, str],
) -> None:
    port = free_port()
    with running([*CHALICE, "local", "--port", str(port), "--no-autoreload"], settings):
        wait_until_served(port)
        visitor = HttpVisitor(f"http://127.0.0.1:{port}")
        assert visitor.see_id() == "None"
        assert visitor.get("/logout").status == 307
        begun = visitor.get("/login")
    if not settings:
        assert begun.status == 500
        return
    assert begun.location.startswith("https://accounts.spotify.com/authorize?")
    query = query_of(begun.location)
    assert (query["client_id"], query["scope"]) == ("the-id", EVERY_SCOPE)
    assert query["redirect_uri"] == f"{visitor.home}/callback"
