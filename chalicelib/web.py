"""The interface to Chalice: how a route is called, and what every response looks like."""

import functools
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from chalice import Chalice, Response
from chalice.app import CaseInsensitiveMapping, ChaliceViewError
from chalice.app import Request as ChaliceRequest

from chalicelib import documents, errors, events, failure, log, pages
from chalicelib.deadline import Deadline
from chalicelib.errors import LoginError
from chalicelib.process import Process
from chalicelib.request import ASK, CALLBACK, MOVED, Request, is_prefetch, wants_json

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": pages.content_security_policy(),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept, Origin",
    "X-Content-Type-Options": "nosniff",
}
"""Every response has these, redirects and errors too."""

HSTS = {"Strict-Transport-Security": "max-age=31536000"}
"""Every response over https has this. Not for subdomains: the host may be shared."""

HTML = "text/html; charset=utf-8"

CONFIG = Path(__file__).parents[1] / ".chalice" / "config.json"

CLEAR_CACHE = {"Clear-Site-Data": '"cache"'}
"""The logout of a browser with a session cookie has this: Chromium keeps `no-store` pages in its back/forward cache,
and restores them after a logout. It can take Chromium several seconds, so no other response has it.
"""


class Result(NamedTuple):
    """What a route returns: a page, a document or a redirect, and what the log says about it."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = {}
    line: Mapping[str, Any] = {}
    """Arguments of `log.write`; without any, nothing is logged."""
    content_type: str = HTML


def page(html: str, allow: Mapping[str, Iterable[str]] | None = None) -> Result:
    """Respond with a page. `allow` has what it uses besides, such as {"script-src": [pages.hash_of(SCRIPT)]}.

    Raises:
        ValueError: see `pages.content_security_policy`.
    """
    return Result(
        200, html, {"Content-Security-Policy": pages.content_security_policy(allow)} if allow else {}
    )


def ask_first(request: Request, html: str) -> Result:
    """Ask for confirmation, at an address that asks again when it is reloaded."""
    return page(html) if request.asks else redirect(request.marked(ASK))


def document(json: str) -> Result:
    """Respond with JSON, which a listed front end may read too."""
    return Result(200, json, content_type=documents.JSON)


def redirect(
    location: str, outcome: str = "", login_id: str = "", detail: str = "", **headers: str
) -> Result:
    """Redirect to a URL that we built, always by 307: every route is a GET.

    With an `outcome` there is a log line, which holds a pseudonym for `login_id`.
    """
    line = {"outcome": outcome, "session": login_id and log.pseudonym(login_id), "detail": detail}
    return Result(307, "", {"Location": location, **headers}, line if outcome else {})


_REQUEST_ID = re.compile(r"[0-9a-f-]{36}")

_INTERNAL_ERROR = {"Code": "InternalServerError", "Message": "An internal server error occurred."}
"""What Chalice responds with after an exception in a route without `view`, which it has logged."""

_ABSENT = dict.fromkeys(
    ("headers", "body", "pathParameters", "stageVariables", "multiValueQueryStringParameters")
)
"""What Chalice demands of an event. API Gateway sends null where a request has none."""

Route = Callable[..., Result]

_current: ContextVar[Any] = ContextVar("request")  # app.current_request is shared by all threads


class App(Chalice):
    """A Chalice app with the headers and errors of this module. It accepts events of any shape.

    Its name is that in .chalice/config.json, which Chalice leaves out of the package.
    """

    def __init__(self, **options: Any) -> None:
        name = json.loads(CONFIG.read_bytes())["app_name"] if CONFIG.exists() else "app"
        super().__init__(name, **options)
        self.process = Process()
        self.register_middleware(self.around, "http")

    def __call__(self, event: Any, context: Any) -> Any:
        """Handle an event of Lambda. One that is not a request of our REST API gets the response of `events`."""
        if event == events.CHECK:
            return events.check(Process().check)  # what visitors use stays as it is
        match event:
            case {"requestContext": {"resourcePath": str(path), "httpMethod": str()}} if path in self.routes:
                _current.set((None, self.process))
                try:
                    return super().__call__({**_ABSENT, **event}, context)
                except Exception as bug:  # noqa: BLE001 - an odd event, or a body that is not JSON
                    if received := _current.get()[0]:
                        return self.around(received, partial(_raise, bug)).to_dict()
                    return events.respond(event, LoginError(), {**HEADERS, **HSTS}, bug)
        return events.respond(event, errors.NotRestApi(), {**HEADERS, **HSTS})

    def around(self, received: ChaliceRequest, get_response: Callable[[Any], Response]) -> Response:
        """Chalice's middleware, for routes with and without `view`.

        It adds our headers. The errors that Chalice itself responds with become pages or problem documents. The
        Content-Type of a GET without a body is dropped, because Chalice would respond with 415: WebKit keeps it after a
        form is sent.
        """
        started = time.monotonic()
        if received.method == "GET" and not received.to_original_event()["body"]:
            sent = {name: value for name, value in received.headers.items() if name != "content-type"}
            received.headers = CaseInsensitiveMapping(sent)
        _current.set((received, self.process))
        ours = {**HEADERS, **(HSTS if received.context.get("domainName") else {})}
        error: Exception | None
        try:
            response = get_response(received)
            error, headers = _error_of_chalice(response), _merged(_with_vary(response.headers), ours)
        except Exception as bug:  # noqa: BLE001 - as in a view: an owner's middleware, or ChaliceUnhandledError
            response, error, headers = Response(""), bug, {}
        if error:
            response = _respond(
                partial(_raise, error), "request", received, self.process, moves=False, started=started
            )
            headers = _merged(_merged(response.headers, ours), headers)
        empty = b"" if isinstance(response.body, bytes) else ""
        return Response(empty if received.method == "HEAD" else response.body, headers, response.status_code)


def view(event: str, *, moves: bool = True) -> Callable[[Route], Callable[..., Response]]:
    """Decorate a function of a `Request` to make it a Chalice view, named `event` in the log.

    The function also receives the parameters of the route's path, by their names.

    A `LoginError` gets its page, Chalice's errors keep their JSON, and any other exception gets the page of a
    bug. The log has the reference on the page. A browser is redirected to the page of a failed callback, so that no address
    that it shows or keeps holds a code. A prefetch changes nothing. With `moves`, a request that arrived at another
    host is first redirected to the app's own address.
    """

    def decorate(route: Route) -> Callable[..., Response]:
        @functools.wraps(route)
        def respond(**parameters: str) -> Response:
            return _respond(partial(route, **parameters), event, *_current.get(), moves=moves)

        return respond

    return decorate


def _error_of_chalice(response: Response) -> LoginError | None:
    """The error that Chalice itself responded with; None for a response of a route."""
    if response.body == _INTERNAL_ERROR:
        return LoginError()
    match response.body:
        case {"Code": "MethodNotAllowedError", "Message": text, **rest} if not rest:
            return errors.MethodNotAllowed() if str(text).startswith("Unsupported method: ") else None
        case {"Code": "UnsupportedMediaType", "Message": text, **rest} if not rest:
            return errors.UnsupportedMediaType() if str(text).startswith("Unsupported media type: ") else None
    return None


def _raise(error: Exception, _: Any) -> Any:
    raise error


def _merged(headers: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The headers, and those `others` whose names they lack, whatever the case."""
    names = {name.lower() for name in headers}
    return {**{name: value for name, value in others.items() if name.lower() not in names}, **headers}


