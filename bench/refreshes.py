"""Simultaneous requests whose access token has ended. Each user's token must be refreshed exactly once.

The requests reach two processes of the app, with the route /top of docs/top.diff. They share Spotify, DynamoDB
and KMS, as the instances of a function do.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import fork
from bench.tally import Tally, together
from tests.support.visitor import HttpVisitor
from tests.support.world import World, running_world

AT_ONCE, ROUNDS = 100, 5
"""Simultaneous requests of one user, and how often they are repeated."""

USERS, IN_FLIGHT = 200, 50
"""Users whose tokens have all ended, and requests at any one time. Every other user sends two, one to each process.

With 300 at once, the emulator takes longer than the 2 s that the app allows for a call: it handles one at a time.
"""


def tallies() -> list[Tally]:
    """Run all three tests."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        project = fork.create(Path(folder, "fork"))
        with _world(project, rotates=False) as world:
            found += [one_user(world, "requests of one user at expiry"), many_users(world)]
        with _world(project, rotates=True) as world:
            found += [one_user(world, "the same, with rotation of refresh tokens")]
    return found


@contextmanager
def _world(project: Path, *, rotates: bool) -> Iterator[World]:
    with running_world({"TOKENS_KMS_ALIAS": fork.ALIAS}, apps=2, project=project, rotates=rotates) as world:
        yield world


def one_user(world: World, what: str, rounds: int = ROUNDS) -> Tally:
    """100 simultaneous requests of one user, several times. Each refresh uses what the one before has stored."""
    tally, before = Tally(AT_ONCE * rounds, what), Counter(world.refreshes())
    visitor = HttpVisitor(world.home)
    visitor.log_in("development", "collector")
    for _ in range(rounds):
        _expire(world, {"collector"})
        together(*(partial(_visit, tally, visitor, _home(world, number)) for number in range(AT_ONCE)))
    count(tally, world, before, {"collector": rounds})
    return tally


def many_users(world: World) -> Tally:
    """300 requests of 200 users, 50 at a time."""
    users = {f"user-{number}": HttpVisitor(world.home) for number in range(USERS)}
    for user_id, visitor in users.items():
        visitor.log_in("development", user_id)
    _expire(world, users)
    requests = [
        (visitor, _home(world, number + turn))
        for number, visitor in enumerate(users.values())
        for turn in range(1 + number % 2)
    ]
    tally, before = Tally(len(requests), f"requests of {USERS} users at expiry"), Counter(world.refreshes())
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        list(threads.map(lambda request: _visit(tally, *request), requests))
    count(tally, world, before, dict.fromkeys(users, 1))
    return tally


def _home(world: World, number: int) -> str:
    return world.homes[number % len(world.homes)]


def _expire(world: World, user_ids: Collection[str]) -> None:
    """Have the stored access tokens of users end, where there still are any."""
    kept = world.kept
    for item in kept.table.items():
        if "tokens" in item and json.loads(item["profile"]["S"])["id"] in user_ids:
            kept.age(item["account_id"]["S"])


def _visit(tally: Tally, visitor: HttpVisitor, home: str) -> None:
    """Open /top with a copy of the visitor's cookies, and count the result."""
    started, error = time.perf_counter(), ""
    try:
        reply = HttpVisitor(home, dict(visitor.cookies)).get("/top", {"Accept": "application/json"})
        if reply.status != 200 or not json.loads(reply.text):
            error = f"{reply.status} {reply.text}"
    except Exception as failure:  # noqa: BLE001 - every failure is counted
        error = repr(failure)
    tally.add(time.perf_counter() - started, error)


def count(tally: Tally, world: World, before: Counter[str], expected: Mapping[str, int]) -> None:
    """Count the refreshes since `before`. Those that are missing, too many or rejected by Spotify are lost."""
    refreshes, asked = Counter(world.refreshes()), world.request_count("POST /api/token refresh_token")
    made, rejected = refreshes - before, asked - refreshes.total()
    wrong = sum(abs(made[user_id] - expected.get(user_id, 0)) for user_id in {*made, *expected})
    tally.lost = wrong + rejected
    tally.refreshes = f", refreshes {made.total()}, rejected {rejected}"
