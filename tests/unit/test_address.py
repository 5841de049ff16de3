"""Where the app lives."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.address import Address, from_redirect_uri, resolve
from chalicelib.errors import BadRequest, ConfigurationError


def at_gateway(path: str, route: str, domain: str = "abc.execute-api.eu-west-1.amazonaws.com") -> Address:
    context = {"domainName": domain, "path": path, "resourcePath": route}
    return resolve(context, "evil.example", "", on_lambda=True)


@pytest.mark.parametrize(
    ("path", "route", "base"),
    [
        ("/api/login", "/login", "/api"),
        ("/api/login/", "/login", "/api"),
        ("/api/", "/", "/api"),
        ("/api", "/", "/api"),
        ("/", "/", ""),
        ("/login", "/login", ""),
        ("/auth/v1.0/login", "/login", "/auth/v1.0"),
        ("/login/login", "/login", "/login"),
    ],
)
def test_the_base_path_is_what_stands_before_the_route(path: str, route: str, base: str) -> None:
    address = at_gateway(path, route)
    assert address.url("/login") == f"https://abc.execute-api.eu-west-1.amazonaws.com{base}/login"
    assert address.redirect_uri.endswith(f"{base}/callback")
    assert address.secure


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/%6cogin", "/login"),
        ("/api/../login", "/login"),
        ("/./login", "/login"),
        ("//evil.example/login", "/login"),
        ("/a b/login", "/login"),
        ("/api\r\n/login", "/login"),
        ("/api/logout", "/login"),
        ("/é/login", "/login"),
    ],
)
def test_a_path_that_has_no_place_in_a_link_is_refused(path: str, route: str) -> None:
    with pytest.raises(BadRequest):
        at_gateway(path, route)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("localhost:5001", "http://127.0.0.1:5001"),
        ("LOCALHOST:5001", "http://127.0.0.1:5001"),
        ("[::1]:5001", "http://127.0.0.1:5001"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("", "http://127.0.0.1:5000"),
        ("evil.example:5001", "http://127.0.0.1:5000"),
        ("127.0.0.1:0", "http://127.0.0.1:5000"),
        ("127.0.0.1:65536", "http://127.0.0.1:5000"),
        ("127.0.0.1:5000@evil.example", "http://127.0.0.1:5000"),
        ("127.0.0.1:٥٠٠٠", "http://127.0.0.1:5000"),
    ],
)
def test_under_chalice_local_it_is_the_loopback_literal(host: str, origin: str) -> None:
    address = resolve({"path": "/login", "resourcePath": "/login"}, host, "", on_lambda=False)
    assert address == Address(origin)
    assert not address.secure


def test_the_redirect_uri_overrides_everything() -> None:
    context = {"domainName": "abc.example.com", "path": "/api/login", "resourcePath": "/login"}
    address = resolve(context, "", "https://login.example.com/spotify/callback", on_lambda=True)
    assert address.url("/") == "https://login.example.com/spotify/"
    assert address.redirect_uri == "https://login.example.com/spotify/callback"


@pytest.mark.parametrize(
    "uri",
    [
        "https://login.example.com/callback",
        "https://login.example.com:8443/callback",
        "http://127.0.0.1:5000/callback",
        "http://localhost:5000/callback",
        "http://[::1]:5000/callback",
        "https://login.example.com/callback/callback",
    ],
)
def test_a_redirect_uri_comes_back_byte_by_byte(uri: str) -> None:
    assert from_redirect_uri(uri).redirect_uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "http://login.example.com/callback",
        "https://login.example.com/",
        "https://login.example.com/callback?x=1",
        "https://login.example.com/callback#x",
        "https://user@login.example.com/callback",
        "https://login.example.com:0/callback",
        "https://login.example.com:99999/callback",
        "https://login.example.com/../callback",
        "https://login.example.com\\.evil.example/callback",
        "https:///callback",
        "https:/callback",
        "/callback",
        "ftp://127.0.0.1/callback",
        "https://login.example.com/a\n/callback",
    ],
)
def test_an_unusable_redirect_uri_is_named_as_a_setting(uri: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        from_redirect_uri(uri)
    assert failure.value.settings == ("SPOTIFY_REDIRECT_URI",)


@pytest.mark.parametrize(
    ("context", "redirect_uri"),
    [
        ({}, ""),
        ({"domainName": "abc.example.com"}, "http://127.0.0.1:5000/callback"),
        ({"domainName": "evil.example/x"}, ""),
        ({"domainName": 7}, ""),
    ],
)
def test_on_lambda_an_address_that_cannot_be_told_is_a_configuration_error(
    context: dict[str, Any], redirect_uri: str
) -> None:
    with pytest.raises(ConfigurationError):
        resolve(context, "127.0.0.1:5000", redirect_uri, on_lambda=True)
