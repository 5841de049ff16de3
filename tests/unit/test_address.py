"""The app's own address, and the links to it."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.address import Address, resolve, split_path
from chalicelib.errors import BadRequest, ConfigurationError

DOMAIN = "abc.execute-api.eu-west-1.amazonaws.com"


@pytest.mark.promise("F4", "L15")
@pytest.mark.parametrize(
    ("path", "route", "base", "found"),
    [
        ("/api/login/", "/login", "/api", "/login"),
        ("/api/", "/", "/api", "/"),
        ("/", "/", "", "/"),
        ("/auth/v1.0/login", "/login", "/auth/v1.0", "/login"),
        ("/login/login", "/login", "/login", "/login"),
        ("/items/a%20b", "/items/{id}", "", "/items/a%20b"),
        ("/items/é\r\nX: y", "/items/{id}", "", "/items/%C3%A9%0D%0AX:%20y"),
        ("/api/items/7/parts/8/", "/items/{id}/parts/{part}", "/api", "/items/7/parts/8"),
    ],
)
def test_the_base_path_is_the_part_before_the_route(path: str, route: str, base: str, found: str) -> None:
    context = {"domainName": DOMAIN, "path": path, "resourcePath": route}
    assert resolve(context, "evil.example", (), on_lambda=True) == Address(f"https://{DOMAIN}", base)
    assert split_path(context) == (base, found)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/%6cogin/login", "/login"),
        ("/login", "/items/{id}"),
        ("/api/../login", "/login"),
        ("//evil.example/login", "/login"),
        ("/api\r\n/login", "/login"),
    ],
)
def test_a_path_that_is_unsafe_in_a_link_is_rejected(path: str, route: str) -> None:
    with pytest.raises(BadRequest):
        resolve({"domainName": DOMAIN, "path": path, "resourcePath": route}, "", (), on_lambda=True)


@pytest.mark.promise("F2")
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("LOCALHOST:5001", "http://127.0.0.1:5001"),
        ("[::1]:5001", "http://127.0.0.1:5001"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("", "http://127.0.0.1:5000"),
        ("evil.example:5001", "http://127.0.0.1:5000"),
        ("127.0.0.1:65536", "http://127.0.0.1:5000"),
        ("127.0.0.1:5000@evil.example", "http://127.0.0.1:5000"),
        ("127.0.0.1:٥٠٠٠", "http://127.0.0.1:5000"),
    ],
)
def test_under_chalice_local_the_address_is_always_127_0_0_1(host: str, origin: str) -> None:
    assert resolve({"path": "/login", "resourcePath": "/login"}, host, (), on_lambda=False) == Address(origin)


@pytest.mark.parametrize(
    ("context", "own"),
    [
        ({}, ()),
        ({"domainName": "abc.example.com"}, ("http://127.0.0.1:5000", "")),
        ({"domainName": "evil.example:443"}, ()),
    ],
)
def test_on_lambda_an_unknown_address_is_a_configuration_error(
    context: dict[str, Any], own: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError):
        resolve(context, "127.0.0.1:5000", own, on_lambda=True)
