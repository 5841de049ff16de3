"""An HTTP request. Clients can forge all of it."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from chalice.app import Request as ChaliceRequest

from chalicelib import address as addresses
from chalicelib import return_to
from chalicelib.address import Address
from chalicelib.claims import Claims
from chalicelib.config import Config
from chalicelib.cookies import Jar, Seal
from chalicelib.deadline import Deadline
from chalicelib.errors import ConfigurationError, KeyUnavailable, LoginLoops, LoginRequired
from chalicelib.login import Attempts
from chalicelib.process import Process, on_lambda
from chalicelib.sessions import Sessions, User

if TYPE_CHECKING:
    from chalicelib.profile import Profile
    from chalicelib.spotify import Spotify, Tokens

MOVED = "moved"
"""The query parameter of a request that has been redirected to the app's own address."""

SHOW_DIALOG = "show_dialog"
"""The query parameter of `/login`, as Spotify names it, that lets the user choose another account."""


CALLBACK = "/callback"

RETURNING = ("/login", "/logout")
"""The routes that return to a page. All others ignore the parameter."""

ASK = "ask"
"""The query parameter of `/login` and `/logout` with which they ask first, also if the page is reloaded: WebKit then
sends `Sec-Fetch-Site: none`, as for a typed address.
"""


_EXCLUDED = re.compile(r";\s*q=0(\.0*)?\s*(;|$)")


