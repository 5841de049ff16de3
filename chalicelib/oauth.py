"""The client side of the authorization code grant (RFC 6749 §4.1) with PKCE (RFC 7636): pure functions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from chalicelib.config import Config
from chalicelib.errors import AppRefused, AuthorizationRefused, BadRequest, Cancelled, SpotifyUnavailable
from chalicelib.login import Attempt

_VALUE = re.compile(r"[\x21-\x7e]{,4096}")  # VSCHAR of RFC 6749 appendix A.5, A.7 and A.11, less the space

_OF_THE_OWNER = "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope"
_REFUSALS = {
    "access_denied": Cancelled,
    **dict.fromkeys(_OF_THE_OWNER, AppRefused),
    **dict.fromkeys(("server_error", "temporarily_unavailable"), SpotifyUnavailable),
}
"""The error of each code of RFC 6749 §4.1.2.1. Any other code is text of the request, and is not logged."""


@dataclass(frozen=True)
class Callback:
    """The query of Spotify's redirect to /callback: an authorization response (RFC 6749 §4.1.2)."""

    state: str
    code: str = field(repr=False)
    error: str

    def authorization_code(self) -> str:
        """The code to exchange.

        Raises:
            Cancelled: the user declined.
            AppRefused, SpotifyUnavailable: the owner or Spotify must act.
            AuthorizationRefused: Spotify sent a code that is not in RFC 6749 §4.1.2.1.
        """
        if self.error in _REFUSALS:
            raise _REFUSALS[self.error](self.error)
        if self.error:
            raise AuthorizationRefused
        return self.code


def authorization_url(
    config: Config, redirect_uri: str, attempt: Attempt, *, show_dialog: bool = False
) -> str:
    """The authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3) as a URL at Spotify.

    With `show_dialog` Spotify asks again even where the user has agreed before, and offers other accounts.
    """
    query = {
        "client_id": config.client_id,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        **({"scope": config.scope} if config.scope else {}),
        "state": attempt.state,
        "code_challenge": attempt.code_challenge,
        "code_challenge_method": "S256",
        **({"show_dialog": "true"} if show_dialog else {}),
    }
    return f"{config.accounts_url}/authorize?{urlencode(query)}"


def read_callback(query: Mapping[str, Sequence[str]], issuer: str) -> Callback:
    """Read the callback's query: each parameter's values by its name.

    Raises:
        BadRequest: no state, neither or both of code and error, one of them repeated (RFC 6749 §3.1) or
            not printable ASCII, or another server's issuer (RFC 9207 §2.4; Spotify sends none).
    """
    state, code, error, iss = (_single(query, name) for name in ("state", "code", "error", "iss"))
    if not state or bool(code) == bool(error) or iss not in ("", issuer):
        raise BadRequest
    return Callback(state, code, error)


def _single(query: Mapping[str, Sequence[str]], name: str) -> str:
    values = query.get(name) or [""]
    if len(values) != 1 or not _VALUE.fullmatch(values[0]):
        raise BadRequest
    return values[0]
