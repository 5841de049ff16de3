"""The parsing of the profiles that Spotify can send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.errors import ProfileInvalid
from chalicelib.profile import Profile

SIMULATOR = "http://127.0.0.1:8001"


def parse(**profile: Any) -> Profile:
    return Profile.parse(json.dumps(profile))


def test_account_id_is_the_key_if_spotify_sends_one_and_an_id_is_enough() -> None:
    profile = parse(id="test-user")
    assert profile.account_key == "id:test-user"
    assert profile.display_name is profile.picture is None
    assert parse(id="test-user", account_id="immutable").account_key == "immutable"
    for absent in (None, ""):
        assert parse(id="test-user", account_id=absent).account_key == "id:test-user"


def test_the_whole_profile_is_kept_as_spotify_sent_it() -> None:
    text = '{"id": "x", "a": 1.10, "b": 1e400, "c": 12345678901234567890123, "d": "\\ud83d"}'
    assert Profile.parse(text).text == text


@pytest.mark.parametrize("value", [7, True, [], "x" * 2049, "é" * 1025, "\ud800"])
def test_an_id_or_account_id_that_is_not_text_or_cannot_be_a_key_is_rejected(value: Any) -> None:
    for profile in ({"id": value, "account_id": "fine"}, {"id": "fine", "account_id": value}):
        with pytest.raises(ProfileInvalid):
            parse(**profile)


def test_the_length_limit_of_a_key_includes_its_prefix() -> None:
    assert parse(id="x" * 2045).id == "x" * 2045
    with pytest.raises(ProfileInvalid):
        parse(id="x" * 2046)


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "[" * 100_000, "9" * 5000])
def test_text_that_is_not_a_profile_is_rejected(text: str) -> None:
    with pytest.raises(ProfileInvalid):
        Profile.parse(text)


@pytest.mark.parametrize(
    ("url", "shown", "with_simulator"),
    [
        ("https://i.scdn.co/image/ab", True, True),
        ("https://platform-lookaside.fbsbx.com/x?y=1", True, True),
        ("http://i.scdn.co/image/ab", False, False),
        ("https://evil.example/x", False, False),
        ("https://i.scdn.co@evil.example/x", False, False),
        ("javascript:alert(1)", False, False),
        ("https://i.scdn.co/a b\n", False, False),
        (f"{SIMULATOR}/_simulator/pictures/pia.svg", False, True),
        (f"{SIMULATOR}0/pia.svg", False, False),
    ],
)
def test_only_pictures_on_hosts_of_spotify_or_of_the_simulator_in_use_are_shown(
    url: str, shown: bool, with_simulator: bool
) -> None:
    text = json.dumps({"id": "x", "images": [{"url": url}]})
    assert (Profile.parse(text).picture == url) is shown
    assert (Profile.parse(text, SIMULATOR).picture == url) is with_simulator


def test_the_first_usable_picture_is_shown() -> None:
    images = ["odd", {}, {"url": 7}, {"url": "https://i.scdn.co/1"}, {"url": "https://i.scdn.co/2"}]
    assert parse(id="x", images=images).picture == "https://i.scdn.co/1"
