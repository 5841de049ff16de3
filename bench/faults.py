"""`make faults`: measure the longest request while one or two peers of the app fail.

A fault affects one phase of every call to a peer: the connection, the header, the body, or the whole response. Each
route is requested with each fault of each of its peers, and with each pair of faults of two of its peers. Every
request is timed, and its status is compared with the ones that its faults can cause.

Each request has its own function, on Lambda's own runtime client, which is initialized while all peers are healthy.
All of its connections are new: a connection that was kept alive fails no later than a new one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import packages
from simulator.loopback import serve
from tests.support.cloud import Cloud, cloud
from tests.support.faults import DRIPS, FaultServer, never_accepting, reset, response, unreachable
from tests.support.runtime import Function, FunctionVisitor, function
from tests.support.world import SECRET_KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LIMITS = (20.0, 20.0, 24.0)
"""Seconds for a request without a fault, with one and with two. The function times out after 25."""

AT_ONCE = 64
"""Concurrent requests. Nearly all of their time is spent waiting."""

SETTINGS = {
    "ssm": "AWS_ENDPOINT_URL_SSM",
    "token": "SPOTIFY_ACCOUNTS_URL",
    "me": "SPOTIFY_API_URL",
    "dynamodb": "AWS_ENDPOINT_URL_DYNAMODB",
}
"""The setting that holds each peer's address. The peers are in the order in which a request calls them."""

ROUTES = {
    "/": ("ssm", "dynamodb"),
    "/login": ("ssm",),
    "/callback": ("ssm", "token", "me", "dynamodb"),
    "/logout": ("ssm", "dynamodb"),
}
"""The peers that each route calls, for a visitor who is logged in."""

UPSTREAM = {502, 503, 504}
ERRORS: dict[str, set[int]] = {"ssm": set(), "token": UPSTREAM, "me": UPSTREAM, "dynamodb": {503}}
"""The statuses that a fault of each peer can cause. If parameters cannot be refreshed, the old ones are used."""

LATER = """
import os, time
from app import app

clock = time.time

def handle(event, context):
    os.environ["AWS_ENDPOINT_URL_SSM"] = os.environ["SSM_LATER"]
    time.time = lambda: clock() + 301
    return app(event, context)
"""
"""The module whose handler runs the app as if its parameters, which are cached for five minutes, were stale."""

Faults = dict[str, Callable[[], str]]
"""Functions that return the address of a server with a fault, by fault."""


class Scenario(NamedTuple):
    """A request, and the faults of its peers as pairs of peer and fault."""

    route: str
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def expected(self) -> set[int]:
        """The statuses that the response can have, with or without recovery from its faults."""
        return {200 if self.route == "/" else 307}.union(*(ERRORS[peer] for peer, _ in self.faults))

    def __str__(self) -> str:
        return f"{self.route}: {' and '.join(f'{peer} {fault}' for peer, fault in self.faults) or 'no fault'}"


class Outcome(NamedTuple):
    """The result of a request, with the reasons in the log."""

    seconds: float
    status: int
    reasons: str = ""

    def __str__(self) -> str:
        return f"{self.seconds:5.2f} s {self.status} {self.reasons}".rstrip()


Outcomes = dict[Scenario, Outcome]


class Peers:
    """The servers that the app calls, with and without faults, in threads of this process."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        aws, spotify = serve(cloud.aws), serve(cloud.spotify)
        self.healthy = {"ssm": aws, "token": spotify, "me": spotify, "dynamodb": aws}
        behaviours = {"a reset": reset, **DRIPS, "500": response(500)}
        urls = {fault: FaultServer([behave]).serve() for fault, behave in behaviours.items()}
        urls |= {"never accepted": never_accepting(), "refused": unreachable()}
        anywhere: Faults = {fault: partial(str, url) for fault, url in urls.items()}
        limited: Faults = {"429": partial(str, FaultServer([response(429, Retry_After="2")]).serve())}
        self.failing = {
            "ssm": anywhere | _slow(cloud.aws, 2.8),
            "token": anywhere | limited | _slow(cloud.spotify, 7.0),
            "me": anywhere | limited | _slow(cloud.spotify, 7.0),
            "dynamodb": anywhere | _slow(cloud.aws, 2.8),
        }
        """For each peer, its address for each fault. A slow one takes just less than the timeout for that peer."""

    def environment(self, scenario: Scenario) -> dict[str, str]:
        """The variables of the scenario's function. Parameter Store becomes faulty after the initialization."""
        addresses = self.healthy | {peer: self.failing[peer][fault]() for peer, fault in scenario.faults}
        later, addresses["ssm"] = addresses["ssm"], self.healthy["ssm"]
        settings = {SETTINGS[peer]: url for peer, url in addresses.items()}
        return {**self.cloud.environment, **settings, "SSM_LATER": later}


