"""`make bench`: compare cold starts and warm requests with a plain Chalice app, on Lambda's own runtime client.

All functions reach Spotify and AWS by their own host names, over TLS, on this machine. They run in turns, so that
other load on the machine affects all of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import Any, TypeVar

from bench import packages
from bench.packages import Package
from tests.support import tls
from tests.support.cloud import cloud
from tests.support.events import event
from tests.support.runtime import Function, FunctionVisitor, function
from tests.support.world import SECRET_KEY

T = TypeVar("T")

WHOLE_CORE_MB = 1769
"""The memory with which Lambda gives a request a whole core; with less, it gives a share in proportion."""

VISITS = 100
"""Warm requests for each route."""

ROUTES = ("/", "/login", "/callback", "/ logged in")


def first(route: str, visitor: FunctionVisitor) -> dict[str, Any]:
    """The first request after a cold start, by a visitor of another instance of the function."""
    if route == "/ logged in":
        visitor.log_in()
    return visitor.event(visitor.agree(visitor.begin()) if route == "/callback" else route.partition(" ")[0])


class Bench:
    """Starts functions, sends them requests, and collects the figures."""

    def __init__(self, folder: Path, memory_mb: int) -> None:
        self.folder, self.memory_mb = folder, memory_mb
        self.figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        """The samples by figure and package."""
        self.cloud = cloud(SECRET_KEY)
        self.tls = tls.serve(self.cloud, folder / "tls")
        self._logs = (folder / f"{number}.log" for number in count())

    def start(self, package: Package) -> AbstractContextManager[Function]:
        """Start a function."""
        environment = self.tls.environment({**self.cloud.environment, **package.settings})
        return function(package.task, environment, next(self._logs))

    def visitor(self, started: Function) -> FunctionVisitor:
        """A visitor of a function, with a new browser."""
        return FunctionVisitor(function=started, spotify=self.cloud.spotify_url)

    def cold(self, package: Package, route: str, request: dict[str, Any]) -> None:
        """Start a function and send its first request.

        Both have a whole core here. On Lambda only the initialization has one, so the CPU time of the request is
        scaled to the function's share.
        """
        with self.start(package) as started:
            cpu_ms, response = timed(started, lambda: started.invoke(request))
            passed(started, response["statusCode"])
        init_ms = started.init_cpu_seconds * 1000
        self.record(package, "initialization, CPU ms", init_ms)
        self.record(package, f"cold {route}, ms", init_ms + cpu_ms * WHOLE_CORE_MB / self.memory_mb)

    def warm(self, package: Package, started: Function) -> None:
        """Send the requests of one visit."""
        visitor = self.visitor(started)

        def step(name: str, url: str) -> str:
            cpu_ms, reply = timed(started, lambda: visitor.get(url))
            passed(started, reply.status)
            self.record(package, f"warm {name}, CPU ms", cpu_ms)
            return reply.headers.get("location", "")

        step("/", "/")
        step("/callback", visitor.agree(step("/login", "/login")))
        step("/ logged in", "/")
        step("/logout", "/logout")

    def record(self, package: Package, figure: str, value: float) -> None:
        """Add a sample."""
        self.figures[figure][package.name].append(value)

    def table(self) -> str:
        """The figures as a Markdown table."""
        names = list(self.figures["initialization, CPU ms"])
        head = [f"at {self.memory_mb} MB", *names]
        rows = [[figure, *(shown(found[name]) for name in names)] for figure, found in self.figures.items()]
        return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def timed(started: Function, act: Callable[[], T]) -> tuple[float, T]:
    """The CPU time in milliseconds that a function takes while `act` runs, and what `act` returns."""
    before = started.cpu_seconds
    result = act()
    return (started.cpu_seconds - before) * 1000, result


def passed(started: Function, status: int) -> None:
    """Stop at an error page, with which the figures would be meaningless."""
    if status >= 400:
        sys.exit(f"The response was {status}. The log of the function:\n\n{started.log}")


def shown(samples: Sequence[float]) -> str:
    """The median of samples and, if there are several, the interquartile range in percent."""
    if len(samples) < 2:
        return "".join(f"{sample:.1f}" for sample in samples)
    low, middle, high = quantiles(samples, n=4, method="inclusive")
    return f"{middle:.{0 if middle >= 20 else 1}f} ({(high - low) / middle:.0%})"


def measure(bench: Bench, rounds: int) -> None:
    """Measure warm requests, then cold starts."""
    empty, plain, ours = (build(bench.folder) for build in (packages.empty, packages.plain, packages.ours))
    compiled = packages.precompiled(plain)
    for package in (empty, plain, compiled, ours):
        bench.tls.trust(package.task)
    with bench.start(plain) as plain_helper, bench.start(ours) as our_helper:
        warm = ((plain, plain_helper), (ours, our_helper))
        for number in range(VISITS + 1):
            for package, helper in warm:
                bench.warm(package, helper)
            if number == 0:
                bench.figures.clear()  # the first visit opens connections
        for number in range(rounds):
            print(f"Cold starts, round {number + 1} of {rounds}.", flush=True)
            bench.cold(empty, "/", event("/"))
            for route in ROUTES:
                for package, helper in ((plain, plain_helper), (compiled, plain_helper), (ours, our_helper)):
                    bench.cold(package, route, first(route, bench.visitor(helper)))
    print(f"\n{bench.table()}")


def main() -> None:
    """Measure, and print the figures: medians, with the interquartile range in percent."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--memory", type=int, default=512, help="the function's memory in MB")
    parser.add_argument("--rounds", type=int, default=7, help="cold starts for each route")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Bench(Path(folder), given.memory), given.rounds)


if __name__ == "__main__":
    main()
