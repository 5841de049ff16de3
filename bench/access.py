"""What kept access costs: this app without it and with it, and a page that needs an access token."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from bench import events, fork, report, share
from bench.packages import Bench, Package
from tests.support.counted import Cloud
from tests.support.runtime import Function, FunctionVisitor

LOGINS, PAGES, ENDED, ENDING, STARTS = 50, 50, 20, 20, 11
"""Repetitions. The figures are medians."""

MEMORY_MB = 512

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
        if status >= 400:
            sys.exit(f"The response was {status}. The log of the function:\n\n{function.log}")


@dataclass
class Side:
    """The measurements of the app without kept access, or with it."""

    package: Package
    init_cpu_ms: list[float] = field(default_factory=list)
    init_wall_ms: list[float] = field(default_factory=list)
    peak_rss_mb: float = 0.0
    modules: set[str] = field(default_factory=set)
    """Modules imported from the start until after a login."""
    cold_ms: dict[str, list[float]] = field(default_factory=dict)
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
    with bench.start(off) as without, bench.start(on) as keeping:
        _progress("logins")
        for _ in range(LOGINS):
            for side, function in zip(sides, (without, keeping), strict=True):
                _log_in(bench.cloud, side, function)
        for side, function in zip(sides, (without, keeping), strict=True):
            side.peak_rss_mb = function.peak_rss_mb
        _open_pages(bench.cloud, sides[1], keeping)
        _progress("cold starts")
        for _ in range(STARTS):
            for side, function in zip(sides, (without, keeping), strict=True):
                _start(bench, side, CALLBACK, events.callback(FunctionVisitor(function=function)))
            _start(bench, sides[1], PAGE, events.logged_in(FunctionVisitor(function=keeping), "/top"))
    _progress("")
    return sides


def _modules(bench: Bench, package: Package) -> set[str]:
    """The modules that a function imports until after a login, as Python lists them on request."""
    with bench.start(package, PYTHONPROFILEIMPORTTIME="1") as started:
        visitor = FunctionVisitor(function=started)
        visitor.log_in()
        visitor.see_id()
        visitor.get("/logout")
        return set(re.findall(r"^import time:.*\| +([\w.]+)$", started.log, re.MULTILINE))


def _log_in(cloud: Cloud, side: Side, function: Function) -> None:
    visitor = FunctionVisitor(function=function)
    callback = visitor.agree(visitor.begin())
    side.requests[CALLBACK].run(cloud, function, lambda: visitor.get(callback).status)
    visitor.get("/logout")


def _open_pages(cloud: Cloud, side: Side, function: Function) -> None:
    """Open the page with a token that lasts, with one that has ended, and with one that ends soon."""
    _progress("pages that need a token")
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


def _start(bench: Bench, side: Side, route: str, request: events.Event) -> None:
    """Start a function and send its first request, at the share of a core that comes with `MEMORY_MB`."""
    with bench.start(side.package) as started:
        side.init_cpu_ms.append(started.init_cpu_seconds * 1000)
        side.init_wall_ms.append(started.init_seconds * 1000)
        repeated = side.requests["first"] if route == PAGE else Repeated()
        refused, pid = share.refusal(), started.process.pid
        with contextlib.nullcontext() if refused else share.limited(pid, MEMORY_MB):
            repeated.run(bench.cloud, started, lambda: int(started.invoke(request)["statusCode"]))
        if not refused:
            wait = (started.init_seconds + started.answer_seconds) * 1000
            side.cold_ms.setdefault(route, []).append(wait)


def table(off: Side, on: Side) -> str:
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
                f"cold wait at {MEMORY_MB} MB, ms: {route}",
                *(_median(side.cold_ms.get(route), 0) for side in sides),
            ]
            for route in (CALLBACK, PAGE)
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
    return f"{report.table(['kept access', 'off', 'on'], rows)}\n\n{_imported(off, on)}"


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


def _progress(what: str) -> None:
    print(f"\r{f'kept access: {what}' if what else '':79}\r", end="", flush=True)