def _slow(app: WSGIApplication, seconds: float) -> Faults:
    """The addresses of servers whose responses take that long. The last one is a new server each time."""
    return {
        "a slow response": partial(str, serve(_slowly(app, seconds, [False]))),
        "a slow 500": partial(str, serve(_slowly(app, seconds, [True]))),
        "slow, every other 500": lambda: serve(_slowly(app, seconds, [True, False])),
    }


def _slowly(app: WSGIApplication, seconds: float, fails: Sequence[bool]) -> WSGIApplication:
    """Delay responses: the header by half of the time, the body by all of it. `fails`, repeated, makes some a 500."""
    failing = itertools.cycle(fails)

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        if next(failing):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("500 Internal Server Error", [("Content-Length", "2")])
            body = b"{}"
        else:
            body = b"".join(app(environ, start_response))
        time.sleep(seconds / 2)
        yield b""
        time.sleep(seconds / 2)
        yield body

    return respond


def scenarios(peers: Peers) -> list[Scenario]:
    """Every route without a fault, with each fault of its peers, and with each pair of faults of two peers."""
    return [
        Scenario(route, tuple(zip(faulty, faults, strict=True)))
        for route, called in ROUTES.items()
        for number in range(3)
        for faulty in itertools.combinations(called, number)
        for faults in itertools.product(*(peers.failing[peer] for peer in faulty))
    ]


def prepared(helper: Function, route: str, user_id: str) -> dict[str, Any]:
    """The event of a request for which a route makes all of its calls, by a visitor of a healthy function.

    A callback comes from a browser with an ended session of another user, which leads to three writes.
    """
    visitor = FunctionVisitor(function=helper)
    visitor.log_in("development", user_id)
    if route != "/callback":
        return visitor.event(route)
    cookies = dict(visitor.cookies)
    visitor.get("/logout")
    visitor.cookies.update(cookies)
    return visitor.event(visitor.agree(visitor.begin(), "development", f"{user_id}-again"))


def run(peers: Peers, chosen: Sequence[Scenario], folder: Path) -> Outcomes:
    """Run scenarios concurrently, each in its own function. Returns their outcomes."""
    task = packages.ours(folder).task
    (task / "later.py").write_text(LATER, encoding="utf-8")
    cores = Semaphore(os.cpu_count() or 1)  # each initialization gets a whole core, as on Lambda
    turn, numbers, outcomes = Lock(), itertools.count(), Outcomes()

    def respond(scenario: Scenario) -> Outcome:
        name = f"user-{next(numbers)}"
        with ExitStack() as stack:
            with cores:
                environment, log = peers.environment(scenario), folder / f"{name}.log"
                started = stack.enter_context(function(task, environment, log, "later.handle"))
            with turn:
                request = prepared(helper, scenario.route, name)
            status = started.invoke(request)["statusCode"]
        lines = [json.loads(line) for line in started.log.splitlines() if line.startswith("{")]
        reasons = [line.get("reason") or line.get("detail", "") for line in lines]
        return Outcome(started.answer_seconds, status, ", ".join(filter(None, reasons)))

    healthy = peers.environment(Scenario("/"))
    with function(task, healthy, folder / "log") as helper, ThreadPoolExecutor(AT_ONCE) as threads:
        for scenario, outcome in zip(chosen, threads.map(respond, chosen), strict=True):
            outcomes[scenario] = outcome
            if len(outcomes) % 25 == 0:
                print(f"\r{len(outcomes)} of {len(chosen)} requests", end="", flush=True)
    return outcomes


def verdict(outcomes: Outcomes) -> tuple[str, int]:
    """The 20 slowest requests, the unexpected ones, and the exit status: 1 if one is unexpected or reaches a limit."""
    lines, failed = [], False
    for number, limit in enumerate(LIMITS):
        found = [(outcome, one) for one, outcome in outcomes.items() if len(one.faults) == number]
        lines.append(f"\nFaults: {number}. Requests: {len(found)}. Limit: {limit:.0f} s. The slowest:")
        lines += [f"{outcome}: {one}" for outcome, one in sorted(found, reverse=True)[:20]]
        failed |= any(outcome.seconds >= limit for outcome, _ in found)
    unexpected = [one for one, outcome in outcomes.items() if outcome.status not in one.expected]
    lines += [f"Unexpected status: {outcomes[one]}: {one}" for one in unexpected]
    return "\n".join(lines), int(failed or bool(unexpected))


def main() -> int:
    """Run every scenario and print the outcomes. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", default="", help="run only requests whose description contains this text")
    only, started = parser.parse_args().only, time.monotonic()
    peers = Peers(cloud(SECRET_KEY))
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run(peers, [one for one in scenarios(peers) if only in str(one)], Path(folder))
    text, status = verdict(outcomes)
    print(f"\n{text}\n\n{time.monotonic() - started:.0f} s in total")
    return status


if __name__ == "__main__":
    sys.exit(main())
