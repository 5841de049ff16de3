"""The calls to Spotify: exchange a code, refresh an access token, fetch the current user."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from chalicelib import errors
from chalicelib.config import Config
from chalicelib.deadline import Deadline
from chalicelib.profile import Profile
from chalicelib.transport import Response, Transport

ATTEMPTS = 3
"""Attempts at GET /v1/me, and at exchanging a code, which is sent again only if Spotify cannot have processed it."""

PATIENCE = 2
"""The longest Retry-After, in seconds, that a visitor waits for."""

RATE_WINDOW = 30
"""Seconds over which Spotify counts calls (its page on rate limits): the wait where a 429 names none."""

PAUSE = 0.2
"""Seconds before a retry where Spotify names no wait."""

REFRESH_SECONDS = 6.0
"""The longest that refreshing an access token takes, in which others of the same user wait."""

NEEDED_SECONDS = 2.0
"""The least time with which a token request is begun: with less, Spotify may process it although no response arrives."""

TOKEN_SECONDS = 3600
"""The lifetime of an access token, where Spotify names none from ten minutes to a day."""

LIMITED = (errors.SpotifyRateLimited,)
TRANSIENT = (*LIMITED, errors.SpotifyUnavailable, errors.SpotifyUnreachable, errors.SpotifyForbids)
"""Failures of GET /v1/me that a second attempt can cure: in 2026, also single 401s and 403s just after the exchange."""

_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6749 appendix A.12, less the space: it becomes a header


@dataclass(frozen=True)
class Tokens:
    """A successful response of the token endpoint (RFC 6749 §5.1)."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    """Empty if Spotify sent none."""
    scope: str
    """The scopes that were granted, separated by spaces."""
    ends: int
    """When the access token ends, in epoch seconds."""


class Spotify:
    """A confidential client (RFC 6749 §2.1) of Spotify. Every call ends with the deadline."""

    def __init__(self, config: Config, transport: Transport, deadline: Deadline) -> None:
        self._config = config
        self._transport = transport
        self._deadline = deadline

    def exchange(self, code: str, code_verifier: str, redirect_uri: str) -> Tokens:
        """Exchange an authorization code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5).

        Raises:
            CodeRefused: Spotify rejected the code.
            ClientRefused: Spotify rejected the client ID or secret.
            SpotifyError: any other leaf below it in the tree of errors.py.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier,
        }
        deadline = self._deadline
        send = partial(self._request_tokens, form, deadline, "", self._config.scope)
        return deadline.retry(send, partial(_pause, LIMITED))

    def refresh(self, tokens: Tokens) -> Tokens | None:
        """Replace an access token (RFC 6749 §6). None if Spotify no longer accepts the refresh token.

        Spotify sends a new refresh token seldom; without one, the old one stays valid.

        Raises:
            ClientRefused: Spotify rejected the client ID or secret.
            SpotifyError: any other leaf below it in the tree of errors.py.
        """
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        deadline = self._deadline.within(REFRESH_SECONDS)
        try:
            return self._request_tokens(form, deadline, tokens.refresh_token, tokens.scope)
        except errors.CodeRefused:
            return None

    def _request_tokens(
        self, form: Mapping[str, str], deadline: Deadline, refresh_token: str, scope: str
    ) -> Tokens:
        """Send a token request. `refresh_token` and `scope` apply where the response has none."""
        url = f"{self._config.accounts_url}/api/token"
        client = (self._config.client_id, self._config.client_secret)

        def send() -> Response:
            if deadline.left() < NEEDED_SECONDS:
                raise errors.SpotifyTimeout("token deadline")
            return self._transport.send("POST", url, deadline, data=form, auth=client)

        sent = int(time.time())
        document = _token_response(deadline.retry(send, _pause_if_not_sent))
        return Tokens(
            document["access_token"],
            _text(document, "refresh_token") or refresh_token,
            _text(document, "scope") or scope,
            sent + _lifetime(document.get("expires_in")),
        )

    def fetch_profile(self, access_token: str) -> Profile:
        """Fetch the current user's profile (GET /v1/me).

        Raises:
            NotOnUserList: the application is in development mode and the user is not on its list.
            PremiumRequired: the application's owner has no Premium subscription.
            SpotifyError: any other leaf below it in the tree of errors.py.
        """
        return self._deadline.retry(
            lambda: _profile(self.get("/v1/me", access_token)), partial(_pause, TRANSIENT)
        )

    def get(self, path: str, access_token: str) -> Response:
        """Send one GET request to the Web API; `path` begins with /v1, and may have a query.

        Returns the response, whatever its status.

        Raises:
            SpotifyError: there was none, or one that is too large.
        """
        headers = {"Authorization": f"Bearer {access_token}"}
        return self._transport.send("GET", self._config.api_url + path, self._deadline, headers=headers)


def _pause_if_not_sent(failure: Exception, attempts: int) -> float | None:
    return 0 if isinstance(failure, errors.SpotifyUnreachable) and attempts == 1 else None


def _pause(kinds: tuple[type[errors.SpotifyError], ...], failure: Exception, attempts: int) -> float | None:
    if attempts == ATTEMPTS or not isinstance(failure, kinds):
        return None
    wait = failure.retry_after or PAUSE
    return wait if wait <= PATIENCE else None


def _token_response(response: Response) -> dict[str, Any]:
    """The document of a successful response, with a usable access token."""
    document = response.json()
    error = document.get("error") if response.status < 500 else None
    if error == "invalid_grant":
        raise errors.CodeRefused(str(response))
    if error == "invalid_client":
        raise errors.ClientRefused(str(response))
    _raise_for_status(response)
    token_type = str(document.get("token_type", "Bearer")).lower()
    if not _TOKEN.fullmatch(_text(document, "access_token")) or token_type != "bearer":  # noqa: S105 - a type
        raise errors.SpotifyMalformed(str(response))
    return document


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _lifetime(expires_in: object) -> int:
    """Seconds; `TOKEN_SECONDS` where Spotify sends none, or one that no refresh could keep up with."""
    if isinstance(expires_in, int) and 600 <= expires_in <= 86_400:
        return expires_in
    return TOKEN_SECONDS


def _profile(response: Response) -> Profile:
    if response.status == 401:
        raise errors.SpotifyUnavailable(str(response))
    if response.status == 403:
        raise _forbidden(response)
    _raise_for_status(response)
    try:
        return Profile.parse(response.body.decode("utf-8"))
    except UnicodeDecodeError:
        raise errors.SpotifyMalformed(str(response)) from None


def _raise_for_status(response: Response) -> None:
    if response.status == 429:
        wait = RATE_WINDOW if response.retry_after is None else response.retry_after
        error = response.json().get("error")
        if isinstance(error, dict) and error.get("reason") == "QUOTA_EXCEEDED":
            raise errors.QuotaExceeded(str(response), wait)
        raise errors.SpotifyRateLimited(str(response), wait)
    if response.status >= 500:
        raise errors.SpotifyUnavailable(str(response))
    if response.status != 200:
        raise errors.SpotifyMalformed(str(response))


def _forbidden(response: Response) -> errors.SpotifyError:
    """Spotify gives the reason in plain text, in words that have changed before; only their gist is matched."""
    text = response.body.decode("utf-8", "replace").lower()
    reasons = {"regist": errors.NotOnUserList, "premium": errors.PremiumRequired}
    found = [error for word, error in reasons.items() if word in text]
    return (found or [errors.SpotifyForbids])[0](str(response))
