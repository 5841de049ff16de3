"""What a request says, read with care: anybody can send anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalice.app import Request as ChaliceRequest

from chalicelib import address as addresses
from chalicelib.address import Address
from chalicelib.cookies import Jar
from chalicelib.deadline import Deadline

MOVED = "moved"
"""The query parameter that marks a request which we have sent to the app's own address already."""

SHOW_DIALOG = "show_dialog"
"""The query parameter of `/login`, by Spotify's name, that lets a person log in as somebody else."""


@dataclass(frozen=True)
class Request:
    """One request, as the routes need it."""

    address: Address
    """The app's own, whatever address the request was sent to."""
    query: Mapping[str, Sequence[str]]
    jar: Jar
    elsewhere: bool
    """Whether it was sent to another address than the app's own, and for the first time."""
    foreign: bool
    """Whether another site made the browser send it (Fetch Metadata, or Origin and Referer)."""
    deadline: Deadline = field(default_factory=Deadline)

    @property
    def show_dialog(self) -> bool:
        """Whether `show_dialog=true` stands in the query, once. Any other value says nothing."""
        return self.query.get(SHOW_DIALOG) == ["true"]

    @property
    def own_login(self) -> str:
        """The same login at the app's own address, marked as moved there."""
        return self.address.url(f"/login?{MOVED}=1" + (f"&{SHOW_DIALOG}=true" if self.show_dialog else ""))

    @classmethod
    def read(cls, received: ChaliceRequest, redirect_uri: str, *, on_lambda: bool) -> Request:
        """Read what API Gateway or `chalice local` hands over.

        Raises:
            ConfigurationError, BadRequest: the app's own address cannot be told (see `address.resolve`).
        """
        event = received.to_original_event()
        host = _header(received, "host")
        address = addresses.resolve(received.context, host, redirect_uri, on_lambda=on_lambda)
        query = event.get("multiValueQueryStringParameters") or {}
        arrived = str(received.context.get("domainName") or host).lower()
        return cls(
            address=address,
            query=query,
            jar=Jar(_cookie_header(event), secure=address.secure),
            elsewhere=arrived not in ("", address.host) and MOVED not in query,
            foreign=_is_foreign(received, address.origin),
        )


def is_prefetch(received: ChaliceRequest) -> bool:
    """Whether a browser asks before its user does (Sec-Purpose, and what older browsers send)."""
    purpose = _header(received, "sec-purpose") + _header(received, "purpose")
    return "prefetch" in purpose.lower()


def _header(received: ChaliceRequest, name: str) -> str:
    value = received.headers.get(name)
    return value.strip() if isinstance(value, str) else ""


def _is_foreign(received: ChaliceRequest, origin: str) -> bool:
    site = _header(received, "sec-fetch-site").lower()
    if site:
        return site not in ("none", "same-origin")
    sources = (_header(received, "origin"), _header(received, "referer"))
    return any(source and not f"{source}/".startswith(f"{origin}/") for source in sources)


def _cookie_header(event: Mapping[str, Any]) -> str:
    """Every Cookie header there is: HTTP/2 allows several (RFC 9113 §8.2.3), and API Gateway lists them."""
    many = event.get("multiValueHeaders") or {}
    lines = [line for name, values in many.items() if name.lower() == "cookie" for line in values or ()]
    if not lines:
        lines = [value for name, value in (event.get("headers") or {}).items() if name.lower() == "cookie"]
    return ";".join(line for line in lines if isinstance(line, str))
