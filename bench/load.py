"""`make load`: many simultaneous logins and refreshes, over HTTP to real processes."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.support import fork
from tests.support.table import Table
from tests.support.visitor import HttpVisitor, together
from tests.support.world import running_world

LOGINS, BROWSERS, USERS = 1000, 50, 200
RACES = 500

AT_ONCE, ROUNDS = 100, 5
"""Simultaneous requests of one user at expiry, and how often they are repeated."""


def check(what: str, acts: Sequence[Callable[[], bool]], at_once: int = 1) -> bool:
    """Run acts, which return whether their result was right, and print what failed. Returns whether none did."""
    results: list[tuple[float, str]] = []
    with ThreadPoolExecutor(at_once) as threads:
        for result in threads.map(timed, acts):
            results.append(result)
            if len(results) % 25 == 0:
                print(f"\r{what}: {len(results)} of {len(acts)}", end="", flush=True)
    cuts = statistics.quantiles([seconds for seconds, _ in results], n=100)
    failures = Counter(failure for _, failure in results if failure)
    times = f"p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms"
    print(f"\r{what}: {len(acts)}, {times}, failed {failures.total()}")
    for failure, number in failures.most_common(5):
        print(f"  {number} times: {failure}")
    return not failures


def timed(act: Callable[[], bool]) -> tuple[float, str]:
    """Run an act. Returns the seconds that it took, and what failed."""
    started, failure = time.perf_counter(), ""
    try:
        failure = "" if act() else "lost: the result was wrong"
    except Exception as error:  # noqa: BLE001 - every failure is counted
        failure = repr(error)
    return time.perf_counter() - started, failure


def logins(home: str) -> bool:
    """1,000 logins of 200 users in 50 browsers. Each home page must show its user, who then logs out."""
    browser = threading.local()

    def log_in_and_out(user_id: str) -> bool:
        visitor: HttpVisitor = vars(browser).setdefault("visitor", HttpVisitor(home))
        visitor.log_in("development", user_id)
        shown = visitor.see_id()
        visitor.get("/logout")
        return shown == user_id

    acts = [partial(log_in_and_out, f"user-{number % USERS}") for number in range(LOGINS)]
    return check("logins", acts, BROWSERS)


def race(home: str, table: Table) -> bool:
    """A simultaneous login and logout of one user: either logged in and stored, or logged out and not stored."""
    phone, laptop = HttpVisitor(home), HttpVisitor(home)
    phone.log_in("development", "racer")
    callback = laptop.agree(laptop.begin(), "development", "racer")
    together(partial(laptop.get, callback), partial(phone.get, "/logout"))
    logged_in, stored = laptop.see_id() == "racer", len(table.items()) == 1
    logged_out = phone.see_id() == "None"
    laptop.get("/logout")
    return logged_in == stored and logged_out


def refreshes(project: Path, *, rotates: bool) -> bool:
    """100 requests of one user at expiry, to two processes, five times. Each time the token must be refreshed once.

    Each refresh uses what the one before has stored.
    """
    with running_world({"TOKENS_KMS_ALIAS": fork.ALIAS}, apps=2, project=project, rotates=rotates) as world:
        visitor = HttpVisitor(world.home)
        visitor.log_in("development", "collector")
        acts = [partial(fork.open_top, home, visitor.cookies) for home in world.homes * (AT_ONCE // 2)]
        right = []
        for number in range(ROUNDS):
            world.expire()
            right.append(check(f"requests of one user at expiry, round {number + 1}", acts, AT_ONCE))
        made, asked = world.refreshes(), world.request_count("POST /api/token refresh_token")
    rotation = "with" if rotates else "without"
    print(f"refreshes {rotation} rotation of refresh tokens: {asked}, which must be {ROUNDS}")
    return all(right) and made == {"collector": asked} and asked == ROUNDS


def main() -> int:
    """Run all tests and print the results. Returns the exit status."""
    argparse.ArgumentParser(prog="make load", description=__doc__).parse_args()
    started = time.perf_counter()
    with running_world() as world:
        right = [logins(world.home)]
        right += [check("races of login and logout", [partial(race, world.home, world.table)] * RACES)]
        left = len(world.table.items())
    with tempfile.TemporaryDirectory() as folder:
        project = fork.create(Path(folder, "fork"))
        right += [refreshes(project, rotates=rotates) for rotates in (False, True)]
    print(f"users left in the table: {left}; {time.perf_counter() - started:.0f} s in total")
    return 0 if all(right) and not left else 1


if __name__ == "__main__":
    sys.exit(main())
