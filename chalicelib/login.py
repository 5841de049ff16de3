"""Login attempts: one for each tab that was sent to Spotify, each in a signed cookie."""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from chalicelib.cookies import Jar, Seal, decode, encode
from chalicelib.errors import LoginExpired, LoginSpent, LoginUnknown

LIFETIME = 600
"""Seconds from /login to /callback; Spotify's codes are valid about as long."""

COOKIE = "spotify-login-"
MOST = 5
"""Attempts that a browser may have at a time; the oldest is dropped.

All cookies take under 1 KB, or 7 KB with five of the longest `return_to`. API Gateway accepts 10,240 bytes of headers.
"""

PAGES = 512
"""The most characters with which an attempt remembers pages: its own, and those of attempts that it replaced."""

LOOP_SECONDS = 30
"""Two logins that lead back to the same page within this time, without a session, are a loop."""

_NAME = COOKIE + "[0-9a-f]{8}"
_STATE = re.compile(r"[\w-]{22,}\.(\d{10,11})", re.ASCII)


@dataclass(frozen=True)
class Attempt:
    """One login of one browser, from /login to /callback."""

    state: str
    """128 random bits, `.`, and the time of /login in epoch seconds, so that an old state is recognized as old."""
    code_verifier: str = field(repr=False)
    """RFC 7636 §4.1; empty once the attempt is spent."""
    spent_on: str = ""
    """A digest of the authorization response that spent it; empty before."""
    return_to: str = ""
    """Where the login returns to, as it was given; empty for the home page.

    A spent attempt keeps it only if it opened a session, and loses it at a logout.
    """
    replaced: str = ""
    """For each attempt that made room for this one, a line feed, a digest of its state, a space, and its `return_to`."""

    @classmethod
    def begin(cls, return_to: str = "", replaced: str = "") -> "Attempt":
        """A fresh state and verifier."""
        state = f"{secrets.token_urlsafe(16)}.{int(time.time())}"
        return cls(state, secrets.token_urlsafe(32), return_to=return_to, replaced=replaced)

    @property
    def code_challenge(self) -> str:
        """The verifier's S256 challenge (RFC 7636 §4.2)."""
        digest = hashlib.sha256(self.code_verifier.encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

    @property
    def is_needed(self) -> bool:
        """Whether it is open, or recent enough to show a loop. Others make room first."""
        return not self.spent_on or begun_at(self.state) >= time.time() - LOOP_SECONDS

    @property
    def seconds_left(self) -> int:
        """Seconds until it expires; zero or less once it has."""
        return begun_at(self.state) + LIFETIME - int(time.time())


def begun_at(state: str) -> int:
    """The time of /login that a state carries, in epoch seconds; 0 for a state that is not in our format."""
    match = _STATE.fullmatch(state)
    return int(match[1]) if match else 0


class Attempts:
    """The login attempts of one browser."""

    PURPOSE = "login attempt"

    def __init__(self, jar: Jar, seal: Seal) -> None:
        self._jar = jar
        self._seal = seal

    def begin(self, return_to: str = "") -> Attempt:
        """Begin an attempt beside those of other tabs; if there are five, an old spent one or else the oldest is dropped."""
        # Browsers send older cookies first (RFC 6265bis §5.8.3), which breaks ties within a second.
        oldest_first = sorted(self._live(), key=lambda attempt: (attempt.is_needed, attempt.seconds_left))
        dropped = oldest_first[: 1 - MOST]
        for oldest in dropped:
            self._jar.clear(_name(oldest.state))
        attempt = Attempt.begin(return_to, _pages_of(dropped, PAGES - len(return_to)))
        self._write(attempt, LIFETIME)
        return attempt

    def return_to(self, state: str) -> str:
        """Where the attempt that a state names returns to, or returned to before newer ones replaced it.

        Empty for the home page, or if there is no such attempt.
        """
        attempt = self._read(_name(state))
        return attempt.return_to if attempt else self._replaced().get(_digest(state), "")

    def loops(self, return_to: str) -> bool:
        """Whether two logins led back to a page within `LOOP_SECONDS`, or this app cannot read two attempts.

        The latter happens where the instances of an app have different keys.
        """
        since = time.time() - LOOP_SECONDS
        found = [self._read(name) for name in self._jar.names(_NAME)]
        spent = [
            attempt for attempt in found if attempt and attempt.spent_on and attempt.return_to == return_to
        ]
        return found.count(None) >= 2 or sum(begun_at(attempt.state) >= since for attempt in spent) >= 2

    def spend(self, state: str, response: str) -> Attempt | None:
        """Spend the attempt that a callback's state names.

        None if this very response has spent it before, or newer attempts replaced it and remember its page.

        `response` is the code or error that came with the state. A spent attempt stays in the browser until
        it expires, without its verifier, so that a reload is not mistaken for a forgery.

        Raises:
            LoginExpired: it began more than `LIFETIME` seconds ago.
            LoginSpent: another response has spent it, or so many newer attempts exist that they may have replaced it.
            LoginUnknown: this browser has no such attempt (RFC 6749 §10.12).
        """
        attempt = self._read(_name(state))
        if attempt is None or not hmac.compare_digest(attempt.state, state):
            if begun_at(state) and Attempt(state, "").seconds_left <= 0:
                raise LoginExpired
            if _digest(state) in self._replaced():
                return None
            raise LoginSpent if len(self._live()) >= MOST else LoginUnknown
        if attempt.seconds_left <= 0:
            raise LoginExpired
        if not attempt.spent_on:
            spent = replace(attempt, code_verifier="", spent_on=_digest(response), return_to="")
            self._write(spent, attempt.seconds_left)
            return attempt
        if attempt.spent_on != _digest(response):
            raise LoginSpent
        return None

    def complete(self, attempt: Attempt, response: str) -> None:
        """Remember that an attempt opened a session, and where it returned to."""
        self._write(replace(attempt, code_verifier="", spent_on=_digest(response)), attempt.seconds_left)

    def forget(self) -> None:
        """Forget where earlier logins returned to: after a logout, they are no sign of a loop."""
        for attempt in self._live():
            if attempt.spent_on and attempt.return_to:
                self._write(replace(attempt, return_to=""), attempt.seconds_left)

    def _live(self) -> list[Attempt]:
        attempts = filter(None, map(self._read, self._jar.names(_NAME)))
        return [attempt for attempt in attempts if attempt.seconds_left > 0]

    def _replaced(self) -> dict[str, str]:
        """Where the attempts that were replaced returned to, by the digests of their states."""
        words = "".join(attempt.replaced for attempt in self._live()).split()
        return dict(zip(words[::2], words[1::2], strict=False))

    def _read(self, name: str) -> Attempt | None:
        match self._seal.open(self._jar.get(name)):
            case [token, begun, code_verifier, spent_on, pages]:
                return_to, *replaced = re.split(r"(?=\n)", decode(pages), maxsplit=1)
                return Attempt(f"{token}.{begun}", code_verifier, spent_on, return_to, *replaced)
        return None

    def _write(self, attempt: Attempt, max_age: int) -> None:
        pages = encode(attempt.return_to + attempt.replaced)
        value = self._seal.sign(attempt.state, attempt.code_verifier, attempt.spent_on, pages)
        self._jar.set(_name(attempt.state), value, max_age)


def _pages_of(dropped: Sequence[Attempt], room: int) -> str:
    """Where attempts return to, as `Attempt.replaced` has it: the newest, in at most `room` characters."""
    own = {each: f"\n{_digest(each.state)} {each.return_to}" if each.return_to else "" for each in dropped}
    text = "".join(own[each] + each.replaced for each in reversed(dropped))
    return text if len(text) <= room else text[: text.rindex("\n", 0, room + 1)]


def _digest(response: str) -> str:
    return hashlib.sha256(response.encode()).hexdigest()[:16]


def _name(state: str) -> str:
    return COOKIE + hashlib.sha256(state.encode()).hexdigest()[:8]
