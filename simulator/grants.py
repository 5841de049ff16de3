"""The codes and access tokens that were given out."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from dataclasses import dataclass

TOKEN_LIFETIME = 3600
"""Seconds; Spotify's `expires_in`."""


@dataclass(frozen=True)
class Grant:
    """What a person agreed to."""

    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str
    persona: str
    user_id: str

    def matches(self, code_verifier: str) -> bool:
        """Whether the challenge was made from this verifier by S256 (RFC 7636 §4.6)."""
        digest = hashlib.sha256(code_verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self.code_challenge


class Grants:
    """Gives out codes that work once and for a while, and tokens for an hour."""

    def __init__(self, code_lifetime: float) -> None:
        self._code_lifetime = code_lifetime
        self._codes: dict[str, tuple[float, Grant]] = {}
        self._tokens: dict[str, tuple[float, Grant]] = {}
        self._lock = threading.Lock()

    def give_code(self, grant: Grant) -> str:
        """A new code."""
        code = "AQ" + secrets.token_urlsafe(96)
        with self._lock:
            self._codes[code] = (time.monotonic() + self._code_lifetime, grant)
        return code

    def take_code(self, code: str) -> tuple[Grant | None, bool]:
        """The grant of a code, or None, and whether it came in time. The code is used up by this."""
        with self._lock:
            expires, grant = self._codes.pop(code, (0.0, None))
        return grant, time.monotonic() < expires

    def give_token(self, grant: Grant) -> str:
        """A new access token."""
        token = "BQ" + secrets.token_urlsafe(96)
        with self._lock:
            self._tokens[token] = (time.monotonic() + TOKEN_LIFETIME, grant)
        return token

    def of_token(self, token: str) -> Grant | None:
        """The grant of an access token; None if there is none, or no longer."""
        with self._lock:
            expires, grant = self._tokens.get(token, (0.0, None))
        return grant if time.monotonic() < expires else None
