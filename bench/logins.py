"""Whole logins: from the click on "Log in" until the home page, with a Spotify that takes its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.figures import Samples, progress, settled
from bench.runner import Bench, Subject, passed
from tests.support.counted import Counted
from tests.support.runtime import Function

ROUNDS = 9
LATENCY = 0.12
"""Seconds that Spotify takes for each call."""

COLD, WARM = "cold", "warm"


@dataclass
class Logins:
    """The repetitions of a login. Times in milliseconds, without the user's at Spotify."""

    total: Samples = field(default_factory=Samples)
    """What the browser waits for the three requests and, in a cold login, for the initialization."""
    own: Samples = field(default_factory=Samples)
    """The same without the time that Spotify takes."""

    @property
    def spread(self) -> float:
        """The spread of the total."""
        return self.total.spread

    @property
    def spotify(self) -> float:
        """The part that Spotify takes."""
        return self.total.median - self.own.median

    @property
    def share(self) -> float:
        """The part of the total that is not Spotify's."""
        return self.own.median / self.total.median


def measure(bench: Bench, subjects: Sequence[Subject]) -> dict[tuple[Subject, str], Logins]:
    """Measure a cold login and a warm one of each function, in turns."""
    return settled(lambda: _rounds(bench, subjects))


def _rounds(bench: Bench, subjects: Sequence[Subject]) -> dict[tuple[Subject, str], Logins]:
    found = {(subject, kind): Logins() for subject in subjects for kind in (COLD, WARM)}
    for number in range(ROUNDS):
        for subject in subjects:
            progress(f"whole logins, round {number + 1} of {ROUNDS}: {subject}")
            with bench.start(subject) as started:
                _log_in(bench, started, started.init_seconds, found[subject, COLD])
                _log_in(bench, started, 0.0, found[subject, WARM])
    progress()
    return found


def _log_in(bench: Bench, started: Function, before: float, logins: Logins) -> None:
    """Log in with a new browser, which has waited for `before` seconds."""
    visitor, spotify = bench.visitor(started), bench.cloud.spotify
    with bench.limited(started):
        at_spotify = visitor.begin()
        seconds = before + started.answer_seconds
        callback = visitor.agree(at_spotify)
        spotify.forget()
        with _slow(spotify):
            passed(started, visitor.get(callback).status)
        seconds += started.answer_seconds
        visitor.see_id()
        seconds += started.answer_seconds
    logins.total.append(seconds * 1000)
    logins.own.append((seconds - LATENCY * len(spotify.calls)) * 1000)


@contextmanager
def _slow(spotify: Counted) -> Iterator[None]:
    spotify.delay = LATENCY
    yield
    spotify.delay = 0.0
