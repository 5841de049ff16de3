"""What we believe about Spotify's HTTP behavior. Each test is one belief.

The suite runs without a user. So it covers no valid code, refresh token or profile, and cannot show that Spotify
requires the verifier after a challenge.
"""

from __future__ import annotations

import pytest

from tests.contract.target import CODE_VERIFIER, Reply, Target

JSON = "application/json"
REDIRECTS = {301, 302, 303, 307, 308}


def assert_token_error(reply: Reply, *errors: str) -> None:
    """Check that the token endpoint sent one of the error codes (RFC 6749 §5.2)."""
    assert (reply.status, reply.content_type) == (400, JSON), reply
    assert reply.document.get("error") in errors, reply
    assert isinstance(reply.document.get("error_description", ""), str), reply


def assert_error_before_login(reply: Reply) -> None:
    """Check that the response is an error and no redirect, as `make doctor` expects it."""
    assert not reply.location, reply
    assert 400 <= reply.status < 429, reply


NO_APP = ("0" * 32, "0" * 32)
CREDENTIALS = {"grant_type": "client_credentials"}
CODE = {"grant_type": "authorization_code", "code": "made-up"}


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({**CODE, "code_verifier": CODE_VERIFIER}, "invalid_grant"),
        # We do not know which of its two faults Spotify reports.
        (CODE, "invalid_grant invalid_request"),
        ({"grant_type": "authorization_code", "code_verifier": CODE_VERIFIER}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, "invalid_grant"),
        ({"grant_type": "made-up"}, "unsupported_grant_type"),
    ],
    ids=["a made-up code", "one without a verifier", "no code", "a made-up refresh token", "a made-up type"],
)
def test_the_token_endpoint_rejects_with_the_error_of_the_rfc(
    target: Target, form: dict[str, str], error: str
) -> None:
    uri = {"redirect_uri": target.redirect_uri} if form["grant_type"] == "authorization_code" else {}
    assert_token_error(target.request_token({**form, **uri}), *error.split())


def test_the_token_endpoint_rejects_a_wrong_secret_and_an_unknown_client_with_invalid_client(
    target: Target,
) -> None:
    for client in ((target.client_id, "0" * 32), NO_APP):
        assert_token_error(target.request_token(CREDENTIALS, client), "invalid_client")


def test_client_credentials_get_a_bearer_token_for_an_hour_and_no_refresh_token(target: Target) -> None:
    reply = target.client_credentials_token
    assert (reply.status, reply.content_type) == (200, JSON), reply
    assert reply.access_token, reply
    assert reply.document.get("token_type") == "Bearer", reply
    assert reply.document.get("expires_in") == 3600, reply
    assert "refresh_token" not in set(reply.document), reply


def test_a_profile_request_without_a_token_or_with_a_made_up_one_is_rejected_with_401(
    target: Target,
) -> None:
    for reply in (target.request_profile(), target.request_profile("made-up")):
        assert (reply.status, reply.content_type) == (401, JSON), reply
        error = reply.document.get("error")
        assert isinstance(error, dict), reply
        assert error.get("status") == 401, reply
        assert isinstance(error.get("message"), str), reply


def test_a_profile_request_with_a_client_credentials_token_is_rejected(target: Target) -> None:
    """Reports name 401 and 403, with different messages, so any client error but 429 is accepted."""
    assert target.client_credentials_token.access_token, target.client_credentials_token
    reply = target.request_profile(target.client_credentials_token.access_token)
    assert 400 <= reply.status < 429, reply


def test_the_apps_authorization_request_is_redirected_to_spotifys_login(target: Target) -> None:
    """With every scope, and with a redirect URI that must be registered for the app."""
    reply = target.authorize()
    assert reply.status in REDIRECTS, f"{reply} - is {target.redirect_uri} registered for the app?"
    assert target.owns(reply.location), reply


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "0" * 32},
        {"redirect_uri": "https://login.example/callback"},
        {"redirect_uri": "http://login.example/callback"},
        {"redirect_uri": "http://localhost:5000/callback"},
        {"redirect_uri": None},
        {"scope": "user-read-email made-up"},
    ],
    ids=["unknown app", "unregistered URI", "insecure URI", "localhost", "no URI", "unknown scope"],
)
def test_an_invalid_authorization_request_is_not_redirected_to_the_app(
    target: Target, changes: dict[str, str | None]
) -> None:
    """We do not know whether Spotify shows the error before or after its login, so it can redirect to the login."""
    reply = target.authorize(**changes)
    assert not reply.location or target.owns(reply.location), reply
    assert reply.status < 429, reply


def test_a_redirect_uri_that_is_not_registered_is_an_error_before_the_login(target: Target) -> None:
    """Unconfirmed. `make doctor` relies on it: it takes a redirect to Spotify's login for success."""
    assert_error_before_login(target.authorize(redirect_uri="https://login.example/callback"))


def test_the_error_for_an_unknown_scope_contains_the_word_scope_before_the_login(target: Target) -> None:
    """Unconfirmed. `make doctor` relies on it to tell a wrong scope from a wrong redirect URI."""
    reply = target.authorize(scope="user-read-email made-up")
    assert_error_before_login(reply)
    assert "scope" in reply.words.lower(), reply
