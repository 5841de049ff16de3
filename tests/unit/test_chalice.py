"""An owner's routes behave as Chalice documents; only what Chalice itself responds with becomes a page."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import pytest
from chalice import NotFoundError, Response
from chalice.app import ChaliceUnhandledError

from app import app
from chalicelib import web
from chalicelib.request import Request
from tests.support.gateway import STAGE_URL, GatewayVisitor, event, reply_of
from tests.support.visitor import Reply

SHARED = Response("kept", {"Content-Type": "text/plain", "Vary": "Cookie"})


def forked() -> web.App:  # noqa: C901 - a list of routes
    """The app with ordinary Chalice routes, and one with `web.view`, as an owner adds them."""
    fork = web.App()
    for path in ("/", "/login", "/callback", "/logout"):
        fork.route(path)(app.routes[path]["GET"].view_function)

    @fork.route("/dict")
    def document() -> dict[str, str]:
        return {"Code": "mine", "Message": "no such thing"}

    @fork.route("/response/{status}")
    def response(status: str) -> Response:
        return Response({"error": "mine"}, {"cache-control": "max-age=5", "vary": "Cookie"}, int(status))

    @fork.route("/raise/{name}")
    def raising(name: str) -> None:
        if name == "not-found":
            raise NotFoundError("no such thing")
        raise {"bug": ZeroDivisionError, "unhandled": ChaliceUnhandledError}[name]("no such thing")

    @fork.route("/unusable/{what}")
    def unusable(what: str) -> Any:
        headers: Any = {"vary": ("Cookie", None)} if what == "headers" else {"X": "y"}
        return {"body": object()} if what == "body" else Response("", headers)

    @fork.route("/shared", methods=["GET", "HEAD"])
    def shared() -> Response:
        return SHARED

    @fork.route("/bytes", methods=["HEAD"])
    def some_bytes() -> Response:
        return Response(b"x", {"Content-Type": "image/png"})

    @fork.route("/view/{what}")
    @web.view("view")
    def view(_: Request, what: str) -> Any:
        if what in {"not-found", "bug"}:
            raise {"not-found": NotFoundError, "bug": TypeError}[what]("no such thing")
        return web.ask_first(_, "Sure?") if what == "ask" else {"no": "Result"}

    @fork.route("/things", methods=["POST"])
    def create() -> Any:
        assert fork.current_request
        return {"got": fork.current_request.json_body}

    @fork.route("/items/{number}", methods=["GET", "POST"])
    @web.view("item")
    def item(request: Request, number: str) -> web.Result:
        return web.page(f"{number} of {request.require_user().profile.id}")

    @fork.route("/items/{number}/parts/{part}", methods=["POST"], content_types=["text/plain"])
    @web.view("part")
    def part(_: Request, *, part: str, number: str) -> web.Result:
        return web.document(json.dumps([number, part]))

    return fork


@pytest.fixture
def fork(settings: dict[str, str]) -> web.App:
    return forked()


def send(fork: web.App, path: str, headers: dict[str, str] | None = None, **parts: str) -> Reply:
    return reply_of(fork(event(path, headers, **parts), None))


def assert_has_our_headers(reply: Reply) -> None:
    for name in web.HEADERS:
        assert reply.headers[name.lower()], name
    assert reply.headers["strict-transport-security"]


@pytest.mark.promise("H5")
@pytest.mark.parametrize("status", [201, 405, 500])
def test_a_response_keeps_its_status_body_and_headers(
    fork: web.App, log: list[dict[str, Any]], status: int
) -> None:
    reply = send(fork, f"/response/{status}", route="/response/{status}")
    assert (reply.status, json.loads(reply.text)) == (status, {"error": "mine"})
    assert reply.headers["cache-control"] == "max-age=5", "a route's own header wins, whatever its case"
    assert reply.headers["vary"] == "Accept, Origin, Cookie"
    assert_has_our_headers(reply)
    assert log == []


@pytest.mark.promise("H5")
def test_a_dict_or_an_error_of_chalice_is_the_json_that_chalice_documents(
    fork: web.App, log: list[dict[str, Any]]
) -> None:
    for path, route, status, code in (
        ("/dict", "/dict", 200, "mine"),
        ("/raise/not-found", "/raise/{name}", 404, "NotFoundError"),
        ("/view/not-found", "/view/{what}", 404, "NotFoundError"),
    ):
        reply = send(fork, path, route=route)
        assert (reply.status, json.loads(reply.text)) == (status, {"Code": code, "Message": "no such thing"})
        assert_has_our_headers(reply)
    assert log == []


def test_json_can_be_posted_to_a_route(fork: web.App) -> None:
    reply = send(fork, "/things", {"Content-Type": "application/json"}, method="POST", body='{"a": 1}')
    assert (reply.status, json.loads(reply.text)) == (200, {"got": {"a": 1}})
    assert_has_our_headers(reply)


@pytest.mark.promise("H5")
@pytest.mark.parametrize("path", ["/raise/bug", "/raise/unhandled"])
def test_an_exception_in_an_ordinary_route_is_a_logged_bug_with_a_page(
    fork: web.App, log: list[dict[str, Any]], path: str
) -> None:
    reply = send(fork, path, route="/raise/{name}")
    assert reply.status == log[-1]["status"] == 500
    assert log[-1]["reason"] == "bug"
    assert f"Reference: {log[-1]['request_id']}" in reply.words
    assert "no such thing" not in reply.text + str(log)
    assert_has_our_headers(reply)


@pytest.mark.promise("H3", "H5")
@pytest.mark.parametrize("path", ["/unusable/body", "/unusable/headers", "/view/dict", "/view/bug"])
def test_an_exception_in_a_view_or_a_response_that_cannot_be_sent_is_a_logged_bug_with_a_page(
    fork: web.App, log: list[dict[str, Any]], path: str
) -> None:
    printed = logging.StreamHandler(io.StringIO())
    parent = logging.getLogger("spotify-login")  # Chalice's own, which prints
    parent.addHandler(printed)
    reply = send(fork, path, route=f"{path.rpartition('/')[0]}/{{what}}")
    parent.removeHandler(printed)
    assert (reply.status, log[-1]["reason"]) == (500, "bug")
    assert re.fullmatch(r"TypeError \w+\.py:\d+", log[-1]["error"])
    assert "no such thing" not in reply.text + str(log)
    assert printed.stream.getvalue() == ""
    assert "Something went wrong" in reply.words
    assert_has_our_headers(reply)


@pytest.mark.promise("E4")
def test_a_view_asks_first_with_its_own_query_also_when_it_is_reloaded(fork: web.App) -> None:
    moved = send(fork, "/view/ask?list=a", {"Sec-Fetch-Site": "cross-site"}, route="/view/{what}")
    assert moved.location == f"{STAGE_URL}/view/ask?ask=1&list=a"
    again = send(fork, "/view/ask?ask=1&list=a", {"Sec-Fetch-Site": "none"}, route="/view/{what}")
    assert (again.status, again.text) == (200, "Sure?")


@pytest.mark.promise("H5")
def test_a_response_that_a_route_keeps_is_not_changed(fork: web.App) -> None:
    for method in ("HEAD", "GET", "HEAD", "GET"):
        reply = send(fork, "/shared", method=method)
        assert reply.text == ("kept" if method == "GET" else "")
        assert reply.headers["vary"] == "Accept, Origin, Cookie"
    sent = event("/bytes", {"Accept": "image/png"}, method="HEAD")
    assert fork(sent, None)["statusCode"] == 200
    refused = send(fork, "/", method="HEAD")
    assert (refused.status, refused.text, refused.headers["allow"]) == (405, "", "GET")


@pytest.mark.promise("H5")
@pytest.mark.parametrize(
    ("wanted", "kind"), [("text/html", web.HTML), ("application/json", "application/problem+json")]
)
def test_what_chalice_itself_refuses_is_a_page_or_a_problem_document(
    fork: web.App, log: list[dict[str, Any]], wanted: str, kind: str
) -> None:
    for path, method, sent, status, reason, allowed in (
        ("/", "POST", "application/json", 405, "method_not_allowed", "GET"),
        ("/things", "PUT", "application/json", 405, "method_not_allowed", "POST"),
        ("/things", "POST", "text/plain", 415, "unsupported_media_type", None),
    ):
        reply = send(fork, path, {"Content-Type": sent, "Accept": wanted}, method=method)
        assert (reply.status, log[-1]["reason"]) == (status, reason)
        assert (reply.headers["content-type"], reply.headers.get("allow")) == (kind, allowed)
        assert_has_our_headers(reply)


@pytest.mark.promise("L15")
def test_a_view_receives_the_parameters_of_its_path(fork: web.App, visitor: GatewayVisitor) -> None:
    visitor.log_in()
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    shown = send(fork, "/items/7%20b", {"Cookie": cookies}, route="/items/{number}")
    assert shown.text == "7 b of pia.premium"
    plain = {"Content-Type": "text/plain"}
    parts = send(fork, "/items/7/parts/8", plain, route="/items/{number}/parts/{part}", method="POST")
    assert json.loads(parts.text) == ["7", "8"]
