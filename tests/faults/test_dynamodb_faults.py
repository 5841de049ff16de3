"""Every call to the users table, with every fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.cloud import Fault, Service
from tests.support.faults import never_accepting, unreachable
from tests.support.gateway import STAGE_URL, GatewayVisitor
from tests.support.table import Table
from tests.support.visitor import Reply

SESSION = "__Host-spotify-session"
PERMANENT = 9
"""The number of faults in a row: more than the retries of any call."""

FAULTS = {
    "throttled": Fault(400, "ThrottlingException"),
    "access denied": Fault(400, "AccessDeniedException"),
    "500, applied": Fault(applied=True),
    "503 HTML, not applied": Fault(503, body=b"<html>"),
    "no response, not applied": Fault(hangs=True),
    "no response, applied": Fault(hangs=True, applied=True),
    "half a response": Fault(truncate_to=0.5),
    "an empty response": Fault(truncate_to=0.0),
}
CODES = {"throttled", "access denied", "500, applied"}
"""The faults whose response has an error code, which is logged."""

APPLIED = {"500, applied", "no response, applied", "half a response", "an empty response"}


@pytest.fixture
def table(aws: Service) -> Table:
    """The users table in which faults can be injected, also for the visitor."""
    return Table()


@pytest.fixture
def fault(name: str, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """The fault of that name. The app waits less for a response that does not arrive."""
    if FAULTS[name].hangs:
        monkeypatch.setattr("chalicelib.aws.CALL_SECONDS", 0.5)
    return FAULTS[name]


@pytest.mark.promise("E6")
@pytest.mark.parametrize("name", FAULTS)
def test_while_a_fault_persists_no_login_opens_a_session_and_no_page_or_logout_loses_one(
    visitor: GatewayVisitor,
    aws: Service,
    table: Table,
    log: list[dict[str, Any]],
    name: str,
    fault: Fault,
) -> None:
    callback = visitor.agree(visitor.begin())
    aws.faults = {call: [fault] * PERMANENT for call in ("UpdateItem", "GetItem", "DeleteItem")}
    reply = visitor.get(callback)
    assert reply.status == 503
    assert {f"{STAGE_URL}/login", f"{STAGE_URL}/logout"} <= set(reply.links)
    assert SESSION not in visitor.cookies
    assert "Your last step may or may not have taken effect" in reply.words
    assert log[-1]["reason"] == "users_unavailable"
    assert name not in CODES or log[-1]["detail"] == fault.code
    aws.faults["UpdateItem"] = []
    assert bool(table.items()) is (name in APPLIED)
    visitor.log_in()
    reply = visitor.get("/")
    assert (reply.status, reply.set_cookies) == (503, [])
    reply = visitor.get("/logout")
    assert reply.status == 503 or not table.items(), "a failed deletion is never reported as done"
    assert (SESSION in visitor.cookies) is (reply.status == 503)
    aws.faults.clear()
    assert visitor.see_id() == ("pia.premium" if table.items() else "None")
    assert visitor.get("/logout").status == 307, "a retry works"
    assert (table.items(), visitor.see_id()) == ([], "None")


@pytest.mark.parametrize("name", FAULTS)
def test_a_single_fault_is_retried_if_retryable_and_reported_otherwise(
    visitor: GatewayVisitor, aws: Service, table: Table, name: str, fault: Fault
) -> None:
    retryable = name != "access denied"
    acts: dict[str, tuple[Callable[[], Reply], int]] = {
        "UpdateItem": (visitor.log_in, 307),
        "GetItem": (lambda: visitor.get("/"), 200),
        "DeleteItem": (lambda: visitor.get("/logout"), 307),
    }
    for operation, (act, done) in acts.items():
        aws.faults[operation] = [fault]
        aws.calls.clear()
        assert act().status == (done if retryable else 503)
        assert retryable or act().status == done
        assert aws.calls == [operation] * 2
    assert table.items() == []


def test_an_ended_session_stays_ended_when_a_write_is_applied_twice(
    visitor: GatewayVisitor, aws: Service
) -> None:
    visitor.log_in()
    copy = GatewayVisitor(cookies=dict(visitor.cookies))
    visitor.get("/logout")
    for _ in range(2):
        aws.faults["UpdateItem"] = [Fault(applied=True)]
        visitor.log_in()
        assert copy.see_id() == "None"
        assert visitor.see_id() == "pia.premium"


def test_a_login_with_another_account_succeeds_if_the_old_session_cannot_be_ended(
    visitor: GatewayVisitor, aws: Service, log: list[dict[str, Any]]
) -> None:
    visitor.log_in("premium")
    copy = GatewayVisitor(cookies=dict(visitor.cookies))
    callback = visitor.agree(visitor.begin(), "development")
    denied = Fault(400, "AccessDeniedException")
    aws.faults["UpdateItem"] = [Fault(passes=True), denied]
    assert visitor.get(callback).status == 307
    assert (log[-1]["outcome"], log[-1]["detail"]) == ("completed", "previous_session_not_ended")
    assert visitor.see_id() == "31deva"
    assert copy.see_id() == "pia.premium", "the old session is still open"


@pytest.mark.promise("E6")
def test_a_login_that_cannot_be_stored_keeps_the_previous_session(
    visitor: GatewayVisitor, aws: Service
) -> None:
    visitor.log_in("premium")
    callback = visitor.agree(visitor.begin(), "development")
    aws.faults["UpdateItem"] = [Fault(applied=True)] * PERMANENT
    assert visitor.get(callback).status == 503
    aws.faults.clear()
    assert visitor.see_id() == "pia.premium", "the home page shows who is logged in, as the error page says"


@pytest.mark.parametrize("url_of", [unreachable, never_accepting])
def test_an_unreachable_dynamodb_gives_an_error_page_in_time(
    visitor: GatewayVisitor,
    log: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    url_of: Callable[[], str],
) -> None:
    monkeypatch.setattr("chalicelib.aws.CONNECT_SECONDS", 0.3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url_of())
    monkeypatch.setenv("USERS_TABLE", "another-table")  # so that the app creates a new client
    started = time.monotonic()
    reply = visitor.log_in()
    assert time.monotonic() - started < 4
    assert (reply.status, log[-1]["reason"]) == (503, "users_unavailable")
