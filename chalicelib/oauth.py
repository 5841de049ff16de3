"""The client's side of the authorization code grant (RFC 6749 §4.1) with PKCE (RFC 7636): pure functions."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from chalicelib.errors import AuthorizationRefused, BadRequest, Cancelled

ATTEMPT_LIFETIME = 600
"""Seconds from /login to /callback; Spotify's own codes live about as long."""

_STATE = re.compile(r"[\w-]{22,}\.(\d{10,11})", re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e]{1,4096}")  # VSCHAR of RFC 6749 appendix A.5, A.7 and A.11, less the space


@dataclass(frozen=True)
class Attempt:
    """One login of one browser, from /login to /callback."""

    state: str
    """128 random bits, `.`, and when it was begun (epoch seconds), so that an old one can be told as old."""
    code_verifier: str = field(repr=False)
    """RFC 7636 §4.1; empty once the attempt is spent."""

    @classmethod
    def begin(cls) -> Attempt:
        """A fresh state and verifier."""
        return cls(f"{secrets.token_urlsafe(16)}.{int(time.time())}", secrets.token_urlsafe(32))

    @property
    def code_challenge(self) -> str:
        """The verifier's S256 challenge (RFC 7636 §4.2)."""
        digest = hashlib.sha256(self.code_verifier.encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

    @property
    def spent(self) -> bool:
        """Whether a callback has used it."""
        return not self.code_verifier

    @property
    def seconds_left(self) -> int:
        """Seconds until it expires; zero or less once it has."""
        return begun_at(self.state) + ATTEMPT_LIFETIME - int(time.time())


@dataclass(frozen=True)
class Callback:
    """The query of the redirect back to us: an authorization response (RFC 6749 §4.1.2)."""

    state: str
    code: str = field(repr=False)
    error: str

    def authorization_code(self) -> str:
        """The code to exchange.

        Raises:
            Cancelled: the user said no.
            AuthorizationRefused: Spotify sent another error (RFC 6749 §4.1.2.1).
        """
        if self.error:
            raise Cancelled if self.error == "access_denied" else AuthorizationRefused
        return self.code


def begun_at(state: str) -> int:
    """When a state says that it was begun, in epoch seconds; 0 for a state that is not of our making."""
    match = _STATE.fullmatch(state)
    return int(match[1]) if match else 0


def authorization_url(
    accounts_url: str,
    client_id: str,
    scope: str,
    redirect_uri: str,
    attempt: Attempt,
    *,
    show_dialog: bool = False,
) -> str:
    """The authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3) as a URL at Spotify.

    With `show_dialog` Spotify asks even somebody who has agreed before, who can then be somebody else.
    """
    query = {
        "client_id": client_id,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": attempt.state,
        "code_challenge": attempt.code_challenge,
        "code_challenge_method": "S256",
        **({"show_dialog": "true"} if show_dialog else {}),
    }
    return f"{accounts_url}/authorize?{urlencode(query)}"


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
    if len(values) != 1 or not isinstance(values[0], str):
        raise BadRequest
    if values[0] and not _VALUE.fullmatch(values[0]):
        raise BadRequest
    return values[0]
