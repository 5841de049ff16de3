"""The deadline holds, whichever phase of a call is slow."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from app import app
from chalicelib import aws, parameters, users
from chalicelib.claims import Claims
from chalicelib.deadline import SECONDS, STORAGE_SECONDS, Deadline
from chalicelib.errors import (
    ConfigurationError,
    SpotifyRateLimited,
    SpotifyUnavailable,
    UsersUnavailable,
)
from chalicelib.parameters import Parameters
from chalicelib.process import Process
from chalicelib.spotify import Spotify
from tests.support.faults import DRIPS, KEEP, Behaviour, FaultServer, garbage, reset, response
from tests.support.gateway import GatewayVisitor
from tests.support.table import Table
from tests.unit.test_spotify import client

TOKEN = {"access_token": "BQ-token", "token_type": "Bearer"}

LATE = 1.0
"""The tolerance in seconds, for a loaded machine."""


def timed(call: Callable[[], Any]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


@pytest.mark.promise("J1")
@pytest.mark.parametrize("phase", DRIPS)
def test_a_dynamodb_that_sends_too_slowly_is_reported_as_unavailable(
    visitor: GatewayVisitor, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    callback = visitor.agree(visitor.begin())
    monkeypatch.setenv("AWS_ENDPOINT_URL", FaultServer([DRIPS[phase]]).serve())
    monkeypatch.setenv("USERS_TABLE", "another-table")  # so that the app creates a new client
    monkeypatch.setattr(aws, "CALL_SECONDS", 0.5)
    attempts = 1 + len(aws.PAUSES)
    assert timed(lambda: visitor.get(callback)) < attempts * aws.CALL_SECONDS + sum(aws.PAUSES) + LATE
    assert log[-1]["reason"] == "users_unavailable"


@pytest.mark.promise("J1")
@pytest.mark.parametrize("phase", DRIPS)
def test_a_parameter_store_that_sends_too_slowly_is_a_configuration_error(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", FaultServer([DRIPS[phase]]).serve())
    monkeypatch.setattr(aws, "CALL_SECONDS", 0.5)
    monkeypatch.setattr(parameters, "READ_SECONDS", 1.0)
    store = Parameters("/spotify-login/dev", partial(aws.Clients().get, "ssm"))

    def read() -> None:
        with pytest.raises(ConfigurationError):
            store.values(Deadline())

    assert timed(read) < parameters.READ_SECONDS + LATE


def test_a_client_that_takes_too_long_to_create_is_a_failed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore looks for credentials then, which can be at another server."""
    monkeypatch.setattr(aws, "CALL_SECONDS", 0.5)

    def find() -> None:
        deadline = Deadline(time.monotonic() + aws.CALL_SECONDS + 0.5)
        slow = users.Users(lambda: time.sleep(60), "users", deadline)
        with pytest.raises(UsersUnavailable):
            slow.find(Claims("key", "login", "session", 0, 0))

    assert timed(find) < aws.CALL_SECONDS + 0.5 + LATE


@pytest.mark.promise("J1")
def test_no_call_begins_after_the_deadline() -> None:
    begun = threading.Event()
    with pytest.raises(TimeoutError):
        Deadline(time.monotonic()).run(begun.set)
    assert not begun.wait(0.2)


@pytest.mark.promise("J1")
def test_an_abandoned_call_ends_alone_and_delays_no_later_call() -> None:
    release, threads = threading.Event(), list[threading.Thread]()

    def wait() -> None:
        threads.append(threading.current_thread())
        release.wait()

    with pytest.raises(TimeoutError):
        Deadline(time.monotonic() + 0.1).run(wait)
    soon = Deadline(time.monotonic() + 5)
    first = soon.run(threading.current_thread)
    assert soon.run(threading.current_thread) is first, "starting a thread takes time"
    release.set()
    threads[0].join(5)
    assert not threads[0].is_alive()
    assert first.is_alive()


@pytest.mark.promise("J1")
def test_a_thread_keeps_nothing_of_the_call_that_it_made() -> None:
    class Secret:
        pass

    secret = Secret()
    kept = weakref.ref(secret)
    Deadline().run(partial(id, secret))
    del secret
    end = time.monotonic() + 5
    while kept() and time.monotonic() < end:
        time.sleep(0.01)
    assert kept() is None


@pytest.mark.promise("J2")
def test_no_retry_is_scheduled_past_the_deadline() -> None:
    server = FaultServer([response(429, b"", Retry_After="2")])
    url = server.serve()

    def fetch() -> None:
        with pytest.raises(SpotifyRateLimited):
            client(url, Deadline(time.monotonic() + 1.5)).fetch_profile("token")

    assert timed(fetch) < 1.0
    assert len(server.requests) == 1


def test_spotify_times_out_before_the_time_reserved_for_storage(
    visitor: GatewayVisitor, table: Table, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spotify's calls end early enough to leave time for storing the login."""
    callback = visitor.agree(visitor.begin())
    monkeypatch.setenv("SPOTIFY_API_URL", FaultServer([DRIPS["no response"]]).serve())
    monkeypatch.setattr("chalicelib.deadline.SECONDS", STORAGE_SECONDS + 1)
    assert timed(lambda: visitor.get(callback)) < 1 + LATE
    assert (log[-1]["reason"], log[-1]["status"]) == ("spotify_timeout", 504)
    assert STORAGE_SECONDS > aws.CALL_SECONDS


@pytest.mark.promise("J1")
def test_the_deadline_starts_before_the_settings_are_read(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
) -> None:
    """Reading the parameters counts towards the 20 seconds."""
    seen: list[float] = []

    class Watched(Parameters):
        def values(self, deadline: Deadline) -> Any:
            seen.append(deadline.left())
            return {}

    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "spotify-login-dev")
    monkeypatch.setenv("PARAMETER_PATH", "/spotify-login/dev")
    monkeypatch.setattr(parameters, "Parameters", Watched)
    monkeypatch.setattr(app, "process", Process())
    assert GatewayVisitor().get("/login").status == 307
    assert SECONDS - 1 < seen[0] <= SECONDS


class TestKeepAliveConnections:
    """Lambda freezes an instance between requests. Its connections may have been dropped when it resumes."""

    def exchange(self, spotify: Spotify) -> str:
        return spotify.exchange("code", "verifier", "https://x.example/callback").access_token

    def test_a_dropped_keep_alive_connection_does_not_fail_the_next_login(self) -> None:
        server = FaultServer([response(200, TOKEN, KEEP), reset, response(200, TOKEN)])
        spotify = client(server.serve())
        assert self.exchange(spotify) == self.exchange(spotify) == "BQ-token"
        assert len(server.requests) == 3

    @pytest.mark.parametrize("behaviours", [("close", reset), (KEEP, garbage)])
    def test_a_code_is_resent_only_if_a_reused_connection_breaks_before_a_response(
        self, behaviours: tuple[str, Behaviour]
    ) -> None:
        connection, fault = behaviours
        server = FaultServer([response(200, TOKEN, connection), fault, response(200, TOKEN)])
        spotify = client(server.serve())
        self.exchange(spotify)
        with pytest.raises(SpotifyUnavailable):
            self.exchange(spotify)
        assert len(server.requests) == 2
