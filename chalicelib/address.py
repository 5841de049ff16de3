"""Where the app lives: the origin and base path of every link, redirect and redirect URI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chalicelib.errors import BadRequest, ConfigurationError

LOOPBACK_HOST = "127.0.0.1"
LOCAL_PORT = 5000

_BASE_PATH = re.compile(r"(/(?!\.\.?(/|$))[\w.~-]+)*", re.ASCII)
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?", re.ASCII)
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(?::(\d{1,5}))?", re.ASCII)


@dataclass(frozen=True)
class Address:
    """An origin (RFC 6454 §6.2: scheme, host, port) and the path below which the four routes are."""

    origin: str
    base_path: str = ""

    @property
    def secure(self) -> bool:
        """Whether visitors come by https."""
        return self.origin.startswith("https://")

    @property
    def host(self) -> str:
        """Host and, where it is not the scheme's own, port."""
        return self.origin.partition("://")[2]

    @property
    def redirect_uri(self) -> str:
        """The redirection endpoint (RFC 6749 §3.1.2), as it is registered at Spotify."""
        return self.url("/callback")

    def url(self, path: str) -> str:
        """The absolute URL of a route, named by its path, such as `/login`."""
        return self.origin + self.base_path + path


def resolve(context: Mapping[str, Any], host: str, redirect_uri: str, *, on_lambda: bool) -> Address:
    """Find the app's own address; nothing that a client can forge decides about it on Lambda.

    `context` is the event's requestContext, `host` the Host header or "", `redirect_uri` the setting or "".

    Raises:
        ConfigurationError: SPOTIFY_REDIRECT_URI is unusable, or is needed and missing.
        BadRequest: the request's path has no place in a URL of ours.
    """
    domain = context.get("domainName")
    if redirect_uri:
        address = from_redirect_uri(redirect_uri)
        if domain and not address.secure:
            raise ConfigurationError("SPOTIFY_REDIRECT_URI")
        return address
    if domain:
        return Address(_origin(domain), _base_path(context))
    if on_lambda:
        raise ConfigurationError("SPOTIFY_REDIRECT_URI")
    return Address(f"http://{LOOPBACK_HOST}{_local_port(host)}")


def from_redirect_uri(redirect_uri: str) -> Address:
    """The address that a redirect URI belongs to.

    Raises:
        ConfigurationError: it is neither https nor http on a loopback host, or does not end in /callback.
    """
    scheme, _, rest = redirect_uri.removesuffix("/callback").partition("://")
    host, slash, path = rest.partition("/")
    usable = {"https": _DOMAIN, "http": _LOOPBACK}.get(scheme)
    if (
        usable is None
        or not redirect_uri.endswith("/callback")
        or not usable.fullmatch(host)
        or not _has_port(f"{scheme}://{host}")
        or not _BASE_PATH.fullmatch(slash + path)
    ):
        raise ConfigurationError("SPOTIFY_REDIRECT_URI")
    return Address(f"{scheme}://{host}", slash + path)


def _origin(domain: object) -> str:
    if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain.lower()):
        raise ConfigurationError("SPOTIFY_REDIRECT_URI")
    return f"https://{domain.lower()}"


def _base_path(context: Mapping[str, Any]) -> str:
    """What API Gateway has before the route: a stage, a custom domain's base path, or nothing."""
    path, route = str(context.get("path") or "/"), str(context.get("resourcePath") or "/")
    base, found, rest = (path.rstrip("/") + "/").rpartition(route.rstrip("/") + "/")
    if not found or rest or not _BASE_PATH.fullmatch(base):
        raise BadRequest
    return base


def _local_port(host: str) -> str:
    match = _LOOPBACK.fullmatch(host.lower())
    if not match or not _has_port(f"http://{host}"):
        return f":{LOCAL_PORT}"
    return f":{match[2]}" if match[2] else ""


def _has_port(url: str) -> bool:
    """Whether the port, if there is one, is 1 to 65535."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
