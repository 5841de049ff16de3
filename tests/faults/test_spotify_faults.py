"""Both Spotify endpoints, with every fault."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chalicelib import transport
from tests.support.faults import (
    DRIPS,
    Behaviour,
    FaultServer,
    close,
    garbage,
    hang,
    mid_body,
    never_accepting,
    reset,
    response,
    unreachable,
)
from tests.support.gateway import STAGE_URL, GatewayVisitor
from tests.support.table import Table

SETTING = {"token": "SPOTIFY_ACCOUNTS_URL", "me": "SPOTIFY_API_URL"}
DOWN, TIMEOUT, MALFORMED = (502, "spotify_unavailable"), (504, "spotify_timeout"), (502, "spotify_malformed")
LIMITED, OVER_QUOTA = (503, "spotify_rate_limited"), (503, "spotify_quota_exceeded")
UNLISTED = (403, "not_on_user_list")
LARGE = b'{"id": "' + b"x" * 2_000_000 + b'"}'
QUOTA = {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}

BOTH: dict[str, tuple[Behaviour, tuple[int, str]]] = {
    "closed before a response": (close, DOWN),
    "reset before a response": (reset, DOWN),
    "closed in the body": (mid_body(close), DOWN),
    "hangs in the body": (mid_body(hang), TIMEOUT),
    **{name: (behaviour, TIMEOUT) for name, behaviour in DRIPS.items()},
    "not HTTP": (garbage, DOWN),
    "418": (response(418), MALFORMED),
    "204": (lambda connection: connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n"), MALFORMED),
    "302": (response(302, Location="https://evil.example/"), MALFORMED),
    "429, Retry-After 3600": (response(429, b"", Retry_After="3600"), LIMITED),
    "429 without Retry-After": (response(429, {"error": {"status": 429, "message": "API rate limit exceeded"}}), LIMITED),
    "429 over quota": (response(429, QUOTA), OVER_QUOTA),
    "502 HTML": (response(502, b"<html><h1>502 Bad Gateway</h1></html>", Content_Type="text/html"), DOWN),
    "HTML": (response(200, b"<html>", Content_Type="text/html"), MALFORMED),
    "truncated JSON": (response(200, b'{"id": "x", "access_token": "'), MALFORMED),
    "a list": (response(200, [1]), MALFORMED),
    "a number": (response(200, b"9" * 5000), MALFORMED),
    "a nested list": (response(200, b"[" * 100_000), MALFORMED),
    "an empty object": (response(200, {}), MALFORMED),
    "wrong types": (response(200, {"access_token": [1], "id": {"id": 1}}), MALFORMED),
    "2 MB": (response(200, LARGE), MALFORMED),
    "not UTF-8": (response(200, b'{"id": "\xff", "access_token": "\xff"}'), MALFORMED),
    "a broken gzip": (response(200, b"not gzip", Content_Encoding="gzip"), DOWN),
}  # fmt: skip

TOKEN: dict[str, tuple[Behaviour, tuple[int, str]]] = {
    "invalid_grant": (response(400, {"error": "invalid_grant"}), (400, "invalid_grant")),
    "invalid_client": (response(400, {"error": "invalid_client"}), (500, "invalid_client")),
    "invalid_request": (response(400, {"error": "invalid_request"}), MALFORMED),
    "an error that is an object": (response(400, {"error": {"status": 400, "message": "odd"}}), MALFORMED),
    "a token with a line break": (response(200, {"access_token": "x\r\nY: z"}), MALFORMED),
    "an empty token": (response(200, {"access_token": ""}), MALFORMED),
    "a token of another type": (response(200, {"access_token": "BQ-token", "token_type": "mac"}), MALFORMED),
}

ME: dict[str, tuple[Behaviour, tuple[int, str]]] = {
    "401": (response(401, {"error": {"status": 401, "message": "The access token expired"}}), DOWN),
    "403 not listed": (response(403, b"The user is not registered for this application. Check \xe2\x80\xa6"), UNLISTED),
    "403 not listed, other words": (response(403, b"Check the dashboard, the user may not be registered."), UNLISTED),
    "403 no Premium": (response(403, b"Active premium subscription required"), (403, "premium_required")),
    "403 for another reason": (response(403, b""), (403, "spotify_forbids")),
    "a long id": (response(200, {"id": "x" * 2049, "account_id": "x"}), (502, "profile_invalid")),
}  # fmt: skip

PROFILE_INVALID = {
    "HTML",
    "truncated JSON",
    "a list",
    "a number",
    "a nested list",
    "an empty object",
    "wrong types",
}
"""Responses that contain no usable ID: for /v1/me, an invalid profile."""

CASES = [
    pytest.param(endpoint, behaviour, expected, id=f"{endpoint}-{name}")
    for endpoint, cases in (("token", {**BOTH, **TOKEN}), ("me", {**BOTH, **ME}))
    for name, (behaviour, usual) in cases.items()
    for expected in [(502, "profile_invalid") if endpoint == "me" and name in PROFILE_INVALID else usual]
]


def log_in(visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch, endpoint: str, url: str) -> Any:
    """Agree at the working simulator, then send the callback with one endpoint at another URL."""
    callback = visitor.agree(visitor.begin())
    monkeypatch.setenv(SETTING[endpoint], url)
    return visitor.get(callback)


@pytest.mark.promise("B10", "B11", "J1")
@pytest.mark.parametrize(("endpoint", "behaviour", "expected"), CASES)
def test_a_spotify_fault_gives_an_error_page_in_time_and_stores_nothing(
    visitor: GatewayVisitor,
    table: Table,
    log: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    behaviour: Behaviour,
    expected: tuple[int, str],
) -> None:
    if expected == TIMEOUT:
        monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.2)
        monkeypatch.setattr(transport, "READ_SECONDS", 1.0)
    server = FaultServer([behaviour])
    started = time.monotonic()
    reply = log_in(visitor, monkeypatch, endpoint, server.serve())
    assert time.monotonic() - started < 4, "the two limits, the pauses before two retries, and a slow machine"
    assert (reply.status, log[-1]["reason"]) == expected
    assert "Reference: " in reply.words
    assert f"{STAGE_URL}/login" in reply.links
    assert not any("session" in line for line in reply.set_cookies), (
        "no session is opened unless the user is stored"
    )
    assert table.items() == []
    repeated = endpoint == "me" and expected in {DOWN, (403, "spotify_forbids")}
    assert len(server.requests) == (3 if repeated else 1), "the code is sent once"
    if expected in {LIMITED, OVER_QUOTA}:
        assert 1 <= int(reply.headers["retry-after"]) <= 86_400


@pytest.mark.promise("J1")
@pytest.mark.parametrize("endpoint", SETTING)
@pytest.mark.parametrize("url_of", [unreachable, never_accepting])
def test_an_unreachable_spotify_gives_an_error_page_in_time(
    visitor: GatewayVisitor,
    table: Table,
    log: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    url_of: Any,
) -> None:
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.5)
    started = time.monotonic()
    reply = log_in(visitor, monkeypatch, endpoint, url_of())
    assert time.monotonic() - started < 4
    assert (reply.status, log[-1]["reason"]) == (502, "spotify_unreachable")
    assert table.items() == []


@pytest.mark.parametrize(
    "fault",
    [response(500), response(429, b"", Retry_After="1"), response(401), response(403), mid_body(close)],
)
def test_a_profile_request_that_fails_once_is_retried(
    visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch, fault: Behaviour
) -> None:
    server = FaultServer([fault, response(200, {"id": "test-user"})])
    assert log_in(visitor, monkeypatch, "me", server.serve()).status == 307
    assert len(server.requests) == 2
    assert visitor.see_id() == "test-user"