class Request:
    """One request, and what a route needs for it: each part is built once, when it is first used."""

    def __init__(self, received: ChaliceRequest, process: Process, deadline: Deadline) -> None:
        """Read a request as API Gateway or `chalice local` passes it on.

        Raises:
            ConfigurationError, BadRequest: the app's own address is unknown, or FRONTEND_ORIGINS unusable.
        """
        settings = process.settings(deadline)
        event, context, host = received.to_original_event(), received.context, _header(received, "host")
        self.settings = settings
        """The settings, whether or not they are complete."""
        self.deadline = deadline
        self.address = addresses.resolve(context, host, settings.own_address, on_lambda=on_lambda())
        """The app's own, whatever address the request was sent to."""
        self.frontends = settings.frontends(self.address.origin)
        """The origins of front ends that may read who is logged in, and that a login may return to."""
        _, self.path = addresses.split_path(context)
        """The path of the route, without the app's base path."""
        query = event.get("multiValueQueryStringParameters") or {}
        self.query: Mapping[str, Sequence[str]] = {name: [*filter(_is_text, query[name])] for name in query}
        self.jar = Jar(_cookie_header(event), secure=self.address.secure)
        self.asks = ASK in self.query
        """Whether the query has `ask`: the route must ask the user to confirm."""
        origin = _origin(received, self.address, self.frontends)
        self.own, self.foreign = (False, True) if self.asks else origin
        """`own`: this app, a link on a listed front end, or the user caused it. `foreign`: another site did."""
        self._received = received
        self._process = process
        self.return_to = self._asked_return_to()
        """Where to return to, as it was given; "" for the home page."""

    @cached_property
    def config(self) -> Config:
        """The settings, complete.

        Raises:
            ConfigurationError: naming every setting at fault.
        """
        return self.settings.complete

    @cached_property
    def sessions(self) -> Sessions:
        """The session of the browser that sent the request. Without a cookie, no setting is needed."""
        return Sessions(
            self.jar,
            lambda: Seal(Sessions.PURPOSE, self.config.secret_keys),
            lambda: self._process.users(self.config, self.deadline),
            self.deadline,
        )

    @cached_property
    def attempts(self) -> Attempts:
        """The login attempts of the browser that sent the request."""
        return Attempts(self.jar, Seal(Attempts.PURPOSE, self.config.secret_keys))

    @cached_property
    def spotify(self) -> "Spotify":
        """The client of Spotify, which leaves enough of the request's time to store a login."""
        return self._process.spotify(self.config, self.deadline)

    @cached_property
    def user(self) -> User | None:
        """The logged-in user, or None. Reads the table at most once.

        Raises:
            UsersUnavailable: the users table did not respond.
        """
        return self.sessions.current_user()

    def require_user(self) -> User:
        """The logged-in user. A visitor who is not logged in is sent to log in, and returns to this page.

        Raises:
            LoginRequired: no one is logged in. A navigation is redirected to /login; anything else gets this error.
            LoginLoops: two recent logins returned here without a session.
            UsersUnavailable: the users table did not respond.
        """
        if self.user is None:
            raise LoginLoops if self.attempts.loops(self.path_and_query) else LoginRequired
        return self.user

    def access_token(self, scope: str = "", rejected: str = "") -> str:
        """An access token of the logged-in user, for calls to Spotify's Web API, valid for a minute or more.

        `scope` is one that the call needs. `rejected` is a token that Spotify has rejected with 401: it is refreshed,
        at most once for each request. If the user has withdrawn consent, that ends the access.

        Raises:
            AccessEnded: the user must log in again to give access, or has not granted the scope.
            AccessDelayed: the token must be refreshed, but that failed, or another request is still doing it.
            LoginRequired, LoginLoops: no one is logged in, or the user has logged out in the meantime.
            ConfigurationError: TOKENS_KMS_ALIAS is not set, or no login asks for the scope.
            KeyUnavailable, UsersUnavailable, ClientRefused: KMS, DynamoDB or the client secret failed.
        """
        user = self.require_user()
        if not self.config.tokens_kms_alias:
            raise ConfigurationError("TOKENS_KMS_ALIAS")
        if scope and scope not in self.config.scope.split():
            raise ConfigurationError("SPOTIFY_SCOPE")
        from chalicelib.tokens import KeptAccess  # noqa: PLC0415 - off by default

        return KeptAccess(partial(self._process.parts, self.config), user, scope, rejected).token()

    def log_in(self, profile: "Profile", tokens: "Tokens") -> tuple[Claims, str]:
        """Open a session and, with TOKENS_KMS_ALIAS, keep the tokens. Returns the session, and a note for the log.

        A login does not fail because its tokens could not be kept.

        Raises:
            UsersUnavailable: the users table did not respond; the user may have been stored.
        """
        if not self.config.tokens_kms_alias:
            return self.sessions.open(profile)
        vault = self._process.vault(self.config, self.deadline)
        try:
            sealed = vault.seal(profile.account_key, tokens)
        except (KeyUnavailable, ConfigurationError) as failure:
            session, note = self.sessions.open(profile, None)
            return session, f"access_not_kept {failure.detail} {note}".rstrip()
        opened = self.sessions.open(profile, sealed)
        vault.remember(profile.account_key, sealed, tokens)
        return opened

    def log_out(self) -> Claims | None:
        """Erase the user, clear the cookie, forget the access token. Returns the session, if it was live until now.

        Raises:
            UsersUnavailable: the users table did not respond, though it may have erased the user; the cookie stays.
        """
        try:
            return self.sessions.close()
        finally:
            claimed = self.sessions.claimed
            if claimed and self.config.tokens_kms_alias:
                self._process.memory.forget(claimed.account_key)

    @property
    def return_to_refused(self) -> bool:
        """Whether it asked to return to a place that is not allowed."""
        return self.path in RETURNING and return_to.NAME in self.query and not self.return_to

    @property
    def source_ip(self) -> str:
        """Where it came from, according to API Gateway; "" elsewhere."""
        return str((self._received.context.get("identity") or {}).get("sourceIp") or "")

    @property
    def wrong_host(self) -> bool:
        """Whether it was sent to a host other than the app's own, and must be redirected.

        It is redirected once. A JSON request is not, as its Origin would become `null`, unless its route sets cookies.
        """
        context, host = self._received.context, _header(self._received, "host")
        arrived = str(context.get("domainName") or host).lower()
        stays = MOVED in self.query or (self.wants_json and self.path not in RETURNING)
        return arrived not in ("", self.address.host) and not stays

    @property
    def wants_json(self) -> bool:
        """Whether the response must be JSON."""
        return wants_json(self._received)

    @property
    def frontend(self) -> str:
        """The origin of the listed front end that sent it with fetch(), or ""."""
        origin = _header(self._received, "origin")
        return origin if origin in self.frontends else ""

    @property
    def navigates(self) -> bool:
        """Whether its response replaces the page that the user sees."""
        destination = _header(self._received, "sec-fetch-dest").lower()
        return self._received.method == "GET" and destination in ("", "document")

    @property
    def exposes_a_code(self) -> bool:
        """Whether a browser shows its URL, which holds an authorization response, with its response.

        A browser without Fetch Metadata (Safari before 16.4) is not recognized.
        """
        shown = _header(self._received, "sec-fetch-dest").lower() == "document"
        return shown and self.path == CALLBACK and not {"code", "error", "state"}.isdisjoint(self.query)

    @property
    def show_dialog(self) -> bool:
        """Whether the query holds `show_dialog=true`, once. Any other value is ignored."""
        return self.query.get(SHOW_DIALOG) == ["true"]

    def marked(self, name: str) -> str:
        """The URL of the same request at the app's own address, with one more query parameter."""
        return self.address.url(f"{self.path}?{urlencode({name: '1', **self.query}, doseq=True)}")

    @property
    def path_and_query(self) -> str:
        """The same request as a value of `return_to`."""
        query = urlencode({name: values for name, values in self.query.items() if name != MOVED}, doseq=True)
        return self.path + (f"?{query}" if query else "")

    @property
    def return_url(self) -> str:
        """The absolute URL to return to. It is checked again here, because the settings may have changed."""
        return self._resolve(self.return_to) or self.address.url("/")

    def link(self, path: str, **query: str) -> str:
        """The URL of a route, with this request's `return_to`."""
        kept = {return_to.NAME: self.return_to} if self._resolve(self.return_to) else {}
        text = urlencode({**query, **kept})
        return self.address.url(path) + (f"?{text}" if text else "")

    def _asked_return_to(self) -> str:
        asked = self.query.get(return_to.NAME, []) if self.path in RETURNING else []
        # A click on a page that asks would make this app the source of a request for a page that another site chose.
        accepted = (
            len(asked) == 1 and self._resolve(asked[0]) and not (self.asks and asked[0].startswith("/"))
        )
        return asked[0] if accepted else ""

    def _resolve(self, text: str) -> str:
        return return_to.resolve(text, self.address.url(""), self.frontends)


