"""`make faults`: measure the longest request while one or two peers of the app fail.

The peers are Parameter Store, Spotify's token endpoint, Spotify's /v1/me and DynamoDB. A fault affects one
phase of every call to a peer: the connection, the header, the body, or the whole response. Each route is
requested once with each fault of each of its peers, and once with each pair of faults of two of its peers.
Every request is timed, and its status is compared with the ones that its faults can cause.

Each request runs in its own process, in which the app runs as on Lambda. The app is initialized while all
peers are healthy. Then the clock is set forward by five minutes, so that the request reads the parameters
again. All connections of the request are new: a connection that was kept alive fails no later than a new one.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

from simulator.loopback import serve
from tests.support.faults import DRIPS, FaultServer, never_accepting, reset, response, unreachable
from tests.support.servers import clean_environment

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from tests.support.counted import Cloud
    from tests.support.gateway import GatewayVisitor

SINGLE_LIMIT, PAIR_LIMIT = 20.0, 24.0
"""Seconds. The function times out after 25, and API Gateway after 29."""

AT_ONCE = 64
"""Concurrent requests. Nearly all of their time is spent waiting."""

SHOWN = 10
"""The number of pairs printed for each route, slowest first."""

STALE = 301.0
"""Seconds by which the clock is set forward: one more than parameters are cached for."""

SLOW = {"ssm": 2.8, "token": 7.0, "me": 7.0, "dynamodb": 2.8}
"""The duration of a slow response in seconds: just short of the timeout for that peer."""

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

HEALTHY = {"/": 200, "/login": 307, "/callback": 307, "/logout": 307}
"""The status of each route without a fault, or with one that the app recovers from."""

ERRORS: Mapping[str, set[int]] = {
    "ssm": set(),
    "token": {502, 503, 504},
    "me": {502, 503, 504},
    "dynamodb": {503},
}
"""The statuses that a fault of each peer can cause. If parameters cannot be refreshed, the old ones are used."""

LIBRARIES = [
    "botocore.client",
    "botocore.paginate",
    "botocore.session",
    "chalice",
    "requests",
    "simulator.loopback",
    "tests.support.faults",
    "unittest.mock",
]
"""Imported once and shared by the processes of all requests. Each process imports the app itself."""


class Scenario(NamedTuple):
    """A request and the faults of its peers."""

    route: str
    faults: tuple[tuple[str, str], ...] = ()
    """Pairs of peer and fault."""

    @property
    def expected(self) -> set[int]:
        """The statuses that the response can have."""
        return {HEALTHY[self.route]}.union(*(ERRORS[peer] for peer, _ in self.faults))

    @property
    def said(self) -> str:
        """The faults as text."""
        return " and ".join(f"{peer} {fault}" for peer, fault in self.faults) or "no fault"


class Outcome(NamedTuple):
    """The result of a request."""

    seconds: float
    status: int
    reasons: tuple[str, ...] = ()
    """The reasons in the log, in order, and the details of completed logins."""

    def __str__(self) -> str:
        return f"{self.seconds:5.2f} s {self.status} {', '.join(self.reasons)}".rstrip()


Address = Callable[[], str]
"""Returns a URL."""

Outcomes = dict[Scenario, Outcome]


@dataclass
class Peers:
    """The servers that the app calls, with and without faults, in threads of this process."""

    cloud: Cloud
    healthy: dict[str, str] = field(default_factory=dict)
    """The address of each peer without faults."""
    failing: dict[str, dict[str, Address]] = field(default_factory=dict)
    """For each peer, its address for each fault."""

    def start(self) -> None:
        """Start all servers."""
        self.cloud.aws.app = _one_at_a_time(self.cloud.aws.app)
        aws, spotify = serve(self.cloud.aws), serve(self.cloud.spotify)
        self.healthy = {"ssm": aws, "token": spotify, "me": spotify, "dynamodb": aws}
        everywhere = _faults_of_any_peer()
        for peer in SETTINGS:
            app = self.cloud.spotify if peer in ("token", "me") else self.cloud.aws
            self.failing[peer] = {**everywhere, **_slow_faults(app, SLOW[peer])}
        limited = FaultServer([response(429, Retry_After="2")]).serve()
        for peer in ("token", "me"):
            self.failing[peer]["429, Retry-After 2"] = _at(limited)

    def environment(self, scenario: Scenario) -> dict[str, str]:
        """The app's environment for a scenario, with the addresses of peers that have its faults."""
        addresses = self.healthy | {peer: self.failing[peer][fault]() for peer, fault in scenario.faults}
        settings = {SETTINGS[peer]: url for peer, url in addresses.items()}
        on_lambda = {"AWS_LAMBDA_FUNCTION_NAME": "spotify-login-dev"}
        return clean_environment({**self.cloud.environment, **settings, **on_lambda})


def _at(url: str) -> Address:
    return lambda: url


