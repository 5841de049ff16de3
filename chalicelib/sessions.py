"""Who is logged in: a signed cookie, and the item in the users table that it stands for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chalicelib.cookies import Jar, Seal, decode, encode
from chalicelib.deadline import Deadline
from chalicelib.profile import Profile

if TYPE_CHECKING:
    from chalicelib.users import Users

COOKIE = "spotify-session"
DAY = 24 * 60 * 60
IDLE = 7 * DAY
"""Seconds after which an unused session ends."""
LIFETIME = 30 * DAY
"""Seconds after which every session ends; the users table keeps its items as long."""
RENEWAL = DAY
"""Age in seconds from which a cookie is issued again."""
SKEW = 60
"""Seconds by which the clocks of two instances may differ."""


@dataclass(frozen=True)
class Session:
    """What the cookie says. It is worth something only with the user's item of the same login id."""

    account_key: str
    login_id: str
    login_time: int
    """Epoch seconds, as is `issued`."""
    issued: int

    @property
    def ends(self) -> int:
        """When it ends, if it is not issued again, in epoch seconds."""
        return min(self.issued + IDLE, self.login_time + LIFETIME)

    @property
    def seconds_left(self) -> int:
        """Seconds until it ends; 0 or less if it has, or is from the future."""
        now = int(time.time())
        return 0 if self.issued > now + SKEW else self.ends - now


@dataclass(frozen=True)
class User:
    """Somebody who is logged in."""

    profile: Profile
    session_ends: int
    """Epoch seconds; later, if they come back before."""


class Sessions:
    """The session of one browser. The users table is asked only about a cookie that we have signed."""

    PURPOSE = "session"

    def __init__(
        self, jar: Jar, seal: Callable[[], Seal], users: Callable[[], Users], deadline: Deadline
    ) -> None:
        """`seal` and `users` are called when they are needed: for nobody, neither is."""
        self._jar = jar
        self._seal = seal
        self._users = users
        self._deadline = deadline

    def claimed(self) -> Session | None:
        """The session that the cookie claims, if we signed it and it is not too old."""
        value = self._jar.get(COOKIE)
        match self._seal().open(value) if value else None:
            case [key, login_id, login_time, issued]:
                session = Session(decode(key), login_id, int(login_time), int(issued))
                return session if session.seconds_left > 0 else None
        return None

    def current_user(self) -> User | None:
        """The logged-in user, or None. Keeps a session in use alive; never ends one.

        Raises:
            UsersUnavailable: the users table does not answer.
        """
        session = self.claimed()
        if session is None:
            return None
        profile = self._users().find(session.account_key, session.login_id, self._deadline)
        if profile is None:
            return None
        if session.issued < time.time() - RENEWAL:
            session = replace(session, issued=int(time.time()))
            self._write(session)
        return User(profile, session.ends)

    def open(self, user: Profile) -> Session:
        """Log a user in. The session that this browser had ends, copies of its cookie included.

        Raises:
            UsersUnavailable: the users table does not answer; nobody was logged in or out.
            UsersUncertain: the same, but the user may have been stored.
        """
        before = self.claimed()
        if before and before.account_key != user.account_key:
            self._users().forget(before.account_key, before.login_id, self._deadline)
            before = None
        login_id = self._users().remember(user, self._deadline, before.login_id if before else "")
        now = int(time.time())
        session = Session(user.account_key, login_id, now, now)
        self._write(session)
        return session

    def close(self) -> Session | None:
        """Forget the user, then the cookie. Returns the session that ended, if there was one.

        Raises:
            UsersUnavailable: the users table does not answer; the cookie stays.
        """
        session = self.claimed()
        if session:
            self._users().forget(session.account_key, session.login_id, self._deadline)
        if COOKIE in self._jar.names(COOKIE):
            self._jar.clear(COOKIE)
        return session

    def _write(self, session: Session) -> None:
        value = self._seal().sign(
            encode(session.account_key), session.login_id, str(session.login_time), str(session.issued)
        )
        self._jar.set(COOKIE, value, session.seconds_left)
