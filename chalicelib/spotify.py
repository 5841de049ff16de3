"""The two calls to Spotify: exchange a code, fetch the current user."""

import re
from functools import partial

from chalicelib import errors
from chalicelib.config import Config
from chalicelib.deadline import Deadline
from chalicelib.profile import Profile
from chalicelib.transport import Response, Transport

ATTEMPTS = 3
"""Attempts at GET /v1/me. The token request is sent again only if it cannot have arrived: a code works once."""

PATIENCE = 2
"""The longest Retry-After, in seconds, that a visitor waits for."""

RATE_WINDOW = 30
"""Seconds over which Spotify counts calls (its page on rate limits): the wait where a 429 names none."""

PAUSE = 0.2
"""Seconds before a retry where Spotify names no wait."""

TRANSIENT = (errors.SpotifyUnavailable, errors.SpotifyUnreachable, errors.SpotifyRateLimited)

_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6749 appendix A.12, less the space: it becomes a header


class Spotify:
    """A confidential client (RFC 6749 §2.1) of Spotify. Every call ends with the deadline."""

    def __init__(self, config: Config, transport: Transport, deadline: Deadline) -> None:
        self._config = config
        self._transport = transport
        self._deadline = deadline

    def exchange(self, code: str, code_verifier: str, redirect_uri: str) -> str:
        """Exchange an authorization code for an access token (RFC 6749 §4.1.3, RFC 7636 §4.5).

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
        url = f"{self._config.accounts_url}/api/token"
        client = (self._config.client_id, self._config.client_secret)
        send = partial(self._transport.send, "POST", url, self._deadline, data=form, auth=client)
        return _access_token(self._deadline.retry(send, _pause_if_not_sent))

    def fetch_profile(self, access_token: str) -> Profile:
        """Fetch the current user's profile (GET /v1/me).

        Raises:
            NotOnUserList: the application is in development mode and the user is not on its list.
            PremiumRequired: the application's owner has no Premium subscription.
            SpotifyError: any other leaf below it in the tree of errors.py.
        """
        url = f"{self._config.api_url}/v1/me"
        headers = {"Authorization": f"Bearer {access_token}"}
        return self._deadline.retry(
            lambda: _profile(self._transport.send("GET", url, self._deadline, headers=headers)), _pause
        )


def _pause_if_not_sent(failure: Exception, attempts: int) -> float | None:
    return 0 if isinstance(failure, errors.SpotifyUnreachable) and attempts == 1 else None


def _pause(failure: Exception, attempts: int) -> float | None:
    if attempts == ATTEMPTS or not isinstance(failure, TRANSIENT):
        return None
    wait = failure.retry_after or PAUSE
    return wait if wait <= PATIENCE else None


def _access_token(response: Response) -> str:
    document = response.json()
    error = document.get("error")
    if error == "invalid_grant":
        raise errors.CodeRefused(str(response))
    if error == "invalid_client":
        raise errors.ClientRefused(str(response))
    _raise_for_status(response)
    token, token_type = document.get("access_token"), document.get("token_type", "Bearer")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token) or str(token_type).lower() != "bearer":
        raise errors.SpotifyMalformed(str(response))
    return token


def _profile(response: Response) -> Profile:
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