def _faults_of_any_peer() -> dict[str, Address]:
    """The addresses of servers that fail for any request."""
    behaviours = {"a reset": reset, **DRIPS, "500": response(500)}
    failing = {fault: FaultServer([behave]).serve() for fault, behave in behaviours.items()}
    return {
        fault: _at(url)
        for fault, url in {"never accepted": never_accepting(), "refused": unreachable(), **failing}.items()
    }


def _slow_faults(app: WSGIApplication, seconds: float) -> dict[str, Address]:
    """The addresses of servers whose responses take that long. The last one is a new server each time."""
    return {
        "a slow response": _at(serve(_slowly(app, seconds))),
        "a slow 500": _at(serve(_slowly(_unavailable, seconds))),
        "slow, every other 500": lambda: serve(_slowly(_every_other(app), seconds)),
    }


def _one_at_a_time(app: WSGIApplication) -> WSGIApplication:
    """Pass one request at a time to an app, because moto loses concurrent updates."""
    turn = threading.Lock()

    def respond_in_turn(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with turn:
            return list(app(environ, start_response))

    return respond_in_turn


def _slowly(app: WSGIApplication, seconds: float) -> WSGIApplication:
    """Delay an app's responses: the header by half of the time, the body by all of it."""

    def respond_slowly(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        body = b"".join(app(environ, start_response))
        time.sleep(seconds / 2)
        yield b""
        time.sleep(seconds / 2)
        yield body

    return respond_slowly


def _every_other(app: WSGIApplication) -> WSGIApplication:
    """Replace every other response of an app by a 500, starting with the first, so that each retry succeeds."""
    turns = itertools.cycle([_unavailable, app])

    def respond_or_not(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return next(turns)(environ, start_response)

    return respond_or_not


def _unavailable(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("500 Internal Server Error", [("Content-Length", "2")])
    return [b"{}"]


class Visits:
    """Prepares the requests to be timed, using the app in this process, whose peers are healthy."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        os.environ.clear()
        os.environ.update(environment)
        logging.getLogger("spotify-login.events").disabled = True
        self._turn = threading.Lock()  # Chalice stores the current request in the app
        self._user_ids = (f"user-{number}" for number in itertools.count())
        self._live = self._log_in()
        self._ended = self._log_in()
        _visitor(self._ended).get("/logout")

    def prepare(self, route: str) -> tuple[str, dict[str, str]]:
        """The path and cookies of a request for which the route makes all of its calls."""
        with self._turn:
            if route == "/callback":
                return self._begin()
            return route, self._log_in() if route == "/logout" else self._live

    def _log_in(self) -> dict[str, str]:
        """Log a new user in. Returns the cookies of the browser."""
        visitor = _visitor({})
        reply = visitor.log_in("development", next(self._user_ids))
        if reply.status != HEALTHY["/callback"]:
            sys.exit(
                "The login failed, so the figures would be meaningless. Find the cause with:\n\n    make test"
            )
        return visitor.cookies

    def _begin(self) -> tuple[str, dict[str, str]]:
        """A callback in a browser with an ended session of another user, which leads to three writes."""
        visitor = _visitor(self._ended)
        callback = visitor.agree(visitor.begin(), "development", next(self._user_ids))
        return callback.removeprefix(visitor.home), visitor.cookies


def _visitor(cookies: Mapping[str, str]) -> GatewayVisitor:
    from tests.support.gateway import GatewayVisitor  # noqa: PLC0415 - imports the app; see `respond`

    return GatewayVisitor(cookies=dict(cookies))


def respond(pipe: Connection, environment: Mapping[str, str]) -> None:
    """Handle one request, as a function on Lambda that was initialized five minutes ago.

    Sends None once the app is initialized. Receives the new address of Parameter Store, and the path and
    cookies of the request. Sends the outcome.
    """
    os.environ.clear()
    os.environ.update(environment)
    clock = time.time
    with contextlib.redirect_stdout(io.StringIO()) as log:
        from tests.support.gateway import event, invoke  # noqa: PLC0415 - the import is the initialization

        pipe.send(None)
        os.environ[SETTINGS["ssm"]], path, cookies = pipe.recv()
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        request = event(path, {"Sec-Fetch-Site": "same-origin", "Cookie": header})
        with patch.object(time, "time", lambda: clock() + STALE):
            started = time.monotonic()
            reply = invoke(request)
            seconds = time.monotonic() - started
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    reasons = (line.get("reason") or line.get("detail", "") for line in lines)
    pipe.send(Outcome(seconds, reply.status, tuple(filter(None, reasons))))


class Bench:
    """Runs scenarios concurrently, each in its own process."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._visits = Visits(peers.environment(Scenario("/")))
        self._cores = threading.Semaphore(os.cpu_count() or 1)
        """Each initialization gets a whole core, as on Lambda."""
        self._forking = multiprocessing.get_context("forkserver")
        self._forking.set_forkserver_preload(LIBRARIES)

    def run(self, scenarios: list[Scenario]) -> Outcomes:
        """Run scenarios. Returns the outcome of each."""
        outcomes: Outcomes = {}
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for scenario, outcome in zip(scenarios, threads.map(self._run, scenarios), strict=True):
                outcomes[scenario] = outcome
                print(f"\r{len(outcomes)} of {len(scenarios)} requests", end="", flush=True)
        print()
        return outcomes

    def _run(self, scenario: Scenario) -> Outcome:
        environment = self._peers.environment(scenario)
        healthy = {SETTINGS["ssm"]: self._peers.healthy["ssm"]}
        ours, theirs = self._forking.Pipe()
        process = self._forking.Process(target=respond, args=(theirs, {**environment, **healthy}))
        with self._cores:
            process.start()
            theirs.close()
            ours.recv()
        ours.send((environment[SETTINGS["ssm"]], *self._visits.prepare(scenario.route)))
        outcome: Outcome = ours.recv()
        process.join()
        return outcome


def singles(peers: Peers) -> list[Scenario]:
    """Every route without a fault, and with each fault of each of its peers."""
    return [Scenario(route) for route in ROUTES] + [
        Scenario(route, ((peer, fault),))
        for route, called in ROUTES.items()
        for peer in called
        for fault in peers.failing[peer]
    ]


def pairs(peers: Peers) -> list[Scenario]:
    """Every route with each fault of one of its peers and each fault of another."""
    return [
        Scenario(route, tuple(zip(two, faults, strict=True)))
        for route, called in ROUTES.items()
        for two in itertools.combinations(called, 2)
        for faults in itertools.product(*(peers.failing[peer] for peer in two))
    ]


def table(outcomes: Outcomes) -> str:
    """One line for each single fault: seconds and status for each route, and the reasons in the log."""
    rows = [f"{'peer':9} {'fault':23}" + "".join(f"{route:12}" for route in ROUTES) + "reason"]
    for faults in dict.fromkeys(scenario.faults for scenario in outcomes):
        found = {route: outcomes.get(Scenario(route, faults)) for route in ROUTES}
        cells = [f"{one.seconds:5.2f} {one.status}" if one else "" for one in found.values()]
        reasons = dict.fromkeys(reason for one in found.values() if one for reason in one.reasons)
        ((peer, fault),) = faults or (("-", "none"),)
        rows.append(f"{peer:9} {fault:23}{''.join(f'{cell:12}' for cell in cells)}{', '.join(reasons)}")
    return "\n".join(row.rstrip() for row in rows)


def slowest(outcomes: Outcomes) -> str:
    """The slowest pairs of each route."""
    rows = []
    for route in ROUTES:
        found = [pair for pair in outcomes.items() if pair[0].route == route]
        found.sort(key=lambda pair: pair[1].seconds, reverse=True)
        rows += [f"\n{route}: {len(found)} pairs"] if found else []
        rows += [f"  {outcome}: {scenario.said}" for scenario, outcome in found[:SHOWN]]
    return "\n".join(rows)


def verdict(single: Outcomes, double: Outcomes) -> tuple[str, int]:
    """The last lines to print, and the exit status: 1 if a limit is reached or a status is unexpected."""
    worst, worst_pair = (max(one.seconds for one in found.values()) for found in (single, double))
    unexpected = [
        f"Status out of place: {scenario.route} {scenario.said}: {outcome}"
        for scenario, outcome in {**single, **double}.items()
        if outcome.status not in scenario.expected
    ]
    text = f"Worst single fault: {worst:.1f} s (limit {SINGLE_LIMIT:.0f}). "
    text += f"Worst pair: {worst_pair:.1f} s (limit {PAIR_LIMIT:.0f})."
    failed = bool(unexpected) or worst >= SINGLE_LIMIT or worst_pair >= PAIR_LIMIT
    return "\n".join([*unexpected, text]), int(failed)


def main() -> int:
    """Run every scenario and print the outcomes. Returns the exit status."""
    from tests.support.counted import cloud  # noqa: PLC0415 - the scenarios' processes need no emulators
    from tests.support.world import SECRET_KEY  # noqa: PLC0415 - likewise

    started = time.monotonic()
    peers = Peers(cloud(SECRET_KEY))
    peers.start()
    bench = Bench(peers)
    outcomes = bench.run([*singles(peers), *pairs(peers)])
    single = {scenario: outcome for scenario, outcome in outcomes.items() if len(scenario.faults) < 2}
    double = {scenario: outcome for scenario, outcome in outcomes.items() if len(scenario.faults) == 2}
    text, status = verdict(single, double)
    print(f"\n{table(single)}\n{slowest(double)}\n\n{text}\n{time.monotonic() - started:.0f} s in total")
    return status


if __name__ == "__main__":
    sys.exit(main())
