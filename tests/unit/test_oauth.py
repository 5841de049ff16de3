"""The authorization request, and the parsing of its response."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import (
    AppRefused,
    AuthorizationRefused,
    Cancelled,
    LoginError,
    SpotifyUnavailable,
)
from chalicelib.oauth import read_callback

ISSUER = "https://accounts.spotify.com"
VSCHAR = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)


@given(VSCHAR, VSCHAR)
def test_a_valid_callback_is_parsed(state: str, code: str) -> None:
    callback = read_callback({"state": [state], "code": [code], "iss": [ISSUER]}, ISSUER)
    assert (callback.state, callback.authorization_code()) == (state, code)


@pytest.mark.promise("I3")
@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("access_denied", Cancelled),
        ("invalid_scope", AppRefused),
        ("unsupported_response_type", AppRefused),
        ("server_error", SpotifyUnavailable),
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
