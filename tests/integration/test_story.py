"""The whole login, over HTTP between real processes."""

from __future__ import annotations

import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy import PROJECT
from deploy.smoke import Site
from simulator.personas import PERSONAS
from tests.support.servers import clean_environment, free_port, python
from tests.support.table import Table
from tests.support.visitor import HttpVisitor, query_of
from tests.support.world import World


@pytest.mark.promise("E2")
def test_a_login_lasts_until_the_logout(visitor: HttpVisitor, table: Table) -> None:
    assert visitor.see_id() == "None"
    reply = visitor.log_in("premium")
    assert (reply.status, reply.location) == (307, f"{visitor.home}/")
    assert visitor.see_id() == "pia.premium"
    assert visitor.see_id() == "pia.premium", "after a reload"
    (item,) = table.items()
    assert json.loads(item["profile"]["S"])["display_name"] == "Pia Premium"
    assert visitor.get("/logout").location == f"{visitor.home}/"
    assert visitor.see_id() == "None"
    assert table.items() == []


@pytest.mark.promise("G1")
def test_loopback_http_sends_no_hsts_header(visitor: HttpVisitor) -> None:
    """A browser that received HSTS here would no longer open http://127.0.0.1."""
    for path in ("/", "/login", "/callback", "/logout"):
        assert "strict-transport-security" not in visitor.get(path).headers


@pytest.mark.promise("C3")
def test_loopback_cookies_have_plain_names_and_are_http_only(visitor: HttpVisitor) -> None:
    (attempt,) = visitor.get("/login").set_cookies
    *_, session = visitor.log_in().set_cookies
    assert attempt.startswith("spotify-login-")
    assert attempt.endswith("Max-Age=600; Path=/; HttpOnly; SameSite=Lax")
    assert session.startswith("spotify-session=")
    assert session.endswith("Max-Age=604800; Path=/; HttpOnly; SameSite=Lax")
    visitor.get("/logout")


PAGES = {
    "unlisted": (403, "not on this app's list of users"),
    "no-premium": (403, "Premium subscription"),
    "rate-limited": (503, "slow down"),
    "rate-limited-hour": (503, "slow down"),
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


@pytest.mark.promise("B2")
def test_a_callback_in_another_browser_is_rejected_before_spotify_is_called(
    visitor: HttpVisitor, world: World, table: Table
) -> None:
    callback = visitor.agree(visitor.begin())
    before = world.request_count("POST /api/token")
    other = HttpVisitor(world.home)
    assert other.get(callback).status == 400
    assert world.request_count("POST /api/token") == before
    assert table.items() == []


@pytest.mark.promise("B4")
def test_a_reloaded_callback_does_not_resend_the_code(visitor: HttpVisitor, world: World) -> None:
    callback = visitor.agree(visitor.begin())
    visitor.get(callback)
    before = world.request_count("POST /api/token")
    assert visitor.get(callback).location == f"{world.home}/"
    assert world.request_count("POST /api/token") == before
    visitor.get("/logout")


def test_cancelling_stores_nothing(visitor: HttpVisitor, table: Table) -> None:
    reply = visitor.get(visitor.cancel(visitor.begin()))
    assert reply.status == 400
    assert "You cancelled the login" in reply.words
    assert table.items() == []


@pytest.mark.promise("B15")
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_logins_in_two_tabs_finish_in_either_order(visitor: HttpVisitor, order: tuple[int, int]) -> None:
    callbacks = [visitor.agree(visitor.begin()) for _ in range(2)]
    assert [visitor.get(callbacks[tab]).status for tab in order] == [307, 307]
    assert visitor.see_id() == "pia.premium"
    visitor.get("/logout")


def test_a_logout_ends_the_sessions_in_all_browsers(visitor: HttpVisitor, world: World, table: Table) -> None:
    laptop, phone = visitor, HttpVisitor(world.home)
    laptop.log_in()
    phone.log_in()
    copy = HttpVisitor(world.home, dict(phone.cookies))
    laptop.get("/logout")
    assert [browser.see_id() for browser in (laptop, phone, copy)] == ["None"] * 3
    assert table.items() == []


@pytest.mark.promise("F5")
def test_localhost_is_redirected_to_127_0_0_1_before_any_cookie_is_set(world: World) -> None:
    port = world.home.rpartition(":")[2]
    visitor = HttpVisitor(f"http://localhost:{port}")
    for path in ("/", "/login", "/logout"):
        reply = visitor.get(path)
        assert (reply.status, reply.location) == (307, f"{world.home}{path}?moved=1")
        assert reply.set_cookies == []
    assert visitor.get("/?moved=1").status == 200, "redirected only once: a proxy may rewrite the host"
    assert visitor.get("/callback?state=s&code=c").status == 400, (
        "a callback is not redirected: its cookie is here"
    )


def test_a_logged_in_user_who_opens_localhost_is_still_logged_in(world: World, visitor: HttpVisitor) -> None:
    visitor.log_in()
    reply = HttpVisitor(world.home.replace("127.0.0.1", "localhost")).get("/")
    assert visitor.get(reply.location).user_id == "pia.premium"
    visitor.get("/logout")


@pytest.mark.promise("F3")
def test_the_redirect_uri_is_the_same_in_both_requests_to_spotify(visitor: HttpVisitor) -> None:
    url = visitor.begin()
    assert query_of(url)["redirect_uri"] == f"{visitor.home}/callback"
    assert visitor.get(visitor.agree(url)).status == 307, "Spotify compares them byte for byte"
    visitor.get("/logout")


@pytest.mark.promise("B13")
def test_200_pairs_of_simultaneous_logins_never_mix_up_users(world: World, table: Table) -> None:
    def log_in(user_id: str) -> str:
        visitor = HttpVisitor(world.home)
        visitor.log_in("development", user_id)
        return visitor.see_id()

    with ThreadPoolExecutor(2) as browsers:
        for pair in range(200):
            wanted = [f"user-{pair}-a", f"user-{pair}-b"]
            assert list(browsers.map(log_in, wanted)) == wanted
    assert len(table.items()) == 400


def smoke(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python("-m", "pytest", "-c", "deploy/smoke.ini", "deploy/smoke.py"),
        cwd=PROJECT,
        env=clean_environment({"SMOKE_URL": url}),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_smoke_passes_against_the_app(world: World) -> None:
    done = smoke(world.home)
    assert done.returncode == 0, done.stdout
    assert "24 passed, 1 skipped" in done.stdout


def test_smoke_fails_against_another_server(world: World) -> None:
    done = smoke(world.spotify)
    assert done.returncode == 1
    assert re.search(r"::test_g2_\w+ FAILED", done.stdout)


def test_smoke_says_if_nothing_responds() -> None:
    done = smoke(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "did not respond.\nStart the app:\n    make run\n" in done.stdout


def test_smoke_sends_no_more_requests_per_second_than_its_rate(world: World) -> None:
    site = Site(world.home, rate=50)
    began = time.monotonic()
    for _ in range(11):
        site.send("/login")
    assert time.monotonic() - began >= 0.2
