"""Every endpoint of Spotify's, with every fault."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.faults import (
    Behaviour,
    FaultServer,
    answer,
    close,
    drip,
    full_house,
    hang,
    nobody,
    partly,
    reset,
)
from tests.support.gateway import STAGE_URL, GatewayVisitor
from tests.support.table import Table

SETTING = {"token": "SPOTIFY_ACCOUNTS_URL", "me": "SPOTIFY_API_URL"}
DOWN, TIMEOUT, MALFORMED = (502, "spotify_unavailable"), (504, "spotify_timeout"), (502, "spotify_malformed")
LIMITED = (503, "spotify_rate_limited")
LARGE = b'{"id": "' + b"x" * 2_000_000 + b'"}'
QUOTA = {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}

BOTH: dict[str, tuple[Behaviour, tuple[int, str]]] = {
    "closed before an answer": (close, DOWN),
    "reset before an answer": (reset, DOWN),
    "closed in the body": (partly(close), DOWN),
    "reset in the body": (partly(reset), DOWN),
    "hang before the headers": (hang, TIMEOUT),
    "hang in the body": (partly(hang), TIMEOUT),
    "drip": (drip, TIMEOUT),
    "not HTTP": (lambda connection: connection.sendall(b"SSH-2.0-x\r\n"), DOWN),
    "404": (answer(404, b"<html>"), MALFORMED),
    "418": (answer(418), MALFORMED),
    "204": (lambda connection: connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n"), MALFORMED),
    "302": (answer(302, Location="https://evil.example/"), MALFORMED),
    "429 after 3600": (answer(429, b"", Retry_After="3600"), LIMITED),
    "429 after 5": (answer(429, b"", Retry_After="5"), LIMITED),
    "429 without a wait": (answer(429, {"error": {"status": 429, "message": "API rate limit exceeded"}}), LIMITED),
    "429 after garbage": (answer(429, b"", Retry_After="in a while"), LIMITED),
    "429 over quota": (answer(429, QUOTA), LIMITED),
    "500 JSON": (answer(500, {"error": "server_error"}), DOWN),
    "502 HTML": (answer(502, b"<html><h1>502 Bad Gateway</h1></html>", Content_Type="text/html"), DOWN),
    "503 empty": (answer(503), DOWN),
    "HTML": (answer(200, b"<html>", Content_Type="text/html"), MALFORMED),
    "half of a document": (answer(200, b'{"id": "x", "access_token": "'), MALFORMED),
    "a list": (answer(200, [1]), MALFORMED),
    "a string": (answer(200, "access_token id"), MALFORMED),
    "an empty object": (answer(200, {}), MALFORMED),
    "wrong types": (answer(200, {"access_token": [1], "id": {"id": 1}}), MALFORMED),
    "2 MB": (answer(200, LARGE), MALFORMED),
    "not UTF-8": (answer(200, b'{"id": "\xff", "access_token": "\xff"}'), MALFORMED),
    "a broken gzip": (answer(200, b"not gzip", Content_Encoding="gzip"), DOWN),
}  # fmt: skip

TOKEN: dict[str, tuple[Behaviour, tuple[int, str]]] = {
    "invalid_grant": (answer(400, {"error": "invalid_grant"}), (400, "invalid_grant")),
    "invalid_client": (answer(400, {"error": "invalid_client"}), (500, "invalid_client")),
    "invalid_client by 401": (answer(401, {"error": "invalid_client"}), (500, "invalid_client")),
    "invalid_request": (answer(400, {"error": "invalid_request"}), MALFORMED),
    "403": (answer(403, b"Forbidden"), MALFORMED),
    "429 after 0": (answer(429, b"", Retry_After="0"), LIMITED),
    "a token that is a header": (answer(200, {"access_token": "x\r\nY: z"}), MALFORMED),
}

ME: dict[str, tuple[Behaviour, tuple[int, str]]] = {
    "400": (answer(400), MALFORMED),
    "401": (answer(401, {"error": {"status": 401, "message": "The access token expired"}}), MALFORMED),
    "403 not listed": (answer(403, b"The user is not registered for this application."), (403, "not_on_user_list")),
    "403 not listed, JSON": (
        answer(403, {"error": {"status": 403, "message": "User not registered"}}),
        (403, "not_on_user_list"),
    ),
    "403 no Premium": (answer(403, b"Active premium subscription required"), (403, "premium_required")),
    "403 otherwise": (answer(403, b""), (403, "spotify_forbids")),
    "no id": (answer(200, {"display_name": "x"}), (502, "profile_invalid")),
    "an empty id": (answer(200, {"id": ""}), (502, "profile_invalid")),
    "an id that is a number": (answer(200, {"id": 7}), (502, "profile_invalid")),
    "a lone surrogate": (answer(200, b'{"id": "\\ud800"}'), (502, "profile_invalid")),
    "a long id": (answer(200, {"id": "x" * 2049, "account_id": "x"}), (502, "profile_invalid")),
    "a deep document": (answer(200, b'{"id": "x", "a": ' + b"[" * 50_000), (502, "profile_invalid")),
}  # fmt: skip

PROFILE_INVALID = {"HTML", "half of a document", "a list", "a string", "an empty object", "wrong types"}
"""What has no usable id is, of the profile, that."""

CASES = [
    pytest.param(endpoint, behaviour, expected, id=f"{endpoint}-{name}")
    for endpoint, cases in (("token", {**BOTH, **TOKEN}), ("me", {**BOTH, **ME}))
    for name, (behaviour, usual) in cases.items()
    for expected in [(502, "profile_invalid") if endpoint == "me" and name in PROFILE_INVALID else usual]
]


def log_in(visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch, endpoint: str, url: str) -> Any:
    """Agree at a good Spotify, and come back when the endpoint is at another URL."""
    callback = visitor.agree(visitor.begin())
    monkeypatch.setenv(SETTING[endpoint], url)
    return visitor.get(callback)


@pytest.mark.parametrize(("endpoint", "behaviour", "expected"), CASES)
def test_a_fault_is_a_page_in_time_and_nothing_half_done(
    visitor: GatewayVisitor,
    table: Table,
    log: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    behaviour: Behaviour,
    expected: tuple[int, str],
) -> None:
    server = FaultServer([behaviour])
    started = time.monotonic()
    reply = log_in(visitor, monkeypatch, endpoint, server.serve())
    assert time.monotonic() - started < 20.5
    assert (reply.status, log[-1]["reason"]) == expected
    assert "Reference: " in reply.words
    assert f"{STAGE_URL}/login" in reply.links
    assert not any("session" in line for line in reply.set_cookies), "no session without a record"
    assert table.items() == []
    assert server.asked == 1 if endpoint == "token" else 1 <= server.asked <= 3, "no code is sent twice"
    if expected == LIMITED:
        assert 1 <= int(reply.headers["retry-after"]) <= 86_400


@pytest.mark.parametrize("endpoint", SETTING)
@pytest.mark.parametrize("where", [nobody, full_house])
def test_a_spotify_that_cannot_be_reached_is_a_page_in_time(
    visitor: GatewayVisitor,
    table: Table,
    log: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    where: Any,
) -> None:
    started = time.monotonic()
    reply = log_in(visitor, monkeypatch, endpoint, where())
    assert time.monotonic() - started < 20
    assert (reply.status, log[-1]["reason"]) == (502, "spotify_unreachable")
    assert table.items() == []


@pytest.mark.parametrize(
    "trouble",
    [
        answer(500),
        answer(502, b"<html>"),
        answer(429, b"", Retry_After="1"),
        answer(429, b"", Retry_After="0"),
        close,
        reset,
        partly(close),
    ],
)
def test_a_single_trouble_of_the_profile_is_healed_unnoticed(
    visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch, trouble: Behaviour
) -> None:
    server = FaultServer([trouble, answer(200, {"id": "somebody"})])
    assert log_in(visitor, monkeypatch, "me", server.serve()).status == 307
    assert server.asked == 2
    assert visitor.see_id() == "somebody"


def test_a_fault_leaves_the_session_before_as_it_was(
    visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.log_in("premium")
    assert log_in(visitor, monkeypatch, "me", nobody()).status == 502
    assert visitor.see_id() == "pia.premium"
