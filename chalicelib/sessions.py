"""Who is logged in: a signed cookie, valid only together with the user's item in the users table."""

import secrets
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.claims import DAY, Claims
from chalicelib.cookies import Jar, Seal, decode, encode
from chalicelib.deadline import Deadline
from chalicelib.errors import LoginError
from chalicelib.profile import Profile

if TYPE_CHECKING:
    from chalicelib.users import Users

COOKIE = "spotify-session"

RENEWAL = DAY
"""The age of a cookie, in seconds, from which it is issued again."""


@dataclass
class User:
    """A logged-in user, for the time of one request."""

    profile: Profile
    session_ends: int
    """Epoch seconds; later if the user visits before."""
    login_id: str = field(repr=False)
    deadline: Deadline = field(repr=False)
    """The request's."""
    tokens: bytes = field(repr=False)
    """What is stored of the user's access, encrypted; empty where none is kept."""
    refreshed: bool = field(default=False, repr=False)
    """Whether this request has sent Spotify the refresh token, which it may do once."""


class Sessions:
    """The session of one browser. Only a cookie that this app has signed leads to a read of the table."""

    PURPOSE = "session"

    def __init__(
        self, jar: Jar, seal: Callable[[], Seal], users: "Callable[[], Users]", deadline: Deadline
    ) -> None:
        """`seal` and `users` are called only when needed: a browser without a cookie needs neither."""
        self._jar = jar
        self._seal = seal
        self._users = users
        self._deadline = deadline

    @cached_property
    def claimed(self) -> Claims | None:
        """The session that the cookie claims, if this app signed it and it has not expired."""
        value = self._jar.get(COOKIE)
        match self._seal().open(value) if value else None:
            case [key, login_id, session_id, login_time, issued]:
                session = Claims(decode(key), login_id, session_id, int(login_time), int(issued))
                return session if session.seconds_left > 0 else None
        return None

    def current_user(self) -> User | None:
        """The logged-in user, or None. Renews the cookie of a session in use; never clears one.

        Raises:
            UsersUnavailable: the users table did not respond.
        """
        session = self.claimed
        if session is None:
            return None
        found = self._users().find(session)
        if found is None:
            return None
        if session.issued < time.time() - RENEWAL:
            session = replace(session, issued=int(time.time()))
            self._write(session)
        return User(found.profile, session.ends, session.login_id, self._deadline, found.tokens)

    def open(self, profile: Profile, tokens: bytes | None = b"") -> tuple[Claims, str]:
        """Log a user in. The session that this browser had ends, copies of its cookie included.

        `tokens` are as in `Users.remember`. A session of another user is ended after the login. Returns the
        new session, and for the log a note if that failed.

        Raises:
            UsersUnavailable: the users table did not respond; the user may have been stored.
        """
        before = self.claimed
        same_user = before is not None and before.account_key == profile.account_key
        login_id = self._users().remember(profile, before if same_user else None, tokens)
        now = int(time.time())
        session = Claims(profile.account_key, login_id, secrets.token_urlsafe(12), now, now)
        self._write(session)
        try:
            if before and not same_user:
                self._users().end(before)
        except LoginError:
            return session, "previous_session_not_ended"
        return session, ""

    def close(self) -> Claims | None:
        """Forget the user, then clear the cookie. Returns the session, if it was live until now.

        Raises:
            UsersUnavailable: the users table did not respond; the cookie stays.
        """
        session = self.claimed
        live = session is not None and self._users().forget(session)
        if self._jar.names(COOKIE):
            self._jar.clear(COOKIE)
        return session if live else None

    def _write(self, session: Claims) -> None:
        key, *fields = map(str, astuple(session))
        self._jar.set(COOKIE, self._seal().sign(encode(key), *fields), session.seconds_left)
