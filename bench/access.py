"""What kept access costs: this app without it and with it, and a page that needs an access token."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from bench import events, fork, markdown
from bench.figures import progress
from bench.packages import Package
from bench.runner import Bench, Subject, passed
from tests.support.counted import Cloud
from tests.support.runtime import Function, FunctionVisitor

LOGINS, PAGES, ENDED, ENDING, STARTS = 50, 50, 20, 20, 9
"""Repetitions. The figures are medians."""

SOON = 303
"""Seconds that a token has left shortly before it is refreshed, which happens with less than 300 left."""

CALLBACK, PAGE = "/callback", "/top"
REQUESTS = {
    CALLBACK: CALLBACK,
    PAGE: "/top",
    "ending": "/top, token ends within 5 minutes",
    "ended": "/top, token has ended",
    "first": "/top, first request of an instance",
}
"""The requests, as the table names them."""


@dataclass
class Repeated:
    """The repetitions of one request."""

    cpu_ms: list[float] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)
    """The calls in order. All repetitions should make the same."""

    def run(self, cloud: Cloud, function: Function, act: Callable[[], int]) -> None:
        """Send a request, whose status `act` returns, and record its CPU time and calls."""
        cloud.forget()
        before = function.cpu_seconds
        status = act()
        self.cpu_ms.append((function.cpu_seconds - before) * 1000)
        self.calls.add(", ".join(cloud.calls))
        passed(function, status)


@dataclass
class Side:
    """The measurements of the app without kept access, or with it."""

    package: Package
    init_cpu_ms: list[float] = field(default_factory=list)
    init_wall_ms: list[float] = field(default_factory=list)
    peak_rss_mb: float = 0.0
    modules: set[str] = field(default_factory=set)
    """Modules imported from the start until after a login."""
    cold_ms: dict[tuple[str, bool], list[float]] = field(default_factory=dict)
    """Cold waits by route, over plain HTTP and over TLS."""
    requests: dict[str, Repeated] = field(default_factory=lambda: {name: Repeated() for name in REQUESTS})

    @property
    def describes_kms(self) -> bool:
        """Whether the package has botocore's description of KMS, without which there is no client."""
        return (self.package.task / "botocore" / "data" / "kms").exists()


def measure(bench: Bench, off: Package, on: Package) -> tuple[Side, Side]:
    """Measure both packages, in turns, so that other load on the machine affects both."""
    sides = Side(off), Side(on)
    for side in sides:
        side.modules = _modules(bench, side.package)
    with bench.start(Subject(off)) as without, bench.start(Subject(on)) as keeping:
        progress("kept access: logins")
        for _ in range(LOGINS):
            for side, function in zip(sides, (without, keeping), strict=True):
                _log_in(bench, side, function)
        for side, function in zip(sides, (without, keeping), strict=True):
            side.peak_rss_mb = function.peak_rss_mb
        _open_pages(bench.cloud, sides[1], keeping)
        progress("kept access: cold starts")
        for _ in range(STARTS):
            for tls in (False, True):
                for side, function in zip(sides, (without, keeping), strict=True):
                    _start(bench, side, CALLBACK, events.callback(bench.visitor(function)), tls=tls)
                page = events.logged_in(bench.visitor(keeping), "/top")
                _start(bench, sides[1], PAGE, page, tls=tls)
    progress()
    return sides


def _modules(bench: Bench, package: Package) -> set[str]:
    """The modules that a function imports until after a login, as Python lists them on request."""
    with bench.start(Subject(package), PYTHONPROFILEIMPORTTIME="1") as started:
        visitor = FunctionVisitor(function=started)
        visitor.log_in()
        visitor.see_id()
        visitor.get("/logout")
        return set(re.findall(r"^import time:.*\| +([\w.]+)$", started.log, re.MULTILINE))


def _log_in(bench: Bench, side: Side, function: Function) -> None:
    visitor = bench.visitor(function)
    callback = visitor.agree(visitor.begin())
    side.requests[CALLBACK].run(bench.cloud, function, lambda: visitor.get(callback).status)
    visitor.get("/logout")


