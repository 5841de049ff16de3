"""Where the app lives: the origin and base path of every link, redirect and redirect URI."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from chalicelib.config import BASE_PATH, DOMAIN, LOOPBACK, PORT
from chalicelib.errors import BadRequest, ConfigurationError

LOOPBACK_HOST = "127.0.0.1"
LOCAL_PORT = 5000

_DOMAIN = re.compile(DOMAIN, re.ASCII)
_BASE_PATH = re.compile(BASE_PATH, re.ASCII)
_LOOPBACK = re.compile(rf"{LOOPBACK}({PORT})", re.ASCII)


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
        """The host and, where it is not the scheme's default, the port."""
        return self.origin.partition("://")[2]

    @property
    def redirect_uri(self) -> str:
        """The redirection endpoint (RFC 6749 §3.1.2), as it is registered at Spotify."""
        return self.url("/callback")

    def url(self, path: str) -> str:
        """The absolute URL of a route, given its path, such as `/login`."""
        return self.origin + self.base_path + path


def resolve(context: Mapping[str, Any], host: str, own: Sequence[str], *, on_lambda: bool) -> Address:
    """Find the app's own address; on Lambda, from nothing that a client can forge. `context` is the event's
    requestContext, `host` the Host header, and `own` is `Settings.own_address`.

    Raises:
        ConfigurationError: SPOTIFY_REDIRECT_URI is needed and missing, or is http where visitors use https.
        BadRequest: the request's path cannot be part of one of our URLs.
    """
    domain = context.get("domainName")
    if own:
        address = Address(*own)
        if domain and not address.secure:
            raise ConfigurationError("SPOTIFY_REDIRECT_URI")
        return address
    if domain:
        base_path, _ = split_path(context)
        if not _DOMAIN.fullmatch(str(domain).lower()):
            raise ConfigurationError("SPOTIFY_REDIRECT_URI")
        if not _BASE_PATH.fullmatch(base_path):
            raise BadRequest
        return Address(f"https://{domain.lower()}", base_path)
    if on_lambda:
        raise ConfigurationError("SPOTIFY_REDIRECT_URI")
    local = _LOOPBACK.fullmatch(host.lower())
    return Address(f"http://{LOOPBACK_HOST}{local[1] if local else f':{LOCAL_PORT}'}")


def split_path(context: Mapping[str, Any]) -> tuple[str, str]:
    """The base path that API Gateway has before the route (a stage, a custom domain's base path, or nothing),
    and the path of the route: `/login`, or `/items/7` for the route `/items/{id}`.

    Raises:
        BadRequest: the path has fewer segments than the route.
    """
    path, route = (str(context.get(name) or "/").rstrip("/") for name in ("path", "resourcePath"))
    segments = path.split("/")
    start = len(segments) - route.count("/")
    if start < 1:
        raise BadRequest
    return "/".join(segments[:start]), "/" + quote("/".join(segments[start:]), safe="/%:@!$&'()*+,;=~")
