"""What a session cookie claims, and for how long."""

import time
from dataclasses import dataclass

DAY = 24 * 60 * 60
IDLE = 7 * DAY
"""Seconds after which an unused session ends."""
LIFETIME = 30 * DAY
"""Seconds after a login for which its session lasts at most, and for which the user is stored."""


@dataclass(frozen=True)
class Claims:
    """A session, as its cookie claims it. Valid only while the stored login ID matches; see users.py."""

    account_key: str
    login_id: str
    """Shared by all sessions of the user, until a logout."""
    session_id: str
    """Of this browser's login only."""
    login_time: int
    """Epoch seconds, as is `issued`."""
    issued: int

    @property
    def ends(self) -> int:
        """When it ends, unless the cookie is issued again, in epoch seconds."""
        return min(self.issued + IDLE, self.login_time + LIFETIME)

    @property
    def seconds_left(self) -> int:
        """Seconds until it ends; zero or less once it has."""
        return self.ends - int(time.time())
