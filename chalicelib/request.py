"""What a request says. Everything in it may be forged."""

from collections.abc import Mapping, Sequence
from typing import Any

from chalice.app import Request as ChaliceRequest

from chalicelib import address as addresses
from chalicelib.address import Address
from chalicelib.config import own_address
from chalicelib.cookies import Jar
from chalicelib.deadline import Deadline

MOVED = "moved"
"""The query parameter of a request that has been redirected to the app's own address."""

SHOW_DIALOG = "show_dialog"
"""The query parameter of `/login`, named as at Spotify, that lets the user choose another account."""


class Request:
    """One request, as the routes need it."""

    def __init__(
        self, received: ChaliceRequest, settings: Mapping[str, str], deadline: Deadline, *, on_lambda: bool
    ) -> None:
        """Read a request as API Gateway or `chalice local` passes it on.

        Raises:
            ConfigurationError, BadRequest: the app's own address is unknown (see `address.resolve`).
        """
        event, context, host = received.to_original_event(), received.context, _header(received, "host")
        self.settings = settings
        self.deadline = deadline
        self.address = addresses.resolve(context, host, own_address(settings), on_lambda=on_lambda)
        """The app's own, whatever address the request was sent to."""
        _, self.path = addresses.split_path(context)
        """The path of the route, without the app's base path."""
        self.query: Mapping[str, Sequence[str]] = event.get("multiValueQueryStringParameters") or {}
        self.jar = Jar(_cookie_header(event), secure=self.address.secure)
        arrived = str(context.get("domainName") or host).lower()
        self.wrong_host = arrived not in ("", self.address.host) and MOVED not in self.query
        """Whether it was sent to another host than the app's own, and not yet redirected."""
        self.own, self.foreign = _origin(received, self.address)
        """Whether a page of this app or the user made the browser send it, and whether another site did.
        Where the browser does not tell, neither is true.
        """
        self.source_ip = str((context.get("identity") or {}).get("sourceIp") or "")

    @property
    def show_dialog(self) -> bool:
        """Whether the query holds `show_dialog=true`, once. Any other value is ignored."""
        return self.query.get(SHOW_DIALOG) == ["true"]

    @property
    def own_url(self) -> str:
        """The same request at the app's own address, marked as redirected there."""
        return self.address.url(
            f"{self.path}?{MOVED}=1" + (f"&{SHOW_DIALOG}=true" if self.show_dialog else "")
        )


def is_prefetch(received: ChaliceRequest) -> bool:
    """Whether the browser sent the request before its user followed the link.

    Browsers say so in Sec-Purpose; before that, in Purpose (WebKit, Chromium) or X-Moz (Firefox).
    """
    return any("prefetch" in _header(received, name).lower() for name in ("sec-purpose", "purpose", "x-moz"))


def _header(received: ChaliceRequest, name: str) -> str:
    value = received.headers.get(name)
    return value.strip() if isinstance(value, str) else ""


def _origin(received: ChaliceRequest, address: Address) -> tuple[bool, bool]:
    """Whether a request is our own, and whether it is foreign.

    Fetch Metadata decides, which no page can forge; `none` is a typed address or a bookmark. Browsers without
    it (Safari before 16.4) send at least the Referer with links of ours. A request without any of these is
    neither, but on loopback http, where it comes from a program such as curl, it is the user's own.
    """
    if site := _header(received, "sec-fetch-site").lower():
        own = site in ("none", "same-origin")
        return own, not own
    sources = [source for name in ("origin", "referer") if (source := _header(received, name))]
    foreign = any(not f"{source}/".startswith(f"{address.origin}/") for source in sources)
    return not foreign and (bool(sources) or not address.secure), foreign


def _cookie_header(event: Mapping[str, Any]) -> str:
    """Every Cookie header there is: HTTP/2 allows several (RFC 9113 §8.2.3), and API Gateway lists them."""
    many = event.get("multiValueHeaders") or {}
    lines = [line for name, values in many.items() if name.lower() == "cookie" for line in values or ()]
    if not lines:
        lines = [value for name, value in (event.get("headers") or {}).items() if name.lower() == "cookie"]
    return ";".join(line for line in lines if isinstance(line, str))
