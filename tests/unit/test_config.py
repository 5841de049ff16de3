"""The configuration: complete and valid, or rejected."""

from __future__ import annotations

import pytest

from chalicelib import config
from chalicelib.address import Address
from chalicelib.config import ACCOUNTS_URL, API_URL, EVERY_SCOPE, Config, own_address
from chalicelib.errors import ConfigurationError

KEY = "0123456789abcdefghijklmnopqrstuv"
COMPLETE = {
    "SPOTIFY_CLIENT_ID": "id",
    "SPOTIFY_CLIENT_SECRET": "a client secret",
    "SECRET_KEY": KEY,
    "USERS_TABLE": "users",
}


def rejected(**changes: str) -> tuple[str, ...]:
    """The settings that are named when these changes are rejected."""
    with pytest.raises(ConfigurationError) as failure:
        Config({**COMPLETE, **changes})
    return failure.value.settings


def test_four_settings_are_enough() -> None:
    config = Config(COMPLETE)
    assert config.accounts_url == ACCOUNTS_URL
    assert config.api_url == API_URL
    assert config.scope == EVERY_SCOPE
    assert config.secret_keys == (KEY,)


def test_all_missing_settings_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as failure:
        Config({})
    assert failure.value.settings == tuple(sorted(COMPLETE))


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_blank_setting_counts_as_missing(name: str, blank: str) -> None:
    assert rejected(**{name: blank}) == (name,)


@pytest.mark.promise("K1")
@pytest.mark.parametrize(
    "key", ["aliens", "a" * 64, "0123456789abcdefghijklmnopqrstu", "changeme" * 4, f"{KEY},{KEY[::-1]}"]
)
def test_a_weak_key_is_rejected_as_key_and_as_fallback(key: str) -> None:
    assert rejected(SECRET_KEY=key) == ("SECRET_KEY",)
    if "," not in key:
        assert rejected(SECRET_KEY_FALLBACKS=f"{KEY},{key}") == ("SECRET_KEY_FALLBACKS",)


def test_fallback_keys_verify_and_only_the_secret_key_signs() -> None:
    older = KEY[::-1]
    config = Config({**COMPLETE, "SECRET_KEY_FALLBACKS": f" , {older} ,,"})
    assert config.secret_keys == (older, KEY), "itsdangerous signs with the last key"


@pytest.mark.promise("J3")
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
def test_a_simulator_url_must_be_on_loopback(name: str, url: str) -> None:
    if url.endswith("\n"):
        assert Config({**COMPLETE, name: url}), "white space around a value is ignored"
    else:
        assert rejected(**{name: url}) == (name,)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8001", "http://localhost:8001/", "http://[::1]:8001"])
def test_a_simulator_url_on_loopback_is_accepted(url: str) -> None:
    config = Config({**COMPLETE, "SPOTIFY_API_URL": url, "SPOTIFY_ACCOUNTS_URL": url})
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
    assert rejected(**{name: value}) == (name,)


@pytest.mark.promise("F3")
@pytest.mark.parametrize(
    "uri",
    [
        "https://login.example.com/callback",
        "https://login.example.com:8443/callback",
        "http://127.0.0.1:5000/callback",
        "http://localhost:5000/callback",
        "http://[::1]:5000/callback",
        "https://login.example.com/callback/callback",
        "https://login.example.com/v1.0/~me/callback",
        "https://login.example.com/a+b/$x!/callback",
        "https://xn--bcher-kva.example:65535/callback",
    ],
)
def test_a_redirect_uri_is_kept_byte_for_byte(uri: str) -> None:
    assert Address(*own_address({"SPOTIFY_REDIRECT_URI": uri})).redirect_uri == uri
    assert Config({**COMPLETE, "SPOTIFY_REDIRECT_URI": uri})


def test_the_host_of_a_redirect_uri_is_lowercased_and_its_path_is_not() -> None:
    uri = "HTTPS://Login.Example.COM/Spotify/callback"
    assert own_address({"SPOTIFY_REDIRECT_URI": uri}) == ("https://login.example.com", "/Spotify")


