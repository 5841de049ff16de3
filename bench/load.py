"""`make load`: many simultaneous logins, over HTTP to real processes."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.support.table import Table
from tests.support.visitor import HttpVisitor
from tests.support.world import running_world

LOGINS, BROWSERS, USERS = 1000, 50, 200
PAIRS = 200
RACES = 500


@dataclass
class Tally:
    """The results so far."""

    total: int
    what: str
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lost: int = 0
    """Results that were wrong, such as logins after which the home page showed no user or another user."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float, error: str = "", *, lost: bool = False) -> None:
        """Count one result and print the progress."""
        with self._lock:
            self.seconds.append(seconds)
            self.lost += lost
            if error:
                self.errors.append(error)
            done = len(self.seconds)
            if done % 25 == 0 or done == self.total:
                end = "\n" if done == self.total else ""
                print(
                    f"\r{self.what}: {done} of {self.total}, {len(self.errors)} errors", end=end, flush=True
                )

    def summary(self) -> str:
        """One line with the count, the times and what failed."""
        cuts = statistics.quantiles(self.seconds, n=100)
        return (
            f"{self.what}: {len(self.seconds)}, p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms, "
            f"errors {len(self.errors)}, lost {self.lost}"
        )


def logins(home: str) -> Tally:
    """1,000 logins of 200 users in 50 browsers. Each home page must show its user, who then logs out."""
    tally = Tally(LOGINS, "logins")

    def browse(browser: int) -> None:
        visitor = HttpVisitor(home)
        for turn in range(LOGINS // BROWSERS):
            user_id = f"user-{browser + BROWSERS * (turn % (USERS // BROWSERS))}"
            started, shown, error = time.perf_counter(), "", ""
            try:
                visitor.log_in("development", user_id)
                shown = visitor.see_id()
                seconds = time.perf_counter() - started
                visitor.get("/logout")
            except Exception as failure:  # noqa: BLE001 - every failure is counted
                seconds, error = time.perf_counter() - started, repr(failure)
            tally.add(seconds, error, lost=shown != user_id)

    with ThreadPoolExecutor(BROWSERS) as browsers:
        list(browsers.map(browse, range(BROWSERS)))
    return tally


def together(*acts: Callable[[], object]) -> list[Exception]:
    """Run functions at the same instant. Returns their exceptions."""
    start = threading.Barrier(len(acts))
    failures: list[Exception] = []

    def do(act: Callable[[], object]) -> None:
        start.wait()
        try:
            act()
        except Exception as failure:  # noqa: BLE001 - every failure is counted
            failures.append(failure)

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def pairs(home: str) -> Tally:
    """200 pairs of simultaneous callbacks of two users. Each browser must be logged in as its own user."""
    tally = Tally(PAIRS, "pairs of callbacks")
    for pair in range(PAIRS):
        visitors = [HttpVisitor(home), HttpVisitor(home)]
        ids = [f"twin-{pair}-a", f"twin-{pair}-b"]
        callbacks = [v.agree(v.begin(), "development", i) for v, i in zip(visitors, ids, strict=True)]
        started = time.perf_counter()
        failures = together(*(lambda v=v, c=c: v.get(c) for v, c in zip(visitors, callbacks, strict=True)))
        seconds = time.perf_counter() - started
        crossed = [visitor.see_id() for visitor in visitors] != ids
        for visitor in visitors:
            visitor.get("/logout")
        tally.add(seconds, repr(failures) if failures else "", lost=crossed)
    return tally


def races(home: str, table: Table) -> Tally:
    """500 simultaneous logins and logouts of one user: either logged in and stored, or logged out and not stored."""
    tally = Tally(RACES, "races of login and logout")
    for _ in range(RACES):
        phone, laptop = HttpVisitor(home), HttpVisitor(home)
        phone.log_in("development", "racer")
        callback = laptop.agree(laptop.begin(), "development", "racer")
        started = time.perf_counter()
        failures = together(lambda: laptop.get(callback), lambda: phone.get("/logout"))  # noqa: B023 - called in this iteration
        seconds = time.perf_counter() - started
        logged_in, stored = laptop.see_id() == "racer", len(table.items()) == 1
        tally.add(
            seconds, repr(failures) if failures else "", lost=logged_in != stored or phone.see_id() != "None"
        )
        laptop.get("/logout")
    return tally


def main() -> int:
    """Run all three and print the results. Returns the exit status."""
    started = time.perf_counter()
    with running_world() as world:
        tallies = [logins(world.home), pairs(world.home), races(world.home, world.table)]
        left = len(world.table.items())
    print()
    for tally in tallies:
        print(tally.summary())
        for error in tally.errors[:5]:
            print(f"  {error}")
    print(f"users left in the table: {left}; {time.perf_counter() - started:.0f} s in total")
    return 1 if left or any(tally.errors or tally.lost for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