def _open_pages(cloud: Cloud, side: Side, function: Function) -> None:
    """Open the page with a token that lasts, with one that has ended, and with one that ends soon."""
    progress("kept access: pages that need a token")
    kept = cloud.kept(fork.ALIAS)
    visitors = {f"listener-{number}": FunctionVisitor(function=function) for number in range(ENDING)}
    for user_id, visitor in visitors.items():
        visitor.log_in(user_id=user_id)
    stored = [item for item in kept.table.items() if "tokens" in item]
    ids = {json.loads(item["profile"]["S"])["id"]: item["account_id"]["S"] for item in stored}
    keys = {user_id: ids[user_id] for user_id in visitors}
    open_page = {user_id: partial(_status, visitor) for user_id, visitor in visitors.items()}
    first = next(iter(visitors))
    for _ in range(PAGES):
        side.requests[PAGE].run(cloud, function, open_page[first])
    for _ in range(ENDED):
        kept.age(keys[first])
        side.requests["ended"].run(cloud, function, open_page[first])
    for user_id, key in keys.items():
        kept.age(key, SOON)
        open_page[user_id]()
    time.sleep(SOON - 299)
    for user_id in visitors:
        side.requests["ending"].run(cloud, function, open_page[user_id])


def _status(visitor: FunctionVisitor) -> int:
    return visitor.get("/top").status


def _start(bench: Bench, side: Side, route: str, request: events.Event, *, tls: bool) -> None:
    """Start a function and, if this machine can limit it to a share of a core, send its first request."""
    with bench.start(Subject(side.package, tls)) as started:
        if not tls:
            side.init_cpu_ms.append(started.init_cpu_seconds * 1000)
            side.init_wall_ms.append(started.init_seconds * 1000)
        if bench.memory_mb:
            repeated = side.requests["first"] if route == PAGE and not tls else Repeated()
            with bench.limited(started):
                repeated.run(bench.cloud, started, partial(bench.send, started, request))
            wait = (started.init_seconds + started.answer_seconds) * 1000
            side.cold_ms.setdefault((route, tls), []).append(wait)


def table(off: Side, on: Side, memory_mb: int) -> str:
    """A Markdown table, and a line on what the app imports without kept access."""
    sides = (off, on)
    rows = [
        ["initialization, CPU ms", *(_median(side.init_cpu_ms, 0) for side in sides)],
        ["initialization, wall ms", *(_median(side.init_wall_ms, 0) for side in sides)],
        ["peak memory, MB", *(f"{side.peak_rss_mb:.0f}" for side in sides)],
        [
            "zip / unpacked, MB",
            *(
                f"{side.package.zip_bytes / 1e6:.2f} / {side.package.unpacked_bytes / 1e6:.2f}"
                for side in sides
            ),
        ],
        ["modules imported", *(str(len(side.modules)) for side in sides)],
        *(
            [
                f"cold wait at {memory_mb} MB, ms: {route}{', over TLS' if tls else ''}",
                *(_median(side.cold_ms.get((route, tls)), 0) for side in sides),
            ]
            for route, tls in off.cold_ms | on.cold_ms
        ),
        *(
            [f"CPU ms: {name}", *(_median(side.requests[key].cpu_ms, 1) for side in sides)]
            for key, name in REQUESTS.items()
        ),
        *(
            [f"calls: {name}", *(" or ".join(sorted(side.requests[key].calls)) for side in sides)]
            for key, name in REQUESTS.items()
        ),
    ]
    return f"{markdown.table(['kept access', 'off', 'on'], rows)}\n\n{_imported(off, on)}"


def _imported(off: Side, on: Side) -> str:
    """What only the app with kept access imports."""
    added = ", ".join(sorted(on.modules - off.modules)) or "none"
    described = ("no description of KMS", "a description of KMS")
    return (
        f"Modules imported only with kept access: {added}. "
        f"The package has {described[off.describes_kms]} without it, and {described[on.describes_kms]} with it."
    )


def _median(values: list[float] | None, digits: int) -> str:
    return f"{median(values):.{digits}f}" if values else ""
