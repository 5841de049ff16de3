"""What users play, and their playlists. All of it is in memory."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

from simulator.music import TRACKS, Item

MOST_PLAYS = 50
"""The number of plays that Spotify remembers. Each user begins with as many, four minutes apart."""


def now() -> int:
    """The time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def timestamp(milliseconds: int) -> str:
    """A time as the Web API writes it."""
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


@dataclass(frozen=True)
class Play:
    """A track that a user began to play at a time, in milliseconds since the epoch."""

    track: Item
    at: int


@dataclass
class Playlist:
    """A playlist, with the URI of each track and the time when it was added, in milliseconds since the epoch."""

    owner: str
    name: str
    description: str
    public: bool
    entries: list[tuple[str, int]] = field(default_factory=list)
    identifier: str = field(default_factory=lambda: secrets.token_hex(11))
    snapshot: str = ""

    def insert(self, uris: list[str], start: int, stop: int) -> None:
        """Put tracks in the place of those from `start` to `stop`."""
        self.entries[start:stop] = [(uri, now()) for uri in uris]
        self.snapshot = secrets.token_urlsafe(24)


class Library:
    """The plays and playlists of all users. A thread holds the lock while it uses them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.playlists: dict[str, Playlist] = {}
        """By ID, the oldest first."""
        self._plays: dict[str, deque[Play]] = {}
        self._stopped: set[str] = set()

    def plays(self, user_id: str) -> deque[Play]:
        """The plays that Spotify remembers of a user, the latest first."""
        begun = (Play(TRACKS[n % len(TRACKS)], now() - n * 240_000) for n in range(MOST_PLAYS))
        return self._plays.get(user_id) or self._plays.setdefault(user_id, deque(begun, MOST_PLAYS))

    def play(self, user_id: str, track: Item | None) -> None:
        """Begin to play a track, or stop."""
        plays = self.plays(user_id)
        if track:
            plays.appendleft(Play(track, max(now(), plays[0].at + 1)))
        self._stopped = self._stopped - {user_id} if track else {*self._stopped, user_id}

    def playing(self, user_id: str) -> Play | None:
        """What a user is playing: the latest play, unless it was stopped or the track is over."""
        latest = self.plays(user_id)[0]
        over = now() - latest.at > latest.track["duration_ms"]
        return None if over or user_id in self._stopped else latest
