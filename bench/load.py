"""`make load`: many simultaneous logins and refreshes, over HTTP to real processes."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench import refreshes
from bench.tally import Tally, together
from tests.support.table import Table
from tests.support.visitor import HttpVisitor
from tests.support.world import running_world

LOGINS, BROWSERS, USERS = 1000, 50, 200
PAIRS = 200
RACES = 500


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
    """Run all tests and print the results. Returns the exit status."""
    started = time.perf_counter()
    with running_world() as world:
        tallies = [logins(world.home), pairs(world.home), races(world.home, world.table)]
        left = len(world.table.items())
    tallies += refreshes.tallies()
    print()
    for tally in tallies:
        print(tally.summary())
        for error in tally.errors[:5]:
            print(f"  {error}")
    print(f"users left in the table: {left}; {time.perf_counter() - started:.0f} s in total")
    return 1 if left or any(tally.errors or tally.lost for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
