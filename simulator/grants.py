"""The authorization codes and access tokens that the simulator has issued."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from dataclasses import dataclass

TOKEN_LIFETIME = 3600
"""The `expires_in` that Spotify sends, in seconds."""


@dataclass(frozen=True)
class Grant:
    """What a user has agreed to."""

    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str
    persona: str
    user_id: str

    def matches(self, code_verifier: str) -> bool:
        """Whether the challenge is the S256 hash of this verifier (RFC 7636 §4.6)."""
        digest = hashlib.sha256(code_verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self.code_challenge


class Grants:
    """Issues codes, which work once and expire, and access tokens, which last an hour."""

    def __init__(self, code_lifetime: float) -> None:
        self._code_lifetime = code_lifetime
        self._codes: dict[str, tuple[float, Grant]] = {}
        self._tokens: dict[str, tuple[float, Grant]] = {}
        self._lock = threading.Lock()

    def give_code(self, grant: Grant) -> str:
        """Issue a code."""
        code = "AQ" + secrets.token_urlsafe(96)
        with self._lock:
            self._codes[code] = (time.monotonic() + self._code_lifetime, grant)
        return code

    def take_code(self, code: str) -> tuple[Grant | None, bool]:
        """Redeem a code. Returns its grant, or None, and whether it had not expired. A code works once."""
        with self._lock:
            expires, grant = self._codes.pop(code, (0.0, None))
        return grant, time.monotonic() < expires

    def give_token(self, grant: Grant) -> str:
        """Issue an access token."""
        token = "BQ" + secrets.token_urlsafe(96)
        with self._lock:
            self._tokens[token] = (time.monotonic() + TOKEN_LIFETIME, grant)
        return token

    def of_token(self, token: str) -> Grant | None:
        """The grant of an access token; None if the token is unknown or has expired."""
        with self._lock:
            expires, grant = self._tokens.get(token, (0.0, None))
        return grant if time.monotonic() < expires else None
