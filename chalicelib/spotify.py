"""The two calls to Spotify: exchange a code, fetch the current user."""

from __future__ import annotations

import re
import time

from chalicelib.deadline import Deadline
from chalicelib.errors import (
    ClientRefused,
    CodeRefused,
    NotOnUserList,
    PremiumRequired,
    SpotifyForbids,
    SpotifyNonsense,
    SpotifyRateLimited,
    SpotifyUnavailable,
    SpotifyUnreachable,
)
from chalicelib.wire import Answer, Wire

REPEATS = 2
"""How often GET /v1/me is repeated. The token request is not, once it may have arrived: a code works once."""

PATIENCE = 2
"""Seconds of Retry-After that a visitor waits for; a longer one is an answer."""

RATE_WINDOW = 30
"""Seconds over which Spotify counts calls (Rate Limits page): the wait where a 429 names none."""

_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6749 appendix A.12, less the space: it becomes a header


class Spotify:
    """A confidential client (RFC 6749 §2.1) of Spotify's."""

    def __init__(self, client_id: str, client_secret: str, accounts_url: str, api_url: str) -> None:
        self._client = (client_id, client_secret)
        self._token_url = f"{accounts_url}/api/token"
        self._me_url = f"{api_url}/v1/me"
        self._wire = Wire(tls=accounts_url.startswith("https:"))

    def exchange(self, code: str, code_verifier: str, redirect_uri: str, deadline: Deadline) -> str:
        """Exchange an authorization code for an access token (RFC 6749 §4.1.3, RFC 7636 §4.5).

        Raises:
            CodeRefused: Spotify does not take the code.
            ClientRefused: Spotify does not take our client id and secret.
            SpotifyError: another leaf of it, as errors.py draws them.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier,
        }
        try:
            answer = self._wire.send("POST", self._token_url, deadline, data=form, auth=self._client)
        except SpotifyUnreachable:
            answer = self._wire.send("POST", self._token_url, deadline, data=form, auth=self._client)
        return _access_token(answer)

    def current_user(self, access_token: str, deadline: Deadline) -> str:
        """The body of GET /v1/me: the current user's profile, as JSON text that nobody has looked into yet.

        Raises:
            NotOnUserList: the application is in development mode and the user is not on its list.
            PremiumRequired: the application's owner has no Premium subscription.
            SpotifyError: another leaf of it, as errors.py draws them.
        """
        headers = {"Authorization": f"Bearer {access_token}"}
        for repeat in range(REPEATS + 1):
            try:
                answer = self._wire.send("GET", self._me_url, deadline, headers=headers)
                return _profile(answer)
            except SpotifyNonsense:
                raise
            except (SpotifyUnavailable, SpotifyRateLimited) as failure:
                wait = 0.2 if failure.retry_after is None else failure.retry_after
                if repeat == REPEATS or wait > min(PATIENCE, deadline.left()):
                    raise
                time.sleep(wait)
        raise AssertionError  # the last repeat returns or raises


def _access_token(answer: Answer) -> str:
    document = answer.json()
    error = document.get("error")
    if error == "invalid_grant":
        raise CodeRefused(str(answer))
    if error == "invalid_client":
        raise ClientRefused(str(answer))
    _raise_for_trouble(answer)
    token = document.get("access_token")
    if answer.status != 200 or not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise SpotifyNonsense(str(answer))
    return token


def _profile(answer: Answer) -> str:
    _raise_for_trouble(answer)
    if answer.status == 403:
        raise _forbidden(answer)
    if answer.status != 200:
        raise SpotifyNonsense(str(answer))
    try:
        return answer.body.decode("utf-8")
    except UnicodeDecodeError:
        raise SpotifyNonsense(str(answer)) from None


def _raise_for_trouble(answer: Answer) -> None:
    if answer.status == 429:
        wait = RATE_WINDOW if answer.retry_after is None else answer.retry_after
        raise SpotifyRateLimited(str(answer), wait)
    if answer.status >= 500:
        raise SpotifyUnavailable(str(answer))


def _forbidden(answer: Answer) -> Exception:
    """Spotify says why in plain text, in words that have changed before: so only their gist is looked for."""
    text = answer.body.decode("utf-8", "replace").lower()
    if "regist" in text:
        return NotOnUserList(str(answer))
    if "premium" in text:
        return PremiumRequired(str(answer))
    return SpotifyForbids(str(answer))
