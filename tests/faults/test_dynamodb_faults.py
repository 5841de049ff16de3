"""Every call of the users table, with every fault."""

from __future__ import annotations

import io
import os
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from local.dynamodb import CREDENTIALS
from tests.support.dynamodb import Fault, FaultyDynamoDB
from tests.support.faults import full_house, nobody
from tests.support.gateway import STAGE_URL, GatewayVisitor
from tests.support.table import Table

SESSION = "__Host-spotify-session"
PERMANENT = 9
"""Faults in a row: more than any call is retried."""

FAULTS = {
    "throttled": Fault(400, "ThrottlingException"),
    "over its capacity": Fault(400, "ProvisionedThroughputExceededException"),
    "denied": Fault(400, "AccessDeniedException"),
    "no such table": Fault(400, "ResourceNotFoundException"),
    "credentials expired": Fault(400, "ExpiredTokenException"),
    "500 that did not happen": Fault(),
    "500 that happened": Fault(happened=True),
    "503 HTML": Fault(503, body=b"<html>Service Unavailable</html>"),
    "a hang that did not happen": Fault(hangs=True),
    "a hang that happened": Fault(hangs=True, happened=True),
    "a truncated response": Fault(cut=0.5),
}
PERMITTED = {"throttled", "over its capacity"}
"""Errors of the client's that a retry can heal; those of the server's always can be."""

HAPPENED = {"500 that happened", "a hang that happened", "a truncated response"}