def _with_vary(headers: Mapping[str, Any]) -> dict[str, Any]:
    """A route's headers, with our names added to its Vary."""
    vary = {name: [value] if isinstance(value, str) else value for name, value in headers.items()}
    united = {name: ", ".join((HEADERS["Vary"], *vary[name])) for name in vary if name.lower() == "vary"}
    return {**headers, **united}


def _respond(
    route: Route,
    event: str,
    received: Any,
    process: Process,
    *,
    moves: bool,
    started: float | None = None,
) -> Response:
    """Call a route, log the result, and turn it into Chalice's response."""
    started, request, reference = started or time.monotonic(), None, _reference(received)
    try:
        request = _read(received, process)
        if request.path == CALLBACK and failure.NAME in request.query:
            result = _failed_callback(request, received)
        else:
            moved = moves and request.wrong_host
            result = redirect(request.marked(MOVED)) if moved else route(request)
        if not isinstance(result, Result):
            _raise(TypeError("a view returns a web.Result"), request)
    except ChaliceViewError:
        raise  # Chalice responds with its status, as in a route without `view`
    except LoginError as error:
        result = _failure(error, reference, request, received)
    except Exception as bug:  # noqa: BLE001 - whatever it is, the visitor gets a page
        log.bug(bug)
        result = _failure(LoginError(), reference, request, received, log.origin_of(bug))
    if result.line:
        elapsed = round((time.monotonic() - started) * 1000)
        about = {"event": event, "status": result.status, "request_id": reference, "duration_ms": elapsed}
        log.write(**{**about, **result.line})
    return _response(result, request)


