"""Complete or refused."""

from __future__ import annotations

import pytest

from chalicelib.config import ACCOUNTS_URL, API_URL, EVERY_SCOPE, Config
from chalicelib.errors import ConfigurationError

KEY = "0123456789abcdefghijklmnopqrstuv"
COMPLETE = {
    "SPOTIFY_CLIENT_ID": "id",
    "SPOTIFY_CLIENT_SECRET": "hush, a client secret",
    "SECRET_KEY": KEY,
    "USERS_TABLE": "users",
}


def fault(**changes: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as failure:
        Config.from_mapping({**COMPLETE, **changes})
    return failure.value.settings


def test_four_settings_are_enough() -> None:
    config = Config.from_mapping(COMPLETE)
    assert config.accounts_url == ACCOUNTS_URL
    assert config.api_url == API_URL
    assert config.scope == EVERY_SCOPE
    assert config.secret_keys == (KEY,)


def test_every_missing_setting_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as failure:
        Config.from_mapping({})
    assert failure.value.settings == tuple(sorted(COMPLETE))


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_blank_setting_counts_as_missing(name: str, blank: str) -> None:
    assert fault(**{name: blank}) == (name,)


@pytest.mark.parametrize(
    "key", ["aliens", "a" * 64, "0123456789abcdefghijklmnopqrstu", "changeme" * 4, f"{KEY},{KEY[::-1]}"]
)
def test_a_weak_key_is_refused_as_key_and_as_fallback(key: str) -> None:
    assert fault(SECRET_KEY=key) == ("SECRET_KEY",)
    if "," not in key:
        assert fault(SECRET_KEY_FALLBACKS=f"{KEY},{key}") == ("SECRET_KEY_FALLBACKS",)


def test_fallbacks_verify_and_the_key_signs() -> None:
    older = KEY[::-1]
    config = Config.from_mapping({**COMPLETE, "SECRET_KEY_FALLBACKS": f" , {older} ,,"})
    assert config.secret_keys == (older, KEY), "itsdangerous signs with the last one"


@pytest.mark.parametrize("name", ["SPOTIFY_ACCOUNTS_URL", "SPOTIFY_API_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "https://accounts.spotify.com.evil.example",
        "http://accounts.spotify.com",
        "http://simulator.example:8001",
        "https://127.0.0.1:8001",
        "http://127.0.0.1:8001/path",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1:8001\n",
        "127.0.0.1:8001",
    ],
)
def test_a_simulator_can_only_be_on_this_machine(name: str, url: str) -> None:
    if url.endswith("\n"):
        assert Config.from_mapping({**COMPLETE, name: url}), "white space around a setting is dropped"
    else:
        assert fault(**{name: url}) == (name,)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8001", "http://localhost:8001/", "http://[::1]:8001"])
def test_a_simulator_on_this_machine_is_taken(url: str) -> None:
    config = Config.from_mapping({**COMPLETE, "SPOTIFY_API_URL": url, "SPOTIFY_ACCOUNTS_URL": url})
    assert config.api_url == config.accounts_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPOTIFY_CLIENT_ID", "é"),
        ("SPOTIFY_CLIENT_SECRET", "a\nb"),
        ("SPOTIFY_SCOPE", 'user-"read"'),
        ("SPOTIFY_SCOPE", "user-read-email,user-read-private\u00e9"),
        ("USERS_TABLE", "no spaces"),
        ("USERS_TABLE", "ab"),
    ],
)
def test_a_malformed_setting_is_named(name: str, value: str) -> None:
    assert fault(**{name: value}) == (name,)


def test_secrets_stay_out_of_the_repr_and_of_errors() -> None:
    config = Config.from_mapping({**COMPLETE, "SECRET_KEY_FALLBACKS": KEY[::-1]})
    for secret in (COMPLETE["SPOTIFY_CLIENT_SECRET"], KEY, KEY[::-1]):
        assert secret not in repr(config)
    with pytest.raises(ConfigurationError) as failure:
        Config.from_mapping({**COMPLETE, "SECRET_KEY": "aliens"})
    assert "aliens" not in repr(failure.value) + str(failure.value)
