"""The edge to Chalice: how a route is called, and what its answer looks like."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chalice import Chalice, Response
from chalice.app import Request as ChaliceRequest

from chalicelib import events, pages
from chalicelib.errors import LoginError, Prefetched
from chalicelib.request import Request, is_prefetch

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": pages.CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer, redirects and errors too."""

HSTS = {"Strict-Transport-Security": "max-age=31536000"}
"""On every answer over https. Not for subdomains: the host may be shared."""


@dataclass(frozen=True)
class Answer:
    """What a route says. Its cookies are the request's jar's; its headers are everybody's."""

    status: int
    html: str = ""
    location: str = ""
    outcome: str = ""
    """For the log; without one there is nothing to log."""
    login_id: str = ""
    """Whose login it was; the log shows a pseudonym."""


def page(html: str) -> Answer:
    """Answer with a page."""
    return Answer(200, html=html)


def redirect(location: str, outcome: str = "", login_id: str = "") -> Answer:
    """Answer with a redirect to a URL of our own making. Always 307: every route is a GET."""
    return Answer(307, location=location, outcome=outcome, login_id=login_id)


Route = Callable[[Request], Answer]
View = Callable[[], Response]


def views(
    app: Chalice, redirect_uri: Callable[[], str], on_lambda: Callable[[], bool]
) -> Callable[[str], Callable[[Route], View]]:
    """Returns a decorator that makes views of `app` from functions of a `Request`, named for the log.

    A `LoginError` becomes its page, any other exception the page of a bug; both are logged with a reference
    that the page shows. A prefetch changes nothing. Every answer, Chalice's own too, gets `HEADERS`.
    """
    app.register_middleware(_with_headers, "http")

    def view(event: str) -> Callable[[Route], View]:
        def decorate(route: Route) -> View:
            @functools.wraps(route)
            def answer() -> Response:
                return _Exchange(event, app.current_request).run(route, redirect_uri, on_lambda)

            return answer

        return decorate

    return view


class _Exchange:
    """One request and its answer, whatever happens between them."""

    def __init__(self, event: str, received: ChaliceRequest | None) -> None:
        assert received is not None  # noqa: S101 - Chalice sets it before it calls a view
        self._event = event
        self._received = received
        self._reference = str(received.context.get("requestId") or secrets.token_hex(8))
        self._started = time.monotonic()
        self._request: Request | None = None

    def run(self, route: Route, redirect_uri: Callable[[], str], on_lambda: Callable[[], bool]) -> Response:
        try:
            if is_prefetch(self._received):
                raise Prefetched
            self._request = Request.read(self._received, redirect_uri(), on_lambda=on_lambda())
            answer = route(self._request)
            response = self._response(answer.status, answer.html, {"Location": answer.location})
            if answer.outcome:
                session = answer.login_id and events.pseudonym(answer.login_id)
                self._log(answer.outcome, answer.status, session=session)
        except LoginError as error:
            return self._failure(error)
        except Exception as bug:  # noqa: BLE001 - whatever it is, a person gets a page
            return self._failure(LoginError(), events.origin_of(bug))
        return response

    def _failure(self, error: LoginError, bug: str = "") -> Response:
        if not isinstance(error, Prefetched):
            outcome = "refused" if error.status < 500 else "failed"
            self._log(
                outcome,
                error.status,
                reason=error.reason,
                detail=error.detail,
                settings=error.settings,
                security=error.security or None,
                error=bug,
            )
        address = self._request.address if self._request else None
        retry_after = "" if error.retry_after is None else str(max(error.retry_after, 1))
        html = pages.failure(error, self._reference, address)
        return self._response(error.status, html, {"Retry-After": retry_after})

    def _response(self, status: int, html: str, extra: Mapping[str, str]) -> Response:
        headers: dict[str, Any] = {name: value for name, value in extra.items() if value}
        headers["Content-Type"] = "text/html; charset=utf-8"
        if self._request:
            if self._request.address.secure:
                headers |= HSTS
            if cookies := self._request.jar.headers():
                headers["Set-Cookie"] = cookies
        return Response(html, headers, status)

    def _log(self, outcome: str, status: int, **fields: Any) -> None:
        duration_ms = round((time.monotonic() - self._started) * 1000)
        event = "configuration" if fields.get("settings") else self._event
        events.record(
            event, outcome, status=status, request_id=self._reference, duration_ms=duration_ms, **fields
        )


def _with_headers(received: Any, get_response: Callable[[Any], Response]) -> Response:
    """Chalice's middleware: also what no view of ours has answered gets the headers."""
    response = get_response(received)
    https = bool(received and received.context.get("domainName"))
    response.headers = {**HEADERS, **(HSTS if https else {}), **response.headers}
    return response