@pytest.mark.parametrize(
    "uri",
    [
        "http://login.example.com/callback",
        "https://login.example.com/",
        "https://login.example.com/callback?x=1",
        "https://login.example.com/callback#x",
        "https://login.example.com/callback/",
        "https://login.example.com/Callback",
        "https://user@login.example.com/callback",
        "https://log_in.example.com/callback",
        "https://login..example.com/callback",
        "https://-login.example.com/callback",
        "https://login.example.com:0/callback",
        "https://login.example.com:443/callback",
        "http://127.0.0.1:80/callback",
        "https://login.example.com:65536/callback",
        "https://login.example.com:70000/callback",
        "https://login.example.com:/callback",
        "https://login.example.com/../callback",
        "https://login.example.com/./callback",
        "https://login.example.com//callback",
        "https://login.example.com\\.evil.example/callback",
        "https:///callback",
        "https:/callback",
        "/callback",
        "ftp://127.0.0.1/callback",
        "http://127.0.0.1:٥٠٠٠/callback",
        "https://login.example.com/a\n/callback",
    ],
)
def test_an_invalid_redirect_uri_is_named_with_all_other_invalid_settings(uri: str) -> None:
    assert rejected(SPOTIFY_REDIRECT_URI=uri) == ("SPOTIFY_REDIRECT_URI",)
    with pytest.raises(ConfigurationError) as failure:
        own_address({**COMPLETE, "SPOTIFY_REDIRECT_URI": uri, "SECRET_KEY": "aliens"})
    assert failure.value.settings == ("SECRET_KEY", "SPOTIFY_REDIRECT_URI")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"SECRET_KEY": KEY + "\udcff"}, "SECRET_KEY"),
        ({"SECRET_KEY_FALLBACKS": KEY + "\udcff"}, "SECRET_KEY_FALLBACKS"),
        ({"AWS_ENDPOINT_URL": "127.0.0.1:8000"}, "AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "localhost"}, "AWS_ENDPOINT_URL_DYNAMODB"),
        ({"AWS_ACCESS_KEY_ID": "key"}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:99999"}, "AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:8000 "}, "AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL": "http://["}, "AWS_ENDPOINT_URL"),
    ],
)
def test_a_setting_that_would_fail_after_the_consent_is_rejected_before_it(
    settings: dict[str, str], named: str
) -> None:
    assert rejected(**settings) == (named,)
    complete = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:8000",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    assert Config({**COMPLETE, **complete})


@pytest.mark.parametrize(
    "usable",
    [
        {"AWS_ENDPOINT_URL": "HTTP://127.0.0.1:8000/path"},
        {"AWS_ENDPOINT_URL_DYNAMODB": "https://[::1]:8000"},
        {"AWS_SECRET_ACCESS_KEY": "botocore ignores it without an ID"},
    ],
)
def test_an_aws_setting_that_botocore_accepts_is_accepted(usable: dict[str, str]) -> None:
    assert Config({**COMPLETE, **usable})


def test_secrets_do_not_appear_in_the_repr_or_in_errors() -> None:
    config = Config({**COMPLETE, "SECRET_KEY_FALLBACKS": KEY[::-1]})
    for secret in (COMPLETE["SPOTIFY_CLIENT_SECRET"], KEY, KEY[::-1]):
        assert secret not in repr(config)
    with pytest.raises(ConfigurationError) as failure:
        Config({**COMPLETE, "SECRET_KEY": "aliens"})
    assert "aliens" not in repr(failure.value) + str(failure.value)


@pytest.mark.promise("A5")
@pytest.mark.parametrize("scope", ["NONE", "None user-read-email", "none none"])
def test_none_is_no_scope_among_others(scope: str) -> None:
    assert "SPOTIFY_SCOPE" in config.faults({"SPOTIFY_SCOPE": scope})
    assert "SPOTIFY_SCOPE" not in config.faults({"SPOTIFY_SCOPE": " none "})
