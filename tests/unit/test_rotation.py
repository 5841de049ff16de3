"""Changing the key that signs, while instances read it whenever they read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib import parameters
from chalicelib.deadline import SECONDS
from deploy import secrets
from deploy.account import Account
from deploy.secrets import FALLBACKS, KEY, Secrets
from deploy.stage import Stage, Stop


@pytest.fixture
def stored(settings: dict[str, str]) -> Iterator[Secrets]:
    """A stage with a key."""
    with mock_aws():
        account = Account("123456789012", "eu-west-1", "somebody", boto3.Session(region_name="eu-west-1"))
        made = Secrets(Stage.load("dev"), account)
        list(made.store({}))
        yield made


def keys(stored: Secrets) -> tuple[str, list[str]]:
    """The key that signs, and those that are accepted besides."""
    values = stored.read()
    fallbacks = values[FALLBACKS].value if FALLBACKS in values else ""
    return values[KEY].value, [key for key in fallbacks.split(",") if key]


def test_the_wait_covers_an_instance_that_read_just_before_and_then_failed_once() -> None:
    worst = parameters.FRESH + parameters.READ_SECONDS + parameters.RETRY + parameters.READ_SECONDS
    assert worst + SECONDS < secrets.KNOWN_EVERYWHERE, "and a request that had begun with the old values"


def quietly(_: str) -> None:
    """Say nothing."""


def test_a_key_is_made_once_and_kept(stored: Secrets) -> None:
    key, fallbacks = keys(stored)
    assert (len(key), fallbacks) == (64, [])
    assert list(stored.store({"SPOTIFY_CLIENT_ID": "0" * 32})) == ["SPOTIFY_CLIENT_ID"]
    assert list(stored.store({"SPOTIFY_CLIENT_ID": "0" * 32})) == []
    assert keys(stored) == (key, [])


def test_every_instance_accepts_a_key_before_any_signs_with_it(stored: Secrets) -> None:
    old, _ = keys(stored)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        signing, accepted = keys(stored)
        assert signing == old
        assert accepted[1:] == [old], "those who read between two writes find the old one too"

    stored.rotate(quietly, sleep)
    new, accepted = keys(stored)
    assert (new != old, accepted) == (True, [old])
    assert waits == [secrets.KNOWN_EVERYWHERE]
    assert secrets.KNOWN_EVERYWHERE > 300, "instances read every five minutes"


class Interrupted(Exception):
    pass


def test_broken_off_while_waiting_it_makes_no_other_key(stored: Secrets) -> None:
    old, _ = keys(stored)

    def interrupt(_: float) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        stored.rotate(quietly, interrupt)
    _, (new, *_) = keys(stored)
    waits: list[float] = []
    stored.rotate(quietly, waits.append)
    assert keys(stored) == (new, [old])
    assert waits[0] <= secrets.KNOWN_EVERYWHERE


@pytest.mark.parametrize("writes", [1, 2])
def test_broken_off_between_two_writes_it_goes_on_from_there(
    stored: Secrets, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    old, _ = keys(stored)
    write, left = stored.write, iter(range(writes))

    def fail_later(name: str, value: str) -> None:
        if next(left, None) is None:
            raise Interrupted
        write(name, value)

    monkeypatch.setattr(stored, "write", fail_later)
    with pytest.raises(Interrupted):
        stored.rotate(quietly, lambda _: None)
    monkeypatch.setattr(stored, "write", write)
    assert old in (keys(stored)[0], *keys(stored)[1])
    said: list[Any] = []
    stored.rotate(said.append, lambda _: None)
    new, accepted = keys(stored)
    assert (new != old, accepted) == (True, [old])
    assert "broken off" in said[0]


def test_the_last_keys_are_accepted_and_no_more(stored: Secrets) -> None:
    made = [keys(stored)[0]]
    for _ in range(secrets.MOST_FALLBACKS + 3):
        stored.rotate(quietly, lambda _: None)
        made.append(keys(stored)[0])
    assert len(set(made)) == len(made)
    assert keys(stored) == (made[-1], made[-2 : -2 - secrets.MOST_FALLBACKS : -1])


def test_ending_all_sessions_forgets_every_key(stored: Secrets) -> None:
    old, _ = keys(stored)
    stored.rotate(quietly, lambda _: None)
    stored.end_sessions()
    new, accepted = keys(stored)
    assert (new == old, accepted) == (False, [])


def test_what_was_never_made_cannot_be_rotated(stored: Secrets) -> None:
    stored.delete_all()
    with pytest.raises(Stop) as stop:
        stored.rotate(quietly)
    assert "make deploy STAGE=dev" in stop.value.problems[0].remedy
