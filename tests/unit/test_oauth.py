"""The authorization request, and the parsing of its response."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import (
    AppRefused,
    AuthorizationRefused,
    BadRequest,
    Cancelled,
    LoginError,
    SpotifyUnavailable,
)
from chalicelib.oauth import read_callback

ISSUER = "https://accounts.spotify.com"
VSCHAR = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)
VALUES = st.one_of(
    st.none(), st.lists(st.text(st.characters(exclude_categories=()), max_size=20), max_size=3)
)


@given(VSCHAR, VSCHAR)
def test_a_valid_callback_is_parsed(state: str, code: str) -> None:
    callback = read_callback({"state": [state], "code": [code]}, ISSUER)
    assert (callback.state, callback.authorization_code()) == (state, code)


@given(st.dictionaries(st.sampled_from(["state", "code", "error", "iss", "x"]), VALUES))
def test_any_query_is_parsed_or_rejected(query: dict[str, list[str]]) -> None:
    try:
        callback = read_callback(query, ISSUER)
    except BadRequest:
        return
    assert callback.state.isascii()
    assert bool(callback.code) != bool(callback.error)


@pytest.mark.promise("I3")
@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("access_denied", Cancelled),
        ("invalid_scope", AppRefused),
        ("unauthorized_client", AppRefused),
        ("invalid_request", AppRefused),
        ("unsupported_response_type", AppRefused),
        ("server_error", SpotifyUnavailable),
        ("temporarily_unavailable", SpotifyUnavailable),
        ("pia.premium", AuthorizationRefused),
    ],
)
def test_an_error_is_told_apart_by_its_code_and_only_a_known_code_is_logged(
    code: str, failure: type[LoginError]
) -> None:
    with pytest.raises(LoginError) as raised:
        read_callback({"state": ["s"], "error": [code]}, ISSUER).authorization_code()
    assert type(raised.value) is failure
    assert raised.value.detail == ("" if failure is AuthorizationRefused else code)


def test_an_issuer_other_than_spotify_is_rejected() -> None:
    assert read_callback({"state": ["s"], "code": ["c"], "iss": [ISSUER]}, ISSUER)
    with pytest.raises(BadRequest):
        read_callback({"state": ["s"], "code": ["c"], "iss": ["https://evil.example"]}, ISSUER)
