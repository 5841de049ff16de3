"""Events that are not requests of the app's REST API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import app
from chalicelib.errors import NotRestApi
from chalicelib.events import CHECK
from chalicelib.web import HEADERS, HSTS
from deploy import live
from tests.support.gateway import event
from tests.support.table import Table

HTTP_API = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/login",
    "headers": {"host": "abc123.execute-api.eu-west-1.amazonaws.com"},
    "requestContext": {"http": {"method": "GET", "path": "/login"}, "requestId": "JKJaXmPLvHcESHA="},
    "isBase64Encoded": False,
}
LOAD_BALANCER = {
    "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:…"}},
    "httpMethod": "GET",
    "path": "/login",
    "queryStringParameters": {},
    "headers": {"host": "example.com"},
    "body": "",
}
OTHER_ROUTES = {
    **event("/login"),
    "requestContext": {**event()["requestContext"], "resourcePath": "/{proxy+}"},
}
WEBSOCKET = {"requestContext": {"connectionId": "x", "eventType": "MESSAGE"}, "body": "{}"}
SCHEDULE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


@pytest.mark.promise("H6")
@pytest.mark.parametrize("sent", [{}, {"source": "warm-up"}, SCHEDULE, [], None, "ping", 7])
def test_a_ping_or_a_schedule_is_one_line_and_null(
    sent: Any, log: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert app(sent, None) is None
    (line,) = log
    assert line["event"] == "ping"
    assert "Traceback" not in "".join(capfd.readouterr())


def test_doctors_check_stores_and_logs_nothing_and_names_what_fails(
    table: Table, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert live.PROBE == CHECK
    assert app(CHECK, None) == {}
    assert (table.items(), log) == ([], [])
    monkeypatch.delenv("SPOTIFY_CLIENT_SECRET")
    assert app(CHECK, None) == {
        "reason": "configuration",
        "detail": "",
        "settings": ("SPOTIFY_CLIENT_SECRET",),
    }
    monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", "x")
    monkeypatch.setenv("USERS_TABLE", "no-such-table")
    assert app(CHECK, None) == {
        "reason": "users_unavailable",
        "detail": "ResourceNotFoundException",
        "settings": (),
    }


@pytest.mark.promise("H6")
@pytest.mark.parametrize(
    "sent",
    [HTTP_API, LOAD_BALANCER, OTHER_ROUTES, WEBSOCKET, {**HTTP_API, **CHECK}],
    ids=["HTTP API or function URL", "load balancer", "other routes", "WebSocket", "like doctor's check"],
)
def test_a_request_of_another_service_is_a_problem_document_that_names_the_rest_api(
    sent: dict[str, Any], log: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    response = app(sent, None)
    problem, (line,) = json.loads(response["body"]), log
    assert response["statusCode"] == problem["status"] == line["status"] == 501
    assert "REST API" in problem["detail"]
    assert line["reason"] == problem["reason"] == "not_a_rest_api"
    assert line["request_id"] == problem["reference"]
    assert response["headers"] == {**HEADERS, **HSTS, "Content-Type": "application/problem+json"}
    assert response["multiValueHeaders"]["Cache-Control"] == ["no-store"], "a load balancer may demand these"
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.promise("H6")
def test_records_are_refused_so_that_no_queue_loses_its_messages(log: list[dict[str, Any]]) -> None:
    with pytest.raises(NotRestApi):
        app({"Records": [{"eventSource": "aws:sqs", "body": "hello"}]}, None)
    (line,) = log
    assert line["reason"] == "not_a_rest_api"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.promise("H6")
@pytest.mark.parametrize("name", sorted({*event()} - {"requestContext"}))
def test_an_event_that_lacks_a_part_is_like_one_with_null(name: str) -> None:
    sent = event("/")
    del sent[name]
    assert app(sent, None)["statusCode"] == 200


@pytest.mark.promise("H6")
@given(
    name=st.sampled_from(sorted(event())),
    value=JSON,
    inner=st.sampled_from([None, *event()["requestContext"]]),
)
def test_an_event_with_any_value_anywhere_gets_a_response_or_null(
    name: str, value: Any, inner: str | None
) -> None:
    sent = event("/")
    if inner:
        sent["requestContext"][inner] = value
    else:
        sent[name] = value
    response = app(sent, None)
    assert response is None or response["statusCode"] in {200, 307, 400, 405, 500, 501}


@pytest.mark.promise("H2")
def test_a_page_whose_request_has_a_body_that_is_no_utf_8_is_shown() -> None:
    assert app(event("/", body="\ud800"), None)["statusCode"] == 200
