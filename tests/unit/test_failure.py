"""A browser's failed callback is shown at an address without code and state."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from chalicelib import failure
from chalicelib.cookies import Seal
from chalicelib.login import Attempts
from chalicelib.sessions import Sessions
from tests.support.gateway import STAGE_URL, GatewayVisitor, event, invoke
from tests.support.visitor import Reply, query_of
from tests.support.world import SECRET_KEY

OTHER = "ffffffff-0000-4000-8000-000000000002"
BROWSER = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}


def fail(visitor: GatewayVisitor, persona: str = "", login: str = "/login") -> tuple[Reply, Reply]:
    """Fail at Spotify in a browser, by default by cancelling; returns the responses to both callbacks."""
    at_spotify = visitor.get(login).location
    first = visitor.get(
        visitor.agree(at_spotify, persona) if persona else visitor.cancel(at_spotify), BROWSER
    )
    assert first.status == 307
    return first, open_later(visitor, first.location)


def open_later(visitor: GatewayVisitor, url: str) -> Reply:
    """Open a URL with a request ID of its own."""
    sent = event(url.removeprefix(STAGE_URL), BROWSER)
    sent["requestContext"]["requestId"] = OTHER
    return invoke(sent)


@pytest.mark.promise("B14")
def test_a_browser_is_redirected_to_an_address_without_code_and_state(visitor: GatewayVisitor) -> None:
    first, page = fail(visitor, login="/login?return_to=/account")
    assert first.location.startswith(f"{STAGE_URL}/callback?")
    assert set(query_of(first.location)) == {"failure"}
    assert first.text == ""
    assert page.status == 400
    assert "You cancelled the login" in page.words
    assert f"{STAGE_URL}/login?return_to=%2Faccount" in page.links


def test_the_page_has_the_reference_of_the_logged_failure_and_stays_the_same(
    visitor: GatewayVisitor, log: list[dict[str, Any]]
) -> None:
    first, page = fail(visitor, "rate-limited")
    _, failed = log
    assert (failed["reason"], failed["status"], page.status) == ("spotify_rate_limited", 503, 503)
    assert f"Reference: {failed['request_id']}\n" in page.words
    assert failed["request_id"] != OTHER
    assert page.headers["retry-after"] == "5"
    assert "Log in again in 5 seconds." in page.words
    assert open_later(visitor, first.location) == page
    problem = json.loads(visitor.get(first.location, {"Accept": "application/json"}).text)
    assert (problem["status"], problem["reason"]) == (503, failed["reason"])
    assert problem["reference"] == failed["request_id"]


@pytest.mark.promise("B14")
@pytest.mark.parametrize("query", ["failure=x", "failure=", "failure={0}&failure={0}", "failure={1}"])
def test_an_address_that_we_did_not_sign_is_a_bad_request(visitor: GatewayVisitor, query: str) -> None:
    signed = query_of(fail(visitor)[0].location)["failure"]
    forged = ("A" if signed[0] != "A" else "B") + signed[1:]
    reply = visitor.get(f"/callback?{query.format(signed, forged)}", BROWSER)
    assert reply.status == 400
    assert "This address is not complete" in reply.words


@pytest.mark.promise("C8")
@pytest.mark.parametrize("purpose", [Sessions.PURPOSE, Attempts.PURPOSE])
def test_a_failure_that_was_signed_as_a_cookie_is_a_bad_request(
    visitor: GatewayVisitor, purpose: str
) -> None:
    signed = query_of(fail(visitor)[0].location)["failure"]
    fields = signed.rpartition(".")[0]
    reply = visitor.get(f"/callback?failure={Seal(purpose, [SECRET_KEY]).sign(fields)}", BROWSER)
    assert "This address is not complete" in reply.words
    resealed = Seal(failure.PURPOSE, [SECRET_KEY]).sign(fields)
    assert resealed == signed, "with its own purpose it is valid"


@pytest.mark.promise("B14")
def test_only_the_callback_shows_a_failure(visitor: GatewayVisitor) -> None:
    first, _ = fail(visitor)
    query = first.location.removeprefix(f"{STAGE_URL}/callback")
    assert visitor.get(f"/{query}").user_id == "None"
    assert "/authorize?" in visitor.get(f"/login{query}").location
    assert visitor.get(f"/logout{query}").location == f"{STAGE_URL}/"


@pytest.mark.promise("B14")
def test_a_failure_of_another_route_is_shown_there(
    visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.log_in()
    monkeypatch.setenv("USERS_TABLE", "missing")
    for path in ("/", "/logout"):
        for query in ("code=c", "state=s", "error=e"):
            assert visitor.get(f"{path}?{query}", {**BROWSER, "Sec-Fetch-Site": "none"}).status == 503


@pytest.mark.promise("B14")
def test_the_address_works_for_an_hour(visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = fail(visitor)
    later = time.time() + failure.LIFETIME
    monkeypatch.setattr(time, "time", lambda: later - 5)
    assert "You cancelled the login" in open_later(visitor, first.location).words
    monkeypatch.setattr(time, "time", lambda: later + 5)
    assert "This login has expired" in open_later(visitor, first.location).words


@pytest.mark.promise("B14")
def test_a_reference_holds_no_text_of_a_request(visitor: GatewayVisitor) -> None:
    sent = event("/callback", BROWSER)
    sent["requestContext"]["requestId"] = "Call us now"
    assert "Call us now" not in invoke(sent).text


def test_without_a_key_the_page_is_shown_at_the_callback(
    visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = visitor.cancel(visitor.begin())
    monkeypatch.delenv("SECRET_KEY")
    reply = visitor.get(callback, BROWSER)
    assert reply.status == 500
    assert "This site is not set up yet" in reply.words
