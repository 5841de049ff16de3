"""Rotation of the signing key, while instances read the keys at different times."""

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
        account = Account("123456789012", "eu-west-1", "operator", boto3.Session(region_name="eu-west-1"))
        secrets_of_dev = Secrets(Stage.load("dev"), account)
        secrets_of_dev.create()
        yield secrets_of_dev


def keys(stored: Secrets) -> tuple[str, list[str]]:
    """The key that signs, and the fallbacks."""
    values = stored.values()
    fallbacks = values.get(FALLBACKS, "")
    return values[KEY], [key for key in fallbacks.split(",") if key]


def test_the_wait_covers_an_instance_that_read_just_before_and_then_failed_once() -> None:
    worst = parameters.FRESH + parameters.READ_SECONDS + parameters.RETRY + parameters.READ_SECONDS
    assert worst + SECONDS < secrets.KNOWN_EVERYWHERE, "including a request that began with the old values"


def test_a_rotation_ends_if_all_keys_are_replaced_while_it_waits(stored: Secrets) -> None:
    def replaced(_: float) -> None:
        stored.end_sessions()

    with pytest.raises(Stop) as stop:
        stored.rotate(quietly, replaced)
    assert "The keys were replaced meanwhile" in stop.value.problems[0].what
    assert keys(stored)[1] == [], "the old key, which may be known to others, stays out"


def quietly(_: str) -> None:
    """Print nothing."""


def test_every_instance_accepts_a_key_before_any_signs_with_it(stored: Secrets) -> None:
    old, _ = keys(stored)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        signing, accepted = keys(stored)
        assert signing == old
        assert accepted[1:] == [old], "an instance that reads between two writes still accepts the old key"

    stored.rotate(quietly, sleep)
    new, accepted = keys(stored)
    assert (new != old, accepted) == (True, [old])
    assert waits == [secrets.KNOWN_EVERYWHERE]
    assert secrets.KNOWN_EVERYWHERE > 300, "instances read every five minutes"


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("writes", [1, 2])
def test_a_rotation_interrupted_between_two_writes_continues(
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
    printed: list[Any] = []
    stored.rotate(printed.append, lambda _: None)
    new, accepted = keys(stored)
    assert (new != old, accepted) == (True, [old])
    assert "interrupted" in printed[0]


def test_only_the_most_recent_keys_are_accepted(stored: Secrets) -> None:
    created = [keys(stored)[0]]
    for _ in range(secrets.MOST_FALLBACKS + 3):
        stored.rotate(quietly, lambda _: None)
        created.append(keys(stored)[0])
    assert len(set(created)) == len(created)
    assert keys(stored) == (created[-1], created[-2 : -2 - secrets.MOST_FALLBACKS : -1])
