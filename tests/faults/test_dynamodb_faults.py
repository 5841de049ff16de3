"""Every call to the users table, with every fault."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from chalicelib import aws
from local.aws import CREDENTIALS
from tests.support.cloud import Fault
from tests.support.cloud import Service as FaultyDynamoDB
from tests.support.faults import never_accepting, unreachable
from tests.support.gateway import STAGE_URL, GatewayVisitor
from tests.support.table import Table
from tests.support.visitor import Reply

SESSION = "__Host-spotify-session"
PERMANENT = 9
"""The number of faults in a row: more than the retries of any call."""

FAULTS = {
    "throttled": Fault(400, "ThrottlingException"),
    "over capacity": Fault(400, "ProvisionedThroughputExceededException"),
    "access denied": Fault(400, "AccessDeniedException"),
    "no such table": Fault(400, "ResourceNotFoundException"),
    "credentials expired": Fault(400, "ExpiredTokenException"),
    "500, not applied": Fault(),
    "500, applied": Fault(applied=True),
    "503 HTML": Fault(503, body=b"<html>Service Unavailable</html>"),
    "no response, not applied": Fault(hangs=True),
    "no response, applied": Fault(hangs=True, applied=True),
    "half a response": Fault(truncate_to=0.5),
    "an empty response": Fault(truncate_to=0.0),
}
RETRYABLE = {"throttled", "over capacity"}
"""The client errors that are retried. Server errors always are."""

APPLIED = {"500, applied", "no response, applied", "half a response", "an empty response"}


@pytest.fixture(scope="module")
def server() -> tuple[FaultyDynamoDB, str, str]:
    """A DynamoDB in which faults can be injected, its URL, and the name of its users table."""
    faulty, name = FaultyDynamoDB(DomainDispatcherApplication(create_backend_app)), f"users-{uuid.uuid4()}"
    return faulty, faulty.serve(name), name


@pytest.fixture
def items(
    server: tuple[FaultyDynamoDB, str, str], settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[dict[str, Any]]]:
    """A function that reads the table, which is empty at first."""
    _, url, name = server
    for variable, value in {**CREDENTIALS, "USERS_TABLE": name, "AWS_ENDPOINT_URL": url}.items():
        monkeypatch.setenv(variable, value)
    table = Table()
    table.name = name
    for item in table.items():
        table.delete(item["account_id"]["S"])
    return table.items


@pytest.fixture
def dynamodb(
    server: tuple[FaultyDynamoDB, str, str], items: Callable[[], list[dict[str, Any]]]
) -> FaultyDynamoDB:
    """That DynamoDB, without faults."""
    server[0].faults.clear()
    return server[0]


@pytest.fixture
def visitor(dynamodb: FaultyDynamoDB) -> GatewayVisitor:
    return GatewayVisitor()


@pytest.fixture
def fault(name: str, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """The fault of that name. The app waits less for a response that does not arrive."""
    if FAULTS[name].hangs:
        monkeypatch.setattr(aws, "CALL_SECONDS", 0.5)
    return FAULTS[name]


@pytest.mark.parametrize("name", FAULTS)
class TestPersistentFaults:
    @pytest.mark.promise("E6")
    def test_a_login_that_cannot_be_stored_opens_no_session(
        self,
        visitor: GatewayVisitor,
        dynamodb: FaultyDynamoDB,
        items: Callable[[], list[dict[str, Any]]],
        log: list[dict[str, Any]],
        name: str,
        fault: Fault,
    ) -> None:
        callback = visitor.agree(visitor.begin())
        dynamodb.faults["UpdateItem"] = [fault] * PERMANENT
        reply = visitor.get(callback)
        assert reply.status == 503
        assert f"{STAGE_URL}/login" in reply.links
        assert SESSION not in visitor.cookies
        assert "Your last step may or may not have taken effect" in reply.words
        assert f"{STAGE_URL}/logout" in reply.links
        assert log[-1]["reason"] == "users_unavailable"
        assert fault.body or fault.hangs or fault.truncate_to is not None or log[-1]["detail"] == fault.code
        assert bool(items()) is (name in APPLIED)

    def test_a_home_page_that_fails_keeps_the_cookie(
        self, visitor: GatewayVisitor, dynamodb: FaultyDynamoDB, fault: Fault
    ) -> None:
        visitor.log_in()
        dynamodb.faults["GetItem"] = [fault] * PERMANENT
        reply = visitor.get("/")
        assert (reply.status, reply.set_cookies) == (503, [])
        dynamodb.faults.clear()
        assert visitor.see_id() == "pia.premium"

    @pytest.mark.promise("E6")
    def test_a_logout_that_fails_keeps_the_cookie_and_can_be_retried(
        self,
        visitor: GatewayVisitor,
        dynamodb: FaultyDynamoDB,
        items: Callable[[], list[dict[str, Any]]],
        fault: Fault,
    ) -> None:
        visitor.log_in()
        dynamodb.faults["DeleteItem"] = [fault] * PERMANENT
        reply = visitor.get("/logout")
        assert reply.status == 503 or not items(), "a failed deletion is never reported as done"
        assert (SESSION in visitor.cookies) is (reply.status == 503)
        dynamodb.faults.clear()
        assert visitor.get("/logout").status == 307, "a retry works"
        assert items() == []
        assert visitor.see_id() == "None"


@pytest.mark.parametrize("name", FAULTS)
def test_a_single_fault_is_retried_if_retryable_and_reported_otherwise(
    visitor: GatewayVisitor,
    dynamodb: FaultyDynamoDB,
    items: Callable[[], list[dict[str, Any]]],
    name: str,
    fault: Fault,
) -> None:
    retryable = fault.status >= 500 or name in RETRYABLE
    acts: dict[str, tuple[Callable[[], Reply], int]] = {
        "UpdateItem": (visitor.log_in, 307),
        "GetItem": (lambda: visitor.get("/"), 200),
        "DeleteItem": (lambda: visitor.get("/logout"), 307),
    }
    for operation, (act, done) in acts.items():
        dynamodb.faults[operation] = [fault]
        dynamodb.calls.clear()
        assert act().status == (done if retryable else 503)
        assert retryable or act().status == done
        assert dynamodb.calls == [operation] * 2
    assert items() == []


def test_an_ended_session_stays_ended_when_a_write_is_applied_twice(
    visitor: GatewayVisitor, dynamodb: FaultyDynamoDB
) -> None:
    visitor.log_in()
    copy = GatewayVisitor(cookies=dict(visitor.cookies))
    visitor.get("/logout")
    for _ in range(2):
        dynamodb.faults["UpdateItem"] = [Fault(applied=True)]
        visitor.log_in()
        assert copy.see_id() == "None"
    dynamodb.faults["UpdateItem"] = [Fault(applied=True), Fault(applied=True)]
    copies = [GatewayVisitor(cookies=dict(visitor.cookies))]
    visitor.log_in()
    assert [each.see_id() for each in copies] == ["None"], "the second login in this browser ended it"
    assert visitor.see_id() == "pia.premium"


def test_a_login_with_another_account_succeeds_if_the_old_session_cannot_be_ended(
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
    assert copy.see_id() == "pia.premium", "the old session is still open"


@pytest.mark.promise("E6")
def test_a_login_that_cannot_be_stored_keeps_the_previous_session(
    visitor: GatewayVisitor, dynamodb: FaultyDynamoDB
) -> None:
    visitor.log_in("premium")
    callback = visitor.agree(visitor.begin(), "development")
    dynamodb.faults["UpdateItem"] = [Fault(applied=True)] * PERMANENT
    assert visitor.get(callback).status == 503
    dynamodb.faults.clear()
    assert visitor.see_id() == "pia.premium", "the home page shows who is logged in, as the error page says"


@pytest.mark.parametrize("url_of", [unreachable, never_accepting])
def test_an_unreachable_dynamodb_gives_an_error_page_in_time(
    visitor: GatewayVisitor,
    log: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    url_of: Callable[[], str],
) -> None:
    monkeypatch.setattr(aws, "CONNECT_SECONDS", 0.3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url_of())
    monkeypatch.setenv("USERS_TABLE", "another-table")  # so that the app creates a new client
    started = time.monotonic()
    reply = visitor.log_in()
    assert time.monotonic() - started < 4
    assert (reply.status, log[-1]["reason"]) == (503, "users_unavailable")
