"""What the log contains, and what it must not contain."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta
from typing import Any, Self

import pytest

from chalicelib import log as logs
from simulator.spotify import Application
from tests.support.gateway import GatewayVisitor, event, invoke
from tests.support.table import Table
from tests.support.visitor import query_of
from tests.support.world import SECRET_KEY


@pytest.mark.promise("I1")
def test_each_login_and_logout_event_is_one_log_line(
    visitor: GatewayVisitor, log: list[dict[str, Any]]
) -> None:
    visitor.log_in()
    visitor.see_id()
    visitor.get("/logout")
    refused = visitor.log_in("unlisted")
    assert [(line["event"], line["outcome"], line["status"]) for line in log] == [
        ("login", "begun", 307),
        ("login", "completed", 307),
        ("logout", "completed", 307),
        ("login", "begun", 307),
        ("login", "refused", 403),
    ]
    for line in log:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
        assert line["request_id"] == "0b1c2d3e-0000-4000-8000-000000000001"
        assert line["duration_ms"] >= 0
    assert log[1]["session"] == log[2]["session"]
    assert (log[-1]["reason"], log[-1]["detail"]) == ("not_on_user_list", "me 403")
    assert log[-1]["request_id"] in refused.words


@pytest.mark.promise("I3")
def test_an_unknown_state_is_a_security_event_with_its_source_as_a_daily_keyed_hash(
    visitor: GatewayVisitor, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def source(address: str, key: str = SECRET_KEY) -> str:
        monkeypatch.setenv("SECRET_KEY", key)
        sent = event("/callback?state=forged&code=c")
        sent["requestContext"]["identity"] = {"sourceIp": address}
        invoke(sent)
        assert (log[-1]["reason"], log[-1]["security"]) == ("login_unknown", True)
        assert address not in str(log)
        return str(log[-1]["source"])

    one = source("192.0.2.1")
    assert re.fullmatch("[0-9a-f]{12}", one)
    assert source("192.0.2.1") == one
    assert source("192.0.2.2") != one
    assert source("192.0.2.1", key="another signing key that is used only in tests") != one

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Self:
            return super().now(tz) + timedelta(days=1)

    monkeypatch.setattr(logs, "datetime", Tomorrow)
    assert source("192.0.2.1") != one


@pytest.mark.promise("A6", "I2")
def test_debug_logs_contain_no_personal_data_and_no_secret_and_no_response_contains_a_secret_or_a_token(
    visitor: GatewayVisitor, table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    """Covers every logger, including those of Chalice, botocore and urllib3."""
    caplog.set_level(logging.DEBUG)
    responses = ""
    secrets = {SECRET_KEY, Application.client_secret}
    for persona in ("premium", "odd", "unlisted", "garbage", "quota"):
        url = visitor.begin()
        callback = visitor.agree(url, persona)
        secrets |= {query_of(callback)["code"], query_of(callback)["state"], query_of(url)["code_challenge"]}
        secrets |= {
            field for value in visitor.cookies.values() for field in value.split(".") if len(field) > 12
        }
        responses += f"{url} {visitor.get(callback)}"
        secrets |= set(visitor.cookies.values())
        responses += str(visitor.get("/"))
    secrets |= {item["login_id"]["S"] for item in table.items()}
    responses += str(visitor.get("/logout"))
    assert Application.client_secret not in responses
    assert SECRET_KEY not in responses
    assert not re.search(r"[AB]Q[\w-]{128}", responses), "a Spotify token or code"
    secrets |= {"pia@example.com", "Pia Premium", "pia.premium", "7h3pr3m1uml1573n3r0000", "alert(1)"}
    records = [record for record in caplog.records if not record.name.startswith(("werkzeug", "moto"))]
    lines = [logging.Formatter("%(message)s").format(record) for record in records]
    text = "\n".join(line for line in lines if "POST /authorize?" not in line)  # the test's own request
    assert any(record.name == "urllib3.connectionpool" for record in records), "urllib3 logs at this level"
    assert "login_unknown" in text or "not_on_user_list" in text
    assert not {secret for secret in secrets if secret in text}