def is_prefetch(received: ChaliceRequest) -> bool:
    """Whether the browser sent the request before its user followed the link.

    Browsers say so in Sec-Purpose; before that, in Purpose (WebKit, Chromium) or X-Moz (Firefox).
    """
    return any("prefetch" in _header(received, name).lower() for name in ("sec-purpose", "purpose", "x-moz"))


def wants_json(received: ChaliceRequest) -> bool:
    """Whether the Accept header names JSON and not HTML. A weight of 0 excludes a type (RFC 9110 §12.4.2, §12.5.1)."""
    ranges = _header(received, "accept").lower().split(",")
    names = [part.partition(";")[0].strip() for part in ranges if not _EXCLUDED.search(part)]
    return "application/json" in names and "text/html" not in names


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _header(received: ChaliceRequest, name: str) -> str:
    value = received.headers.get(name)
    return value.strip() if isinstance(value, str) else ""


def _origin(received: ChaliceRequest, address: Address, frontends: Sequence[str]) -> tuple[bool, bool]:
    """Whether a request is our own, and whether it is foreign.

    Fetch Metadata decides, which no page can forge; `none` is a typed address or a bookmark. Browsers without
    it (Safari before 16.4) send at least the Referer with our links. A request without any of these is
    neither, but on loopback http, where it comes from a program such as curl, it is the user's own.
    """
    sources = [source for name in ("origin", "referer") if (source := _header(received, name))]
    if site := _header(received, "sec-fetch-site").lower():
        own = site in ("none", "same-origin") or _is_sent_by(frontends, sources, received)
        return own, not own
    foreign = any(not f"{source}/".startswith(f"{address.origin}/") for source in sources)
    return not foreign and (bool(sources) or not address.secure), foreign


def _is_sent_by(frontends: Sequence[str], sources: Sequence[str], received: ChaliceRequest) -> bool:
    """Whether the user followed a link on a listed front end. An image or a frame on one is not enough."""
    wanted = {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    navigation = all(_header(received, name).lower() == value for name, value in wanted.items())
    listed = ["/".join(source.split("/", 3)[:3]) in frontends for source in sources]
    return navigation and bool(listed) and all(listed)


def _cookie_header(event: Mapping[str, Any]) -> str:
    """Every Cookie header there is: HTTP/2 allows several (RFC 9113 §8.2.3), and API Gateway lists them."""
    many = event.get("multiValueHeaders") or {}
    lines = [line for name, values in many.items() if name.lower() == "cookie" for line in values or ()]
    if not lines:
        lines = [value for name, value in (event.get("headers") or {}).items() if name.lower() == "cookie"]
    return ";".join(line for line in lines if isinstance(line, str))
