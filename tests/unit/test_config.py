"""The configuration: complete and valid, or rejected."""

from __future__ import annotations

import pytest

from chalicelib import config
from chalicelib.address import Address
from chalicelib.config import ACCOUNTS_URL, API_URL, EVERY_SCOPE, Config, Settings
from chalicelib.errors import ConfigurationError

KEY = "0123456789abcdefghijklmnopqrstuv"
COMPLETE = {
    "SPOTIFY_CLIENT_ID": "id",
    "SPOTIFY_CLIENT_SECRET": "a client secret",
    "SECRET_KEY": KEY,
    "USERS_TABLE": "users",
}


def rejected(settings: dict[str, str]) -> tuple[str, ...]:
    """The settings that are named when these are rejected."""
    with pytest.raises(ConfigurationError) as failure:
        Config(settings)
    return failure.value.settings


def test_four_settings_are_enough_and_all_that_are_missing_or_blank_are_named_at_once() -> None:
    config = Config(COMPLETE)
    assert (config.accounts_url, config.api_url, config.scope) == (ACCOUNTS_URL, API_URL, EVERY_SCOPE)
    for blank in ("", " ", "\t\n"):
        assert rejected(dict.fromkeys(COMPLETE, blank)) == rejected({}) == tuple(sorted(COMPLETE))


@pytest.mark.promise("K1")
@pytest.mark.parametrize("key", ["aliens", "a" * 64, KEY[1:], f"{KEY},{KEY[::-1]}", KEY + "\udcff"])
def test_a_weak_key_is_rejected_as_key_and_as_fallback(key: str) -> None:
    assert rejected({**COMPLETE, "SECRET_KEY": key}) == ("SECRET_KEY",)
    if "," not in key:
        fallbacks = {"SECRET_KEY_FALLBACKS": f"{KEY},{key}"}
        assert rejected({**COMPLETE, **fallbacks}) == ("SECRET_KEY_FALLBACKS",)


@pytest.mark.promise("J3")
@pytest.mark.parametrize("name", ["SPOTIFY_ACCOUNTS_URL", "SPOTIFY_API_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "https://accounts.spotify.com.evil.example",
        "http://accounts.spotify.com",
        "https://127.0.0.1:8001",
        "http://127.0.0.1:8001/path",
        "http://127.0.0.1@evil.example",
        "127.0.0.1:8001",
    ],
)
def test_a_simulator_url_must_be_on_loopback(name: str, url: str) -> None:
    assert rejected({**COMPLETE, name: url}) == (name,)
    assert Config({**COMPLETE, name: "http://[::1]:8001/\n"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPOTIFY_CLIENT_ID", "é"),
        ("SPOTIFY_CLIENT_SECRET", "a\nb"),
        ("SPOTIFY_SCOPE", 'user-"read"'),
        ("USERS_TABLE", "no spaces"),
        ("USERS_TABLE", "ab"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "localhost"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:99999"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:8000 "),
        ("AWS_ENDPOINT_URL", "http://["),
    ],
)
def test_a_malformed_setting_is_named(name: str, value: str) -> None:
    assert rejected({**COMPLETE, name: value}) == (name,)


def test_an_aws_setting_is_accepted_or_rejected_as_by_botocore() -> None:
    assert rejected({**COMPLETE, "AWS_ACCESS_KEY_ID": "a"}) == ("AWS_SECRET_ACCESS_KEY",)
    assert Config({**COMPLETE, "AWS_SECRET_ACCESS_KEY": "ignored without an ID"})
    for url in ("HTTP://127.0.0.1:8000/path", "https://[::1]:8000"):
        assert Config({**COMPLETE, "AWS_ENDPOINT_URL": url})


@pytest.mark.promise("F3")
@pytest.mark.parametrize(
    "uri",
    [
        "https://login.example.com/callback",
        "https://login.example.com/callback/callback",
        "https://login.example.com/v1.0/~me/a+b/$x!/callback",
        "https://xn--bcher-kva.example:65535/callback",
        "http://localhost:5000/callback",
        "http://[::1]:5000/callback",
    ],
)
def test_a_redirect_uri_is_kept_byte_for_byte_but_for_the_case_of_its_host(uri: str) -> None:
    assert Address(*Settings({"SPOTIFY_REDIRECT_URI": uri}).own_address).redirect_uri == uri
    lowered = Settings(
        {"SPOTIFY_REDIRECT_URI": uri.replace("http", "HTTP").replace("login", "Login")}
    ).own_address
    assert Address(*lowered).redirect_uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "http://login.example.com/callback",
        "https://login.example.com/callback?x=1",
        "https://user@login.example.com/callback",
        "https://log_in.example.com/callback",
        "https://-login.example.com/callback",
        "https://login.example.com:443/callback",
        "http://127.0.0.1:80/callback",
        "https://login.example.com:65536/callback",
        "https://login.example.com/../callback",
        "https://login.example.com\\.evil.example/callback",
        "/callback",
        "http://127.0.0.1:٥٠٠٠/callback",
        "https://login.example.com/a\n/callback",
    ],
)
def test_an_invalid_redirect_uri_is_named_with_all_other_invalid_settings(uri: str) -> None:
    assert rejected({**COMPLETE, "SPOTIFY_REDIRECT_URI": uri}) == ("SPOTIFY_REDIRECT_URI",)
    with pytest.raises(ConfigurationError) as failure:
        _ = Settings({**COMPLETE, "SPOTIFY_REDIRECT_URI": uri, "SECRET_KEY": "aliens"}).own_address
    assert failure.value.settings == ("SECRET_KEY", "SPOTIFY_REDIRECT_URI")


@pytest.mark.promise("A5")
@pytest.mark.parametrize("scope", ["NONE", "None user-read-email", "none none"])
def test_none_is_no_scope_among_others(scope: str) -> None:
    assert "SPOTIFY_SCOPE" in config.faults({"SPOTIFY_SCOPE": scope})
    assert "SPOTIFY_SCOPE" not in config.faults({"SPOTIFY_SCOPE": " none "})
