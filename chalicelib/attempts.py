"""The login attempts of one browser, one signed cookie each."""

from __future__ import annotations

import hashlib
import hmac

from chalicelib.cookies import Jar, Seal
from chalicelib.errors import LoginExpired, LoginUnknown
from chalicelib.oauth import ATTEMPT_LIFETIME, Attempt, begun_at

COOKIE = "spotify-login-"
MOST = 5
"""Attempts at a time, one a tab; the oldest one goes. Keeps all of our cookies under 1 KB."""


class Attempts:
    """Begins attempts, and spends the one that a callback's state names."""

    PURPOSE = "login attempt"

    def __init__(self, jar: Jar, seal: Seal) -> None:
        self._jar = jar
        self._seal = seal

    def begin(self) -> Attempt:
        """Begin an attempt beside those of other tabs."""
        others = {name: self._read(name) for name in self._jar.names(COOKIE)}
        left = {
            name: other.seconds_left for name, other in others.items() if other and other.seconds_left > 0
        }
        # Browsers send older cookies first (RFC 6265bis §5.8.3), which decides among those of one second.
        youngest = sorted(left, key=left.__getitem__)[1 - MOST :]
        for name in others:
            if name not in youngest:
                self._jar.clear(name)
        attempt = Attempt.begin()
        self._write(attempt, ATTEMPT_LIFETIME)
        return attempt

    def spend(self, state: str) -> Attempt:
        """The attempt as it was; from now on it is spent. Other attempts are not touched.

        A spent one is kept, without its verifier, until its time is over: so a reload is told from a forgery.

        Raises:
            LoginExpired: it was begun too long ago.
            LoginUnknown: this browser did not begin it (RFC 6749 §10.12).
        """
        attempt = self._read(_name(state))
        if attempt is None or not hmac.compare_digest(attempt.state, state):
            old = begun_at(state) > 0 and Attempt(state, "").seconds_left <= 0
            raise LoginExpired if old else LoginUnknown
        if attempt.seconds_left <= 0:
            self._jar.clear(_name(state))
            raise LoginExpired
        self._write(Attempt(state, ""), attempt.seconds_left)
        return attempt

    def _read(self, name: str) -> Attempt | None:
        match self._seal.open(self._jar.get(name)):
            case [token, begun, code_verifier]:
                return Attempt(f"{token}.{begun}", code_verifier)
        return None

    def _write(self, attempt: Attempt, max_age: int) -> None:
        value = self._seal.sign(attempt.state, attempt.code_verifier)
        self._jar.set(_name(attempt.state), value, max_age)


def _name(state: str) -> str:
    return COOKIE + hashlib.sha256(state.encode()).hexdigest()[:8]
