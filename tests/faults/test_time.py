"""The deadline holds whatever phase of whichever call a server is slow in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import aws, parameters, services, transport
from chalicelib.deadline import SECONDS, STORAGE_SECONDS, Deadline
from chalicelib.errors import ConfigurationError, SpotifyRateLimited, SpotifyTimeout, SpotifyUnavailable
from chalicelib.parameters import Parameters
from chalicelib.spotify import Spotify
from chalicelib.transport import Transport
from tests.support.faults import DRIPS, FaultServer, answer, full_house, scripted
from tests.support.gateway import GatewayVisitor
from tests.support.table import Table
from tests.unit.test_spotify import client

LATE = 1.0
"""Seconds by which a loaded machine may be late."""


def timed(call: Callable[[], Any]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


@pytest.mark.parametrize("phase", DRIPS)
@pytest.mark.parametrize("setting", ["SPOTIFY_ACCOUNTS_URL", "SPOTIFY_API_URL"])
def test_a_spotify_that_drips_is_a_timeout(
    visitor: GatewayVisitor,
    table: Table,
    log: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    setting: str,
) -> None:
    callback = visitor.agree(visitor.begin())
    monkeypatch.setenv(setting, FaultServer([DRIPS[phase]]).serve())
    monkeypatch.setattr(transport, "READ_SECONDS", 1.0)
    limit = transport.CONNECT_SECONDS + 1.0
    assert timed(lambda: visitor.get(callback)) < limit + LATE
    assert log[-1]["reason"] == "spotify_timeout"
    assert table.items() == []


@pytest.mark.parametrize("phase", DRIPS)
def test_a_dynamodb_that_drips_is_unavailable(
    visitor: GatewayVisitor, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    callback = visitor.agree(visitor.begin())
    monkeypatch.setenv("AWS_ENDPOINT_URL", FaultServer([DRIPS[phase]]).serve())
    monkeypatch.setenv("USERS_TABLE", "another-table")  # a client of its own
    monkeypatch.setattr(aws, "CALL_SECONDS", 1.0)
    attempts = 1 + len(aws.PAUSES)
    assert timed(lambda: visitor.get(callback)) < attempts * aws.CALL_SECONDS + sum(aws.PAUSES) + LATE
    assert log[-1]["reason"] == "users_unavailable"


@pytest.mark.parametrize("phase", DRIPS)
def test_a_parameter_store_that_drips_is_a_configuration_error(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", FaultServer([DRIPS[phase]]).serve())
    store = Parameters("/spotify-login/dev")

    def read() -> None:
        with pytest.raises(ConfigurationError):
            store.values(Deadline())

    assert timed(read) < parameters.READ_SECONDS + LATE


def test_connecting_takes_no_longer_than_the_deadline() -> None:
    def send() -> None:
        with pytest.raises(SpotifyTimeout):
            Transport().send("GET", full_house(), Deadline(time.monotonic() + 0.5))

    assert timed(send) < 0.5 + LATE


def test_a_wait_that_would_outlast_the_deadline_is_not_begun() -> None:
    server = FaultServer([answer(429, b"", Retry_After="2")])
    url = server.serve()

    def fetch() -> None:
        with pytest.raises(SpotifyRateLimited):
            client(url, Deadline(time.monotonic() + 1.5)).fetch_profile("token")

    assert timed(fetch) < 1.0
    assert server.asked == 1


def test_a_spotify_that_takes_all_the_time_is_to_blame_and_not_the_storage(
    visitor: GatewayVisitor, table: Table, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its part of the deadline ends while a login can still be stored."""
    callback = visitor.agree(visitor.begin())
    monkeypatch.setenv("SPOTIFY_API_URL", FaultServer([DRIPS["silence"]]).serve())
    monkeypatch.setattr("chalicelib.deadline.SECONDS", STORAGE_SECONDS + 1)
    assert timed(lambda: visitor.get(callback)) < 1 + LATE
    assert (log[-1]["reason"], log[-1]["status"]) == ("spotify_timeout", 504)
    assert STORAGE_SECONDS > aws.CALL_SECONDS


def test_the_deadline_begins_before_the_settings_are_read(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
) -> None:
    """A refresh of the parameters takes its time from the same 20 seconds."""
    seen: list[float] = []

    class Watched(Parameters):
        def values(self, deadline: Deadline) -> Any:
            seen.append(deadline.left())
            return {}

    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "spotify-login-dev")
    monkeypatch.setenv("PARAMETER_PATH", "/spotify-login/dev")
    monkeypatch.setattr(services, "_parameters", Watched)
    visitor = GatewayVisitor()
    assert visitor.get("/login").status == 500
    assert SECONDS - 1 < seen[0] <= SECONDS


class TestConnectionsThatWereKeptAlive:
    """Lambda freezes an instance between requests; what it comes back to may be dead without a sign."""

    def exchange(self, spotify: Spotify) -> str:
        return spotify.exchange("code", "verifier", "https://x.example/callback")

    def test_a_dead_one_does_not_fail_the_next_login(self) -> None:
        url, asked = scripted(["ok reset", "ok"])
        spotify = client(url)
        assert self.exchange(spotify) == self.exchange(spotify) == "BQ-token"
        assert asked == ["ok", "reset", "ok"]

    def test_a_new_one_that_breaks_is_not_tried_again(self) -> None:
        """The code may have arrived, and it works only once."""
        url, asked = scripted(["reset", "ok"])
        with pytest.raises(SpotifyUnavailable):
            self.exchange(client(url))
        assert asked == ["reset"]

    @pytest.mark.parametrize("script", [["last", "reset", "ok"], ["ok garbage", "ok"]])
    def test_only_a_connection_that_was_kept_and_broke_without_a_byte_counts_as_dead(
        self, script: list[str]
    ) -> None:
        url, asked = scripted(script)
        spotify = client(url)
        self.exchange(spotify)
        with pytest.raises(SpotifyUnavailable):
            self.exchange(spotify)
        assert len(asked) == 2