def _reference(received: ChaliceRequest) -> str:
    """What an error page shows: API Gateway's ID of the request, or one of ours if that is missing or odd."""
    given = str(received.context.get("requestId"))
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _read(received: ChaliceRequest, process: Process) -> Request:
    if is_prefetch(received):
        raise errors.Prefetched
    return Request(received, process, Deadline())


def _failure(
    error: LoginError, reference: str, request: Request | None, received: ChaliceRequest, bug: str = ""
) -> Result:
    if error.returns and request and request.navigates:
        request.return_to = request.path_and_query
    if error.asks_to_log_in and request and request.navigates and not request.wants_json:
        return redirect(request.link("/login"))
    line: dict[str, Any] = {"outcome": "refused" if error.status < 500 else "failed", "error": bug}
    line |= {name: getattr(error, name) for name in ("reason", "detail", "settings", "security")}
    if error.settings:
        line["event"] = "configuration"
    if request and error.security:
        line["source"] = log.source(request.source_ip, request.config.secret_keys[-1])
    if error.asks_to_log_in or isinstance(error, errors.Prefetched):
        line = {}
    if request and request.exposes_a_code:
        with suppress(errors.ConfigurationError):
            url = failure.url(request, error, reference)
            return Result(307, "", {"Location": url}, {"status": error.status, **line})
    return _shown(error, reference, request, received)._replace(line=line)


def _failed_callback(request: Request, received: ChaliceRequest) -> Result:
    """Show the failure of a callback that has been redirected here, and has been logged."""
    error, reference = failure.read(request)
    return _shown(error, reference, request, received)


def _shown(error: LoginError, reference: str, request: Request | None, received: ChaliceRequest) -> Result:
    """The page of an error, or its problem document for a request that can use one."""
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if wants_json(received) or (request and request.frontend and not request.navigates):
        return Result(error.status, documents.problem(error, reference), headers, {}, documents.PROBLEM)
    return Result(error.status, pages.failure(error, reference, request), headers)


def _response(result: Result, request: Request | None) -> Response:
    https = request is not None and request.address.secure
    headers: dict[str, Any] = {**(HSTS if https else {}), "Content-Type": result.content_type}
    headers |= result.headers
    if request and (origin := request.settings.simulator):
        policy = headers.get("Content-Security-Policy", HEADERS["Content-Security-Policy"])
        headers["Content-Security-Policy"] = re.sub("img-src [^;]*", rf"\g<0> {origin}", policy)
    if request and request.frontend and result.content_type != HTML:
        headers |= {
            "Access-Control-Allow-Origin": request.frontend,
            "Access-Control-Allow-Credentials": "true",
        }
    if result.status == 401:  # RFC 9110 §11.6.1 requires a challenge; no browser asks for a cookie
        headers["WWW-Authenticate"] = "Cookie"
    if request and (cookies := request.jar.headers()):
        headers["Set-Cookie"] = cookies
    return Response(result.body, headers, result.status)
