"""What we believe about Spotify's HTTP behavior. Each test is one belief.

The suite runs without a user. So it covers no valid code, refresh token or profile, and cannot show that Spotify
requires the verifier after a challenge.
"""

from __future__ import annotations

from tests.contract.target import CODE_VERIFIER, Reply, Target

JSON = "application/json"
REDIRECTS = {301, 302, 303, 307, 308}


def assert_token_error(reply: Reply, *errors: str) -> None:
    """Check that the token endpoint sent one of the error codes (RFC 6749 §5.2)."""
    assert (reply.status, reply.content_type) == (400, JSON), reply
    assert reply.document.get("error") in errors, reply
    assert isinstance(reply.document.get("error_description", ""), str), reply


def assert_401(reply: Reply) -> None:
    """Check that the Web API sent its error document."""
    assert (reply.status, reply.content_type) == (401, JSON), reply
    error = reply.document.get("error")
    assert isinstance(error, dict), reply
    assert error.get("status") == 401, reply
    assert isinstance(error.get("message"), str), reply


def assert_stays_at_spotify(target: Target, reply: Reply) -> None:
    """Check that the response does not redirect to the app.

    We do not know whether Spotify shows the error before or after its login, so it can redirect to the login.
    """
    assert not reply.location or target.owns(reply.location), reply
    assert reply.status < 429, reply


def assert_error_before_login(reply: Reply) -> None:
    """Check that the response is an error and no redirect, as `make doctor` expects it."""
    assert not reply.location, reply
    assert 400 <= reply.status < 429, reply


def exchange(code: str) -> dict[str, str]:
    """The form of a token request for a code, without the redirect URI and the verifier."""
    return {"grant_type": "authorization_code", "code": code}


def test_the_token_endpoint_rejects_a_wrong_secret_with_invalid_client(target: Target) -> None:
    reply = target.request_token({"grant_type": "client_credentials"}, (target.client_id, "0" * 32))
    assert_token_error(reply, "invalid_client")


def test_the_token_endpoint_rejects_an_unknown_client_with_invalid_client(target: Target) -> None:
    reply = target.request_token({"grant_type": "client_credentials"}, ("0" * 32, "0" * 32))
    assert_token_error(reply, "invalid_client")


def test_the_token_endpoint_rejects_a_made_up_code_with_invalid_grant(target: Target) -> None:
    form = {**exchange("made-up"), "redirect_uri": target.redirect_uri, "code_verifier": CODE_VERIFIER}
    assert_token_error(target.request_token(form), "invalid_grant")


def test_the_token_endpoint_rejects_a_made_up_code_without_a_verifier(target: Target) -> None:
    """We do not know which of the two faults Spotify reports, so both error codes are accepted."""
    form = {**exchange("made-up"), "redirect_uri": target.redirect_uri}
    assert_token_error(target.request_token(form), "invalid_grant", "invalid_request")


def test_the_token_endpoint_rejects_a_missing_code_with_invalid_request(target: Target) -> None:
    form = {"grant_type": "authorization_code", "redirect_uri": target.redirect_uri}
    assert_token_error(target.request_token({**form, "code_verifier": CODE_VERIFIER}), "invalid_request")


def test_the_token_endpoint_rejects_a_made_up_refresh_token_with_invalid_grant(target: Target) -> None:
    reply = target.request_token({"grant_type": "refresh_token", "refresh_token": "made-up"})
    assert_token_error(reply, "invalid_grant")


def test_the_token_endpoint_rejects_an_unknown_grant_type_with_unsupported_grant_type(target: Target) -> None:
    reply = target.request_token({"grant_type": "made-up"})
    assert_token_error(reply, "unsupported_grant_type")


def test_client_credentials_get_a_bearer_token_for_an_hour(target: Target) -> None:
    reply = target.client_credentials_token
    assert (reply.status, reply.content_type) == (200, JSON), reply
    assert reply.access_token, reply
    assert reply.document.get("token_type") == "Bearer", reply
    assert reply.document.get("expires_in") == 3600, reply


def test_client_credentials_get_no_refresh_token(target: Target) -> None:
    reply = target.client_credentials_token
    assert reply.status == 200, reply
    assert "refresh_token" not in set(reply.document), reply


def test_a_profile_request_without_a_token_is_rejected_with_401(target: Target) -> None:
    assert_401(target.request_profile())


def test_a_profile_request_with_a_made_up_token_is_rejected_with_401(target: Target) -> None:
    assert_401(target.request_profile("made-up"))


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


def test_an_unknown_client_is_not_redirected_to_the_app(target: Target) -> None:
    assert_stays_at_spotify(target, target.authorize(client_id="0" * 32))


def test_a_redirect_uri_that_is_not_registered_is_not_redirected_to(target: Target) -> None:
    reply = target.authorize(redirect_uri="https://login.example/callback")
    assert_stays_at_spotify(target, reply)


def test_an_insecure_redirect_uri_is_not_redirected_to(target: Target) -> None:
    reply = target.authorize(redirect_uri="http://login.example/callback")
    assert_stays_at_spotify(target, reply)


def test_localhost_is_not_redirected_to(target: Target) -> None:
    reply = target.authorize(redirect_uri="http://localhost:5000/callback")
    assert_stays_at_spotify(target, reply)


def test_an_unknown_scope_is_not_redirected_to_the_app(target: Target) -> None:
    assert_stays_at_spotify(target, target.authorize(scope="user-read-email made-up"))


def test_a_missing_redirect_uri_is_not_redirected_to_the_app(target: Target) -> None:
    assert_stays_at_spotify(target, target.authorize(redirect_uri=None))


def test_a_redirect_uri_that_is_not_registered_is_an_error_before_the_login(target: Target) -> None:
    """Unconfirmed. `make doctor` relies on it: it takes a redirect to Spotify's login for success."""
    assert_error_before_login(target.authorize(redirect_uri="https://login.example/callback"))


def test_the_error_for_an_unknown_scope_contains_the_word_scope_before_the_login(target: Target) -> None:
    """Unconfirmed. `make doctor` relies on it to tell a wrong scope from a wrong redirect URI."""
    reply = target.authorize(scope="user-read-email made-up")
    assert_error_before_login(reply)
    assert "scope" in reply.words.lower(), reply
