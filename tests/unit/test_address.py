"""The app's own address, and the links to it."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.address import Address, resolve, split_path
from chalicelib.errors import BadRequest, ConfigurationError


def at_gateway(path: str, route: str, domain: str = "abc.execute-api.eu-west-1.amazonaws.com") -> Address:
    context = {"domainName": domain, "path": path, "resourcePath": route}
    return resolve(context, "evil.example", (), on_lambda=True)


@pytest.mark.promise("F4", "L15")
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
        ("/api/items/7", "/items/{id}", "/api"),
        ("/items/7", "/items/{id}", ""),
        ("/api/items/7/parts/8/", "/items/{id}/parts/{part}", "/api"),
    ],
)
def test_the_base_path_is_the_part_before_the_route(path: str, route: str, base: str) -> None:
    address = at_gateway(path, route)
    assert address.url("/login") == f"https://abc.execute-api.eu-west-1.amazonaws.com{base}/login"
    assert address.redirect_uri.endswith(f"{base}/callback")
    assert address.secure


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/%6cogin/login", "/login"),
        ("/login", "/items/{id}"),
        ("/api/../login", "/login"),
        ("/./login", "/login"),
        ("//evil.example/login", "/login"),
        ("/a b/login", "/login"),
        ("/api\r\n/login", "/login"),
        ("/é/login", "/login"),
    ],
)
def test_a_path_that_is_unsafe_in_a_link_is_rejected(path: str, route: str) -> None:
    with pytest.raises(BadRequest):
        at_gateway(path, route)


@pytest.mark.promise("F2")
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
def test_under_chalice_local_the_address_is_always_127_0_0_1(host: str, origin: str) -> None:
    address = resolve({"path": "/login", "resourcePath": "/login"}, host, (), on_lambda=False)
    assert address == Address(origin)
    assert not address.secure


def test_a_configured_redirect_uri_overrides_the_request() -> None:
    context = {"domainName": "abc.example.com", "path": "/api/login", "resourcePath": "/login"}
    address = resolve(context, "", ("https://login.example.com", "/spotify"), on_lambda=True)
    assert address.url("/") == "https://login.example.com/spotify/"
    assert address.redirect_uri == "https://login.example.com/spotify/callback"


@pytest.mark.promise("L15")
@pytest.mark.parametrize(
    ("path", "route", "found"),
    [
        ("/api/", "/", "/"),
        ("/api/login", "/login", "/login"),
        ("/api/items/7", "/items/{id}", "/items/7"),
        ("/items/a%20b", "/items/{id}", "/items/a%20b"),
        ("/items/é\r\nX: y", "/items/{id}", "/items/%C3%A9%0D%0AX:%20y"),
    ],
)
def test_the_route_path_is_the_part_after_the_base_path(path: str, route: str, found: str) -> None:
    assert split_path({"path": path, "resourcePath": route})[1] == found


@pytest.mark.parametrize(
    ("context", "own"),
    [
        ({}, ()),
        ({"domainName": "abc.example.com"}, ("http://127.0.0.1:5000", "")),
        ({"domainName": "evil.example/x"}, ()),
        ({"domainName": "evil.example:443"}, ()),
    ],
)
def test_on_lambda_an_unknown_address_is_a_configuration_error(
    context: dict[str, Any], own: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError):
        resolve(context, "127.0.0.1:5000", own, on_lambda=True)
