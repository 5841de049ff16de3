"""Fuzzing: any request gets a well-formed response, with no exception, no 500 and no invalid header."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from moto import mock_aws

from app import app
from chalicelib import failure
from chalicelib.cookies import Seal, encode
from chalicelib.errors import ProfileInvalid
from chalicelib.login import Attempt
from chalicelib.profile import Profile
from tests.support.gateway import DOMAIN, event
from tests.support.table import Table
from tests.support.world import SECRET_KEY

ROUTES = st.sampled_from(["/", "/login", "/callback", "/logout"])
TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
HUGE = st.builds(lambda text, times: text * times, TEXT, st.sampled_from([1, 1, 1, 500]))


def own_cookies() -> str:
    now = str(int(time.time()))
    attempt = Attempt.begin()
    session = Seal("session", [SECRET_KEY]).sign(encode("user-1"), "x" * 22, "s" * 16, now, now)
    attempt_cookie = Seal("login attempt", [SECRET_KEY]).sign(attempt.state, attempt.code_verifier, "", "")
    return f"__Host-spotify-session={session}; __Host-spotify-login-00000000={attempt_cookie}"


COOKIES = st.one_of(HUGE, st.builds(lambda text: f"{own_cookies()};{text}", TEXT))
VALUE = st.one_of(
    st.none(), HUGE, COOKIES, st.sampled_from(["cross-site", "none", "prefetch", f"https://{DOMAIN}"])
)
NAME = st.one_of(
    st.sampled_from(["Cookie", "cookie", "COOKIE", "Host", "Origin", "referer", "SEC-FETCH-SITE", "Sec-Purpose", "purpose"]),
    st.text(st.characters(exclude_categories=()), max_size=20),
)  # fmt: skip
NAMES = ["state", "code", "error", "iss", "moved", "show_dialog", "return_to", "failure", "confirm"]
PARAMETER = st.one_of(st.sampled_from(NAMES), TEXT)
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)
PATH = st.builds("/{}".format, PRINTABLE)


def sign(reason: str, return_to: str) -> str:
    """The parameter of a failed callback's address."""
    fields = [int(time.time()), reason, "0b1c2d3e", 0, return_to]
    return Seal(failure.PURPOSE, [SECRET_KEY]).sign(encode(json.dumps(fields)))


SIGNED = st.builds(sign, st.sampled_from(["cancelled", "spotify_rate_limited", "none"]), PATH)
QUERY = st.builds(
    dict[str, Any].__or__,
    st.dictionaries(PARAMETER, st.lists(st.none() | HUGE, max_size=3), max_size=5),
    st.fixed_dictionaries(
        {},
        optional={
            "return_to": st.lists(st.none() | PATH, max_size=2),
            "failure": st.lists(st.none() | SIGNED, max_size=2),
            "confirm": st.lists(st.none() | st.just("s" * 16), max_size=2),
        },
    ),
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An API Gateway event with arbitrary values wherever a client controls them."""
    sent = event(draw(ROUTES))
    sent["headers"] = draw(st.none() | st.dictionaries(NAME, VALUE, max_size=6))
    sent["multiValueHeaders"] = draw(
        st.none() | st.dictionaries(NAME, st.none() | st.lists(VALUE, max_size=3), max_size=4)
    )
    sent["multiValueQueryStringParameters"] = draw(st.none() | QUERY)
    sent["body"] = draw(st.none() | TEXT)
    context = sent["requestContext"]
    context["httpMethod"] = draw(
        st.sampled_from(["GET"] * 6 + ["POST", "HEAD", "OPTIONS", "DELETE", "unknown"])
    )
    context["requestId"] = draw(st.none() | st.just("0b1c2d3e"))
    if draw(st.booleans()):
        context["path"] = draw(TEXT | st.none())
    return sent


@pytest.fixture
def world(settings: dict[str, str]) -> Iterator[None]:
    with mock_aws():
        Table().create()
        yield


def is_well_formed(response: dict[str, Any]) -> bool:
    """Whether API Gateway accepts the response, and no header value contains a line break."""
    values = [*response["headers"].values(), *chain(*response["multiValueHeaders"].values())]
    json.dumps(response).encode()
    response["body"].encode()
    return (
        set(response) == {"statusCode", "headers", "multiValueHeaders", "body"}
        and isinstance(response["statusCode"], int)
        and all(isinstance(value, str) and re.fullmatch(r"[\x20-\x7e]*", value) for value in values)
    )


@pytest.mark.promise("H2")
@given(events())
def test_any_request_gets_a_well_formed_response_and_never_a_500(world: None, sent: dict[str, Any]) -> None:
    response = app(sent, None)
    assert is_well_formed(response)
    assert response["statusCode"] != 500
    location = response["headers"].get("Location", "")
    assert re.match(rf"$|https://{re.escape(DOMAIN)}/|http://127\.0\.0\.1:\d+/authorize\?", location)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["id", "account_id", "display_name", "images", "followers", "type", "x"])


@pytest.mark.promise("C4")
@given(st.dictionaries(FIELDS, JSON) | JSON)
@example({"id": "x", "account_id": "\x00" * 2048})
@example({"id": "x", "account_id": "é" * 1024})
@example({"id": "x", "account_id": "👩" * 512})
def test_any_profile_is_rejected_or_can_be_shown_and_its_key_fits_into_a_cookie(document: Any) -> None:
    try:
        profile = Profile.parse(json.dumps(document))
    except ProfileInvalid:
        return
    assert profile.display_name is None or profile.display_name.encode()
    assert 0 < len(profile.account_key.encode()) <= 2048
    times = ("1795478400", "1795478400")
    sealed = Seal("session", [SECRET_KEY]).sign(encode(profile.account_key), "x" * 22, "s" * 16, *times)
    assert len(f"__Host-spotify-session={sealed}") <= 4096
