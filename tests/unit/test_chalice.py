"""An owner's routes behave as Chalice documents; only what Chalice itself responds with becomes a page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chalice import BadRequestError, Blueprint, NotFoundError, Response, UnauthorizedError
from chalice.app import ChaliceUnhandledError

from app import app
from chalicelib import services, web
from chalicelib.request import Request
from tests.support.gateway import STAGE_URL, GatewayVisitor, event, reply_of
from tests.support.visitor import Reply

JSON = {"Content-Type": "application/json"}
SHARED = Response("kept", {"Content-Type": "text/plain", "Vary": "Cookie"})


def forked() -> web.App:  # noqa: C901 - a list of routes
    """The app with ordinary Chalice routes, and one with `web.view`, as an owner adds them."""
    fork = web.App(app_name="fork")
    for path in ("/", "/login", "/callback", "/logout"):
        fork.route(path)(app.routes[path]["GET"].view_function)

    @fork.route("/dict")
    def document() -> dict[str, str]:
        return {"Code": "mine", "Message": "hello"}

    @fork.route("/response/{status}")
    def response(status: str) -> Response:
        return Response({"error": "mine"}, {"cache-control": "max-age=5", "vary": "Cookie"}, int(status))

    @fork.route("/raise/{name}")
    def raising(name: str) -> None:
        kinds: dict[str, type[Exception]] = {
            "not-found": NotFoundError,
            "bad": BadRequestError,
            "who": UnauthorizedError,
            "unhandled": ChaliceUnhandledError,
            "bug": ZeroDivisionError,
        }
        raise kinds[name]("no such thing")

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
        if what == "not-found":
            raise NotFoundError("no such thing")
        return web.ask_first(_, "Sure?") if what == "ask" else {"no": "Result"}

    @fork.route("/things", methods=["POST"])
    def create() -> Any:
        assert fork.current_request
        return {"got": fork.current_request.json_body}

    @fork.route("/items/{number}", methods=["GET", "POST"])
    @web.view("item")
    def item(request: Request, number: str) -> web.Result:
        return web.page(f"{number} of {services.require_user(request).profile.id}")

    @fork.route("/items/{number}/parts/{part}", methods=["POST"], content_types=["text/plain"])
    @web.view("part")
    def part(_: Request, *, part: str, number: str) -> web.Result:
        return web.document(json.dumps([number, part]))

    blueprint = Blueprint(__name__)

    @blueprint.route("/blue/{print}")
    def blue(**parameters: str) -> dict[str, str]:
        return parameters

    fork.register_blueprint(blueprint)
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
def test_a_dict_is_json_whatever_its_keys(fork: web.App) -> None:
    reply = send(fork, "/dict")
    assert (reply.status, json.loads(reply.text)) == (200, {"Code": "mine", "Message": "hello"})
    assert_has_our_headers(reply)


@pytest.mark.promise("H5")
@pytest.mark.parametrize("status", [200, 201, 405, 415, 500])
def test_a_response_keeps_its_status_body_and_headers(
    fork: web.App, log: list[dict[str, Any]], status: int
) -> None:
    response = fork(event(f"/response/{status}", route="/response/{status}"), None)
    reply, names = reply_of(response), [name.lower() for name in response["headers"]]
    assert len(names) == len(set(names)), "no header is there twice"
    assert (reply.status, json.loads(reply.text)) == (status, {"error": "mine"})
    assert reply.headers["cache-control"] == "max-age=5", "a route's own header wins, whatever its case"
    assert reply.headers["vary"] == "Accept, Origin, Cookie"
    assert_has_our_headers(reply)
    assert log == []


@pytest.mark.promise("H5")
@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("not-found", 404, "NotFoundError"),
        ("bad", 400, "BadRequestError"),
        ("who", 401, "UnauthorizedError"),
    ],
)
def test_an_error_of_chalice_that_a_route_raises_is_the_json_that_chalice_documents(
    fork: web.App, name: str, status: int, code: str
) -> None:
    reply = send(fork, f"/raise/{name}", route="/raise/{name}")
    assert (reply.status, json.loads(reply.text)) == (status, {"Code": code, "Message": "no such thing"})
    assert_has_our_headers(reply)


def test_json_can_be_posted_to_a_route(fork: web.App) -> None:
    reply = send(fork, "/things", JSON, method="POST", body='{"a": 1}')
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
    assert "no such thing" not in reply.text
    assert_has_our_headers(reply)


@pytest.mark.promise("H5")
@pytest.mark.parametrize("what", ["body", "headers"])
def test_a_response_that_cannot_be_sent_is_a_logged_bug_with_a_page(
    fork: web.App, log: list[dict[str, Any]], what: str
) -> None:
    reply = send(fork, f"/unusable/{what}", route="/unusable/{what}")
    assert (reply.status, log[-1]["reason"]) == (500, "bug")
    assert log[-1]["error"].startswith("TypeError")
    assert "Something went wrong" in reply.words
    assert_has_our_headers(reply)


def test_an_error_of_chalice_and_a_result_of_the_wrong_type_in_a_view(
    fork: web.App, log: list[dict[str, Any]]
) -> None:
    missing = send(fork, "/view/not-found", route="/view/{what}")
    assert (missing.status, json.loads(missing.text)["Code"]) == (404, "NotFoundError")
    assert log == []
    assert send(fork, "/view/dict", route="/view/{what}").status == 500
    assert log[-1]["error"].startswith("TypeError web.py")


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


@pytest.mark.promise("H5")
@pytest.mark.parametrize("wanted", ["text/html", "application/json"])
@pytest.mark.parametrize(
    ("path", "method", "headers", "status", "reason"),
    [
        ("/", "POST", JSON, 405, "method_not_allowed"),
        ("/things", "PUT", JSON, 405, "method_not_allowed"),
        ("/things", "POST", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    ],
)
def test_what_chalice_itself_refuses_is_a_page_or_a_problem_document(
    fork: web.App,
    log: list[dict[str, Any]],
    path: str,
    method: str,
    headers: dict[str, str],
    status: int,
    reason: str,
    wanted: str,
) -> None:
    reply = send(fork, path, {**headers, "Accept": wanted}, method=method)
    assert (reply.status, log[-1]["reason"]) == (status, reason)
    kind = {"text/html": "text/html; charset=utf-8", "application/json": "application/problem+json"}[wanted]
    assert reply.headers["content-type"] == kind
    allowed = {"/": "GET", "/things": "POST"}[path]
    assert reply.headers.get("allow") == (allowed if status == 405 else None)
    assert_has_our_headers(reply)


@pytest.mark.promise("H4")
def test_the_response_to_head_has_no_body(fork: web.App) -> None:
    reply = send(fork, "/", method="HEAD")
    assert (reply.status, reply.text, reply.headers["allow"]) == (405, "", "GET")


@pytest.mark.promise("L15")
def test_a_view_receives_the_parameters_of_its_path(fork: web.App, visitor: GatewayVisitor) -> None:
    visitor.log_in()
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    shown = send(fork, "/items/7%20b", {"Cookie": cookies}, route="/items/{number}")
    assert shown.text == "7 b of pia.premium"
    plain = {"Content-Type": "text/plain"}
    parts = send(fork, "/items/7/parts/8", plain, route="/items/{number}/parts/{part}", method="POST")
    assert json.loads(parts.text) == ["7", "8"]
    assert json.loads(send(fork, "/blue/sky", route="/blue/{print}").text) == {"print": "sky"}
