"""Every call of the users table, with every fault."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from chalicelib import services
from local.dynamodb import CREDENTIALS
from tests.support.dynamodb import Fault, FaultyDynamoDB
from tests.support.faults import full_house, nobody
from tests.support.gateway import STAGE_URL, GatewayVisitor
from tests.support.table import Table

SESSION = "__Host-spotify-session"
PERMANENT = 9
"""Faults in a row: more than anybody repeats a call."""

SURE = {
    "throttled": Fault(400, "ThrottlingException"),
    "over its capacity": Fault(400, "ProvisionedThroughputExceededException"),
    "denied": Fault(400, "AccessDeniedException"),
    "no such table": Fault(400, "ResourceNotFoundException"),
    "credentials expired": Fault(400, "ExpiredTokenException"),
}
"""Troubles that surely wrote nothing."""

UNSURE = {
    "500 that did not happen": Fault(),
    "500 that happened": Fault(happened=True),
    "503 HTML": Fault(503, body=b"<html>Service Unavailable</html>"),
    "a hang that did not happen": Fault(hangs=True),
    "a hang that happened": Fault(hangs=True, happened=True),
}
"""Troubles after which nobody knows."""


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
    table.name = services.config().users_table
    return table.items


def timed(visitor: GatewayVisitor, url: str) -> Any:
    started = time.monotonic()
    reply = visitor.get(url)
    assert time.monotonic() - started < 20
    return reply


@pytest.mark.parametrize("name", SURE | UNSURE)
class TestLongTroubles:
    def test_of_the_login_open_no_session(
        self,
        visitor: GatewayVisitor,
        dynamodb: FaultyDynamoDB,
        items: Callable[[], list[dict[str, Any]]],
        log: list[dict[str, Any]],
        name: str,
    ) -> None:
        callback = visitor.agree(visitor.begin())
        dynamodb.faults["UpdateItem"] = [(SURE | UNSURE)[name]] * PERMANENT
        reply = timed(visitor, callback)
        assert reply.status == 503
        assert f"{STAGE_URL}/login" in reply.links
        assert SESSION not in visitor.cookies
        unsure = name in UNSURE
        assert ("erases itself within 30 days" in reply.words) is unsure
        assert log[-1]["reason"] == ("users_uncertain" if unsure else "users_unavailable")
        assert bool(items()) is ("happened" in name and "not" not in name)

    def test_of_the_home_page_keep_the_cookie(
        self, visitor: GatewayVisitor, dynamodb: FaultyDynamoDB, name: str
    ) -> None:
        visitor.log_in()
        dynamodb.faults["GetItem"] = [(SURE | UNSURE)[name]] * PERMANENT
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
        dynamodb.faults["DeleteItem"] = [(SURE | UNSURE)[name]] * PERMANENT
        reply = timed(visitor, "/logout")
        assert reply.status == 503 or not items(), "never told as done when it was not"
        assert (SESSION in visitor.cookies) is (reply.status == 503)
        dynamodb.faults.clear()
        assert visitor.get("/logout").status == 307, "trying again works"
        assert items() == []
        assert visitor.see_id() == "None"


@pytest.mark.parametrize("fault", [*SURE.values(), *UNSURE.values()], ids=[*SURE, *UNSURE])
@pytest.mark.parametrize("operation", ["UpdateItem", "GetItem", "DeleteItem"])
def test_a_single_trouble_is_healed_or_told(
    visitor: GatewayVisitor,
    dynamodb: FaultyDynamoDB,
    items: Callable[[], list[dict[str, Any]]],
    operation: str,
    fault: Fault,
) -> None:
    healed = (
        fault.status >= 500
        or fault.code
        in {
            "ThrottlingException",
            "ProvisionedThroughputExceededException",
        }
        or fault.hangs
        or fault.body is not None
    )
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


def test_another_users_login_waits_for_the_one_before_to_be_forgotten(
    visitor: GatewayVisitor, dynamodb: FaultyDynamoDB, items: Callable[[], list[dict[str, Any]]]
) -> None:
    visitor.log_in("premium")
    before = items()
    dynamodb.faults["DeleteItem"] = [Fault(400, "AccessDeniedException")]
    reply = visitor.log_in("development")
    assert reply.status == 503
    assert items() == before, "nothing is stored"
    assert visitor.see_id() == "pia.premium", "signed in as before"


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
