"""Warm requests of several functions in turn: CPU time, calls, connections and handshakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import mean
from typing import TypeVar

from bench.figures import Samples, progress
from bench.runner import Bench, Subject, passed
from tests.support.counted import Cloud
from tests.support.runtime import Function

VISITS = 100

T = TypeVar("T")


@dataclass
class Requests:
    """The requests for one route."""

    cpu: Samples = field(default_factory=Samples)
    """CPU time in milliseconds."""
    calls: set[str] = field(default_factory=set)
    """The calls in order. All requests should make the same."""
    opened: list[int] = field(default_factory=list)
    handshakes: list[int] = field(default_factory=list)

    @property
    def connections(self) -> str:
        """The mean numbers of connections opened and of TLS handshakes."""
        return f"{mean(self.opened):.1f} and {mean(self.handshakes):.1f}"


@dataclass
class Warm:
    """The warm requests of one function."""

    cloud: Cloud
    function: Function
    routes: dict[str, Requests] = field(default_factory=dict)
    peak_rss_mb: float = 0.0

    def step(self, route: str, act: Callable[[], T]) -> T:
        """Send a request, and record it. Returns what `act` returns."""
        requests = self.routes.setdefault(route, Requests())
        self.cloud.forget()
        before = self.function.cpu_seconds
        result = act()
        requests.cpu.append((self.function.cpu_seconds - before) * 1000)
        requests.calls.add(", ".join(self.cloud.calls) or "none")
        servers = (self.cloud.spotify, self.cloud.aws)
        requests.opened.append(sum(server.opened for server in servers))
        requests.handshakes.append(sum(server.handshakes for server in servers))
        return result


def measure(bench: Bench, functions: Mapping[Subject, Function]) -> dict[Subject, Warm]:
    """Repeat one visit to each of the functions. The first is not recorded, because it opens connections."""
    found = {subject: Warm(bench.cloud, function) for subject, function in functions.items()}
    for one in found.values():
        _visit(bench, one)
        one.routes.clear()
    for number in range(VISITS):
        progress(f"warm requests, visit {number + 1} of {VISITS}")
        for one in found.values():
            _visit(bench, one)
    for one in found.values():
        one.peak_rss_mb = one.function.peak_rss_mb
    progress()
    return found


def _visit(bench: Bench, one: Warm) -> None:
    visitor = bench.visitor(one.function)
    one.step("/", visitor.see_id)
    at_spotify = one.step("/login", visitor.begin)
    callback = visitor.agree(at_spotify)
    passed(one.function, one.step("/callback", partial(visitor.get, callback)).status)
    one.step("/ logged in", visitor.see_id)
    one.step("/logout", partial(visitor.get, "/logout"))
