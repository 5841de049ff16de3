"""The whole login, over HTTP between real processes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from simulator.personas import PERSONAS
from tests.support.table import Table
from tests.support.visitor import HttpVisitor, query_of
from tests.support.world import World


@pytest.mark.promise("C3", "E2", "F3", "G1")
def test_a_login_lasts_until_the_logout(visitor: HttpVisitor, table: Table) -> None:
    """Over loopback http. A browser that received HSTS here would no longer open http://127.0.0.1."""
    assert visitor.see_id() == "None"
    begun = visitor.get("/login")
    assert query_of(begun.location)["redirect_uri"] == f"{visitor.home}/callback"
    done = visitor.get(visitor.agree(begun.location))
    assert (done.status, done.location) == (307, f"{visitor.home}/"), "Spotify compares both redirect URIs"
    assert visitor.see_id() == "pia.premium"
    assert visitor.see_id() == "pia.premium", "after a reload"
    (item,) = table.items()
    assert json.loads(item["profile"]["S"])["display_name"] == "Pia Premium"
    ended = visitor.get("/logout")
    assert ended.location == f"{visitor.home}/"
    assert visitor.see_id() == "None"
    assert table.items() == []
    (attempt,), (*_, session) = begun.set_cookies, done.set_cookies
    assert attempt.startswith("spotify-login-")
    assert attempt.endswith("Max-Age=600; Path=/; HttpOnly; SameSite=Lax")
    assert session.startswith("spotify-session=")
    assert session.endswith("Max-Age=604800; Path=/; HttpOnly; SameSite=Lax")
    for reply in (begun, done, ended, visitor.get("/")):
        assert "strict-transport-security" not in reply.headers


PAGES = {
    "unlisted": (403, "not on this app's list of users"),
    "no-premium": (403, "Premium subscription"),
    "rate-limited": (503, "Too many requests"),
    "rate-limited-hour": (503, "Too many requests"),
    "quota": (503, "quota"),
    "down": (502, "Something failed at Spotify"),
    "gateway": (502, "Something failed at Spotify"),
    "hanging": (504, "Spotify took too long to respond"),
    "garbage": (502, "without a usable ID"),
}


@pytest.mark.parametrize("persona", PAGES)
def test_a_persona_that_cannot_log_in_gets_an_error_page_and_nothing_is_stored(
    visitor: HttpVisitor, table: Table, persona: str
) -> None:
    status, text = PAGES[persona]
    reply = visitor.log_in(persona)
    assert reply.status == status
    assert text in reply.words
    assert "Reference: " in reply.words
    assert f"{visitor.home}/login" in reply.links
    assert ("https://developer.spotify.com/dashboard" in reply.links) is (status == 403)
    assert visitor.see_id() == "None"
    assert table.items() == []
    retry_after = {"rate-limited": "5", "rate-limited-hour": "3600", "quota": "30"}
    assert reply.headers.get("retry-after") == retry_after.get(persona)


@pytest.mark.parametrize("persona", [slug for slug in PERSONAS if slug not in PAGES])
def test_a_persona_that_can_log_in_is_shown_and_erased_at_logout(
    visitor: HttpVisitor, table: Table, persona: str
) -> None:
    assert visitor.log_in(persona).status == 307
    assert visitor.see_id() == PERSONAS[persona].user_id
    visitor.get("/logout")
    assert table.items() == []


@pytest.mark.promise("F5")
def test_localhost_is_redirected_once_to_127_0_0_1_before_any_cookie_is_set(
    world: World, visitor: HttpVisitor
) -> None:
    visitor.log_in()
    at_localhost = HttpVisitor(world.home.replace("127.0.0.1", "localhost"))
    for path in ("/", "/login", "/logout"):
        reply = at_localhost.get(path)
        assert (reply.status, reply.location) == (307, f"{world.home}{path}?moved=1")
        assert reply.set_cookies == []
    assert visitor.get(at_localhost.get("/").location).user_id == "pia.premium", "still logged in"
    assert at_localhost.get("/?moved=1").status == 200, "a proxy may rewrite the host"
    assert at_localhost.get("/callback?state=s&code=c").status == 400, "its cookie is here"
    visitor.get("/logout")


@pytest.mark.promise("B13")
def test_simultaneous_logins_never_mix_up_users(world: World, table: Table, times: int) -> None:
    def log_in(user_id: str) -> str:
        visitor = HttpVisitor(world.home)
        visitor.log_in("development", user_id)
        return visitor.see_id()

    with ThreadPoolExecutor(2) as browsers:
        for pair in range(20 * times):
            wanted = [f"user-{pair}-a", f"user-{pair}-b"]
            assert list(browsers.map(log_in, wanted)) == wanted
    assert len(table.items()) == 40 * times