@pytest.fixture
def dynamodb(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> FaultyDynamoDB:
    """A DynamoDB with a users table of this test's own, to be broken."""
    faulty = FaultyDynamoDB(DomainDispatcherApplication(create_backend_app))
    name = f"users-{uuid.uuid4()}"
    for variable, value in (CREDENTIALS | {"USERS_TABLE": name}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.serve(name))
    return faulty


@pytest.fixture
def visitor(dynamodb: FaultyDynamoDB) -> GatewayVisitor:
    return GatewayVisitor()


@pytest.fixture
def items(dynamodb: FaultyDynamoDB) -> Callable[[], list[dict[str, Any]]]:
    """Reads the table of this test."""
    table = Table()
    table.name = os.environ["USERS_TABLE"]
    return table.items


def timed(visitor: GatewayVisitor, url: str) -> Any:
    started = time.monotonic()
    reply = visitor.get(url)
    assert time.monotonic() - started < 20
    return reply


@pytest.mark.parametrize("name", FAULTS)
class TestLastingFaults:
    def test_of_the_login_open_no_session(
        self,
        visitor: GatewayVisitor,
        dynamodb: FaultyDynamoDB,
        items: Callable[[], list[dict[str, Any]]],
        log: list[dict[str, Any]],
        name: str,
    ) -> None:
        callback = visitor.agree(visitor.begin())
        dynamodb.faults["UpdateItem"] = [FAULTS[name]] * PERMANENT
        reply = timed(visitor, callback)
        assert reply.status == 503
        assert f"{STAGE_URL}/login" in reply.links
        assert SESSION not in visitor.cookies
        assert "We do not know whether your last step was completed" in reply.words
        assert f"{STAGE_URL}/logout" in reply.links
        assert log[-1]["reason"] == "users_unavailable"
        assert bool(items()) is (name in HAPPENED)

    def test_of_the_home_page_keep_the_cookie(
        self, visitor: GatewayVisitor, dynamodb: FaultyDynamoDB, name: str
    ) -> None:
        visitor.log_in()
        dynamodb.faults["GetItem"] = [FAULTS[name]] * PERMANENT
        reply = timed(visitor, "/")
        assert (reply.status, reply.set_cookies) == (503, [])
        dynamodb.faults.clear()
        assert visitor.see_id() == "pia.premium"

    def test_of_the_logout_keep_the_cookie_and_say_so(
        self,
        visitor: GatewayVisitor,
        dynamodb: FaultyDynamoDB,
        items: Callable[[], list[dict[str, Any]]],
        name: str,
    ) -> None:
        visitor.log_in()
        dynamodb.faults["DeleteItem"] = [FAULTS[name]] * PERMANENT
        reply = timed(visitor, "/logout")
        assert reply.status == 503 or not items(), "never reported as done when it was not"
        assert (SESSION in visitor.cookies) is (reply.status == 503)
        dynamodb.faults.clear()
        assert visitor.get("/logout").status == 307, "trying again works"
        assert items() == []
        assert visitor.see_id() == "None"


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("operation", ["UpdateItem", "GetItem", "DeleteItem"])
def test_a_single_fault_is_not_noticed_or_reported(
    visitor: GatewayVisitor,
    dynamodb: FaultyDynamoDB,
    items: Callable[[], list[dict[str, Any]]],
    operation: str,
    name: str,
) -> None:
    fault = FAULTS[name]
    healed = fault.status >= 500 or name in PERMITTED
    dynamodb.faults[operation] = [fault]
    statuses = [visitor.log_in().status, visitor.get("/").status, visitor.get("/logout").status]
    assert (503 in statuses) is not healed
    visitor.get("/logout")
    assert items() == []


def test_a_dead_cookie_stays_dead_though_a_write_happened_twice(
    visitor: GatewayVisitor, dynamodb: FaultyDynamoDB
) -> None:
    visitor.log_in()
    copy = GatewayVisitor(cookies=dict(visitor.cookies))
    visitor.get("/logout")
    for _ in range(2):
        dynamodb.faults["UpdateItem"] = [Fault(happened=True)]
        visitor.log_in()
        assert copy.see_id() == "None"
    dynamodb.faults["UpdateItem"] = [Fault(happened=True), Fault(happened=True)]
    copies = [GatewayVisitor(cookies=dict(visitor.cookies))]
    visitor.log_in()
    assert [each.see_id() for each in copies] == ["None"], "a second login in this browser ended it"
    assert visitor.see_id() == "pia.premium"


def test_a_late_write_cannot_bring_back_what_a_logout_ended(
    visitor: GatewayVisitor, dynamodb: FaultyDynamoDB
) -> None:
    """A try that hung is repeated; whatever of both arrives, no login id is ever sent twice."""
    seen: list[str] = []
    inner = dynamodb.app

    def spy(environ: Any, start_response: Any) -> Any:
        if environ["HTTP_X_AMZ_TARGET"].endswith("UpdateItem"):
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            seen.append(body.decode().partition('":fresh": {"S": "')[2].partition('"')[0])
            environ["wsgi.input"] = io.BytesIO(body)
        return inner(environ, start_response)

    dynamodb.app = spy
    dynamodb.faults["UpdateItem"] = [Fault(happened=True), Fault(happened=True)]
    assert visitor.log_in().status == 307
    assert len(seen) == len(set(seen)) == 3
    assert all(len(login_id) == 22 for login_id in seen)


def test_another_accounts_login_stands_though_the_session_before_could_not_be_ended(
    visitor: GatewayVisitor, dynamodb: FaultyDynamoDB, log: list[dict[str, Any]]
) -> None:
    visitor.log_in("premium")
    copy = GatewayVisitor(cookies=dict(visitor.cookies))
    callback = visitor.agree(visitor.begin(), "development")
    denied = Fault(400, "AccessDeniedException")
    dynamodb.faults["UpdateItem"] = [Fault(passes=True), denied]
    assert visitor.get(callback).status == 307
    assert (log[-1]["outcome"], log[-1]["detail"]) == ("completed", "previous_session_not_ended")
    assert visitor.see_id() == "31deva"
    assert copy.see_id() == "pia.premium", "the session that is still open"


def test_a_login_that_may_have_failed_leaves_the_session_before_open(
    visitor: GatewayVisitor, dynamodb: FaultyDynamoDB
) -> None:
    visitor.log_in("premium")
    callback = visitor.agree(visitor.begin(), "development")
    dynamodb.faults["UpdateItem"] = [Fault(happened=True)] * PERMANENT
    assert visitor.get(callback).status == 503
    dynamodb.faults.clear()
    assert visitor.see_id() == "pia.premium", "the home page shows the state, as the message says"


@pytest.mark.parametrize("where", [nobody, full_house])
def test_a_dynamodb_that_cannot_be_reached_is_a_page_in_time(
    visitor: GatewayVisitor,
    log: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    where: Callable[[], str],
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", where())
    monkeypatch.setenv("USERS_TABLE", f"users-{uuid.uuid4()}")
    started = time.monotonic()
    reply = visitor.log_in()
    assert time.monotonic() - started < 20
    assert (reply.status, log[-1]["reason"]) == (503, "users_unavailable")


def test_an_item_that_vanishes_between_calls_is_a_logout(
    visitor: GatewayVisitor, items: Callable[[], list[dict[str, Any]]]
) -> None:
    visitor.log_in()
    other = GatewayVisitor(cookies=dict(visitor.cookies))
    other.get("/logout")
    assert visitor.see_id() == "None"
    assert visitor.get("/logout").status == 307
    assert visitor.log_in().status == 307
    assert len(items()) == 1
