"""The authorization codes and tokens that the simulator has issued."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

CODE_SECONDS = 600
TOKEN_SECONDS = 3600
"""The lifetime of an access token, which Spotify sends as `expires_in`."""


@dataclass(frozen=True, eq=False)
class Grant:
    """What a user has agreed to. Two grants are never equal, even if the user agreed to the same twice."""

    redirect_uri: str
    scope: str
    code_challenge: str
    persona: str
    user_id: str

    def matches(self, code_verifier: str) -> bool:
        """Whether the challenge is the S256 hash of this verifier (RFC 7636 §4.6)."""
        digest = hashlib.sha256(code_verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self.code_challenge


@dataclass(frozen=True)
class Tokens:
    """The tokens in a response of the token endpoint."""

    access_token: str
    scope: str | None = None
    """None for a token of the app itself."""
    refresh_token: str | None = None
    """None if the client keeps the one that it has."""


class Grants:
    """Issues codes, which work once and expire, access tokens, which expire, and refresh tokens.

    Once the user withdraws consent, no code and no token of the grant works any more.
    """

    def __init__(self, *, rotates: bool) -> None:
        self._rotates = rotates
        self._grants: list[Grant] = []
        self._withdrawn: set[Grant] = set()
        self._codes: dict[str, tuple[float, Grant]] = {}
        self._access_tokens: dict[str, tuple[float, Grant]] = {}
        self._refresh_tokens: dict[str, Grant] = {}
        self._refreshes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def granted(self, user_id: str) -> set[str]:
        """The scopes that a user has agreed to, and not withdrawn. A token holds only those of its own login."""
        with self._lock:
            valid = [grant for grant in self._grants if grant not in self._withdrawn]
        return {scope for grant in valid if grant.user_id == user_id for scope in grant.scope.split()}

    def give_code(self, grant: Grant) -> str:
        """Issue a code."""
        code = "AQ" + secrets.token_urlsafe(96)
        with self._lock:
            self._grants.append(grant)
            self._codes[code] = (time.monotonic() + CODE_SECONDS, grant)
        return code

    def take_code(self, code: str) -> tuple[Grant | None, bool]:
        """Redeem a code. Returns its grant, or None, and whether it had not expired. A code works once."""
        with self._lock:
            expires, grant = self._codes.pop(code, (0.0, None))
            if grant in self._withdrawn:
                grant = None
        return grant, time.monotonic() < expires

    def give_tokens(self, grant: Grant) -> Tokens:
        """Issue an access token and a refresh token."""
        with self._lock:
            return self._issue(grant, with_refresh_token=True)

    def refresh(self, refresh_token: str) -> tuple[Tokens | None, bool]:
        """Issue an access token. Returns the tokens, or None, and whether the refresh token was revoked.

        With rotation, a refresh token works once, and the tokens contain its successor.
        """
        with self._lock:
            grant = self._refresh_tokens.get(refresh_token)
            if grant is None or grant in self._withdrawn:
                return None, grant is not None
            self._refreshes[grant.user_id] += 1
            if self._rotates:
                del self._refresh_tokens[refresh_token]
            return self._issue(grant, with_refresh_token=self._rotates), False

    def of_token(self, access_token: str) -> tuple[Grant | None, bool]:
        """The grant of an access token, or None, and whether the token has not expired."""
        with self._lock:
            expires, grant = self._access_tokens.get(access_token, (0.0, None))
            if grant in self._withdrawn:
                grant = None
        return grant, time.monotonic() < expires

    def withdraw(self, applies: Callable[[Grant], bool]) -> None:
        """Revoke all codes and tokens of the grants to which the condition applies."""
        with self._lock:
            self._withdrawn.update(filter(applies, self._grants))

    def expire(self, applies: Callable[[Grant], bool]) -> None:
        """Expire the access tokens of the grants to which the condition applies."""
        with self._lock:
            for token, (_, grant) in self._access_tokens.items():
                if applies(grant):
                    self._access_tokens[token] = (0.0, grant)

    def refreshes(self) -> dict[str, int]:
        """The number of successful refreshes by user ID."""
        with self._lock:
            return dict(self._refreshes)

    def _issue(self, grant: Grant, *, with_refresh_token: bool) -> Tokens:
        access_token = "BQ" + secrets.token_urlsafe(96)
        self._access_tokens[access_token] = (time.monotonic() + TOKEN_SECONDS, grant)
        if not with_refresh_token:
            return Tokens(access_token, grant.scope)
        refresh_token = "AQ" + secrets.token_urlsafe(96)
        self._refresh_tokens[refresh_token] = grant
        return Tokens(access_token, grant.scope, refresh_token)
