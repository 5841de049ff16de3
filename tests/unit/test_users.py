"""The users table: remember, find, end, forget."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config as ClientConfig
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from chalicelib import aws
from chalicelib.deadline import Deadline
from chalicelib.errors import ConfigurationError, UsersUnavailable
from chalicelib.profile import Profile
from chalicelib.session import LIFETIME, Session
from chalicelib.users import MOST_ENDED, Users
from local.dynamodb import CREDENTIALS
from tests.support.dynamodb import Fault, FaultyDynamoDB
from tests.support.servers import free_port
from tests.support.table import TABLE, Table

PIA = Profile.parse(json.dumps({"id": "pia", "account_id": "pia-1"}))
SERVER_ERROR = Fault(500, "InternalServerError")
HAPPENED = Fault(500, "InternalServerError", happened=True)
THROTTLED = Fault(400, "ThrottlingException")
DENIED = Fault(400, "AccessDeniedException")


def pia(login_id: str, session_id: str = "session") -> Session:
    return Session("pia-1", login_id, session_id, 0, 0)


def users_at(monkeypatch: pytest.MonkeyPatch, url: str, table: str = TABLE) -> Users:
    """The users table of a DynamoDB at a URL, through the client of the app."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": url}.items():
        monkeypatch.setenv(name, value)
    return Users(aws.client("dynamodb"), table, Deadline())


@pytest.fixture
def users(table: Table) -> Users:
    return Users(aws.client("dynamodb"), TABLE, Deadline())


class TestRemembering:
    def test_a_user_is_found_by_their_login_id_only(self, users: Users) -> None:
        login_id = users.remember(PIA)
        assert users.find(pia(login_id)) == PIA
        assert users.find(pia("another")) is None
        assert users.find(Session("nobody", login_id, "session", 0, 0)) is None

    def test_logins_of_one_user_share_their_id(self, users: Users) -> None:
        assert users.remember(PIA) == users.remember(PIA)

    def test_login_ids_have_128_random_bits(self, users: Users) -> None:
        ids = set()
        for _ in range(100):
            login_id = users.remember(PIA)
            ids.add(login_id)
            users.forget(pia(login_id))
        assert len(ids) == 100
        assert all(len(login_id) == 22 for login_id in ids)

    def test_the_profile_is_brought_up_to_date(self, users: Users) -> None:
        login_id = users.remember(PIA)
        newer = Profile.parse(json.dumps({"id": "pia", "account_id": "pia-1", "display_name": "New"}))
        users.remember(newer)
        assert users.find(pia(login_id)) == newer
        users.remember(PIA, replaced=pia(login_id))
        assert users.find(pia(login_id, "other")) == PIA

    def test_what_is_stored_expires_after_30_days(self, users: Users, table: Table) -> None:
        users.remember(PIA)
        expires_at = int((table.get("pia-1") or {})["expires_at"]["N"])
        assert abs(expires_at - time.time() - LIFETIME) < 5

    @pytest.mark.parametrize(
        "odd",
        [
            {"login_id": {"N": "7"}},
            {"login_id": {"NULL": True}},
            {"login_id": {"S": "é" * 22}},
            {"login_id": {"S": "a.b" * 10}},
            {"login_id": {"S": "short"}},
            {"login_id": {"M": {}}},
            {"ended": {"S": "session"}},
            {"ended": {"L": [{"S": "session"}]}},
            {"ended": {"M": {}}},
        ],
    )
    def test_an_unusable_attribute_is_overwritten_and_locks_nobody_out(
        self, users: Users, table: Table, odd: dict[str, Any]
    ) -> None:
        before = users.remember(PIA)
        for replaced in (None, pia(before)):
            table.put({**(table.get("pia-1") or {}), "login_id": {"S": before}, **odd})
            login_id = users.remember(PIA, replaced)
            assert users.find(pia(login_id)) == PIA
            assert login_id != before


class TestEnding:
    def test_one_session_leaves_the_others_alone(self, users: Users) -> None:
        login_id = users.remember(PIA)
        users.end(pia(login_id, "phone"))
        assert users.find(pia(login_id, "phone")) is None
        assert users.find(pia(login_id, "laptop")) == PIA

    def test_a_replaced_session_ends_in_the_write_that_stores_the_next_login(self, users: Users) -> None:
        login_id = users.remember(PIA)
        assert users.remember(PIA, replaced=pia(login_id, "old")) == login_id
        assert users.find(pia(login_id, "old")) is None
        assert users.find(pia(login_id, "other")) == PIA

    @pytest.mark.parametrize("login_again", [True, False], ids=["by a login", "by another account's login"])
    def test_with_a_full_set_the_login_id_changes_and_the_set_is_emptied(
        self, users: Users, table: Table, login_again: bool
    ) -> None:
        login_id = users.remember(PIA)
        full = {"ended": {"SS": [f"ended-{number}" for number in range(MOST_ENDED)]}}
        table.put({**(table.get("pia-1") or {}), **full})
        if login_again:
            assert users.remember(PIA, replaced=pia(login_id)) != login_id
        else:
            users.end(pia(login_id))
        item = table.get("pia-1") or {}
        assert item["login_id"]["S"] != login_id
        assert "ended" not in item

    def test_an_ended_session_ends_no_other_though_the_set_is_full(self, users: Users, table: Table) -> None:
        login_id = users.remember(PIA)
        full = {"ended": {"SS": [f"ended-{number}" for number in range(MOST_ENDED)]}}
        table.put({**(table.get("pia-1") or {}), **full})
        users.end(pia(login_id, "ended-7"))
        assert users.remember(PIA, replaced=pia(login_id, "ended-7")) == login_id
        assert users.find(pia(login_id)) == PIA

    def test_one_of_a_login_that_is_over_changes_nothing(self, users: Users, table: Table) -> None:
        users.end(pia("dead"))
        assert table.items() == [], "no item is created"
        current = users.remember(PIA)
        assert users.remember(PIA, replaced=pia("dead")) == current
        assert "ended" not in (table.get("pia-1") or {})


class TestForgetting:
    def test_erases_the_user(self, users: Users, table: Table) -> None:
        assert users.forget(pia(users.remember(PIA)))
        assert table.items() == []

    def test_by_a_dead_session_erases_nobody(self, users: Users, table: Table) -> None:
        login_id = users.remember(PIA)
        users.end(pia(login_id, "ended"))
        for dead in (pia("dead"), pia(login_id, "ended"), Session("nobody", login_id, "session", 0, 0)):
            assert not users.forget(dead)
        assert len(table.items()) == 1


class TestFaults:
    @pytest.fixture
    def dynamodb(self) -> FaultyDynamoDB:
        return FaultyDynamoDB(DomainDispatcherApplication(create_backend_app))

    @pytest.fixture
    def users(self, dynamodb: FaultyDynamoDB, monkeypatch: pytest.MonkeyPatch) -> Users:
        table = f"users-{uuid.uuid4()}"
        return users_at(monkeypatch, dynamodb.serve(table), table)

    @pytest.mark.parametrize("fault", [SERVER_ERROR, HAPPENED, THROTTLED])
    def test_a_single_one_is_not_noticed(self, users: Users, dynamodb: FaultyDynamoDB, fault: Fault) -> None:
        for operation in ("UpdateItem", "GetItem", "DeleteItem"):
            dynamodb.faults[operation] = [fault]
        login_id = users.remember(PIA)
        assert users.find(pia(login_id)) == PIA
        users.forget(pia(login_id))
        assert users.find(pia(login_id)) is None
        assert dynamodb.calls == ["UpdateItem"] * 2 + ["GetItem"] * 2 + ["DeleteItem"] * 2 + ["GetItem"]

    def test_a_write_that_happened_twice_ends_the_replaced_session_only(
        self, users: Users, dynamodb: FaultyDynamoDB
    ) -> None:
        login_id = users.remember(PIA)
        dynamodb.faults["UpdateItem"] = [HAPPENED]
        assert users.remember(PIA, replaced=pia(login_id, "old")) == login_id
        assert users.find(pia(login_id, "old")) is None
        assert users.find(pia(login_id, "other")) == PIA

    @pytest.mark.parametrize("faults", [[SERVER_ERROR] * 3, [THROTTLED] * 3, [DENIED]])
    def test_a_lasting_one_is_reported_by_its_code(
        self, users: Users, dynamodb: FaultyDynamoDB, faults: list[Fault]
    ) -> None:
        dynamodb.faults["UpdateItem"] = list(faults)
        with pytest.raises(UsersUnavailable) as failure:
            users.remember(PIA)
        assert failure.value.detail == faults[0].code
        assert dynamodb.faults["UpdateItem"] == []

    @pytest.mark.parametrize("share", [0.5, 0.01, 0.0])
    @pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
    def test_a_truncated_response_is_a_failed_call_and_is_made_again(
        self, users: Users, dynamodb: FaultyDynamoDB, operation: str, share: float
    ) -> None:
        """A deletion returns `{}`, of which nothing can be missing unnoticed."""
        login_id = users.remember(PIA)
        call: Callable[[], object] = {
            "GetItem": lambda: users.find(pia(login_id)),
            "UpdateItem": lambda: users.remember(PIA),
        }[operation]
        dynamodb.faults[operation] = [Fault(cut=share)]
        dynamodb.calls.clear()
        assert call()
        assert dynamodb.calls == [operation] * 2
        dynamodb.faults[operation] = [Fault(cut=share)] * 3
        with pytest.raises(UsersUnavailable):
            call()

    def test_no_call_begins_without_time_to_finish_it(self, users: Users, dynamodb: FaultyDynamoDB) -> None:
        with pytest.raises(UsersUnavailable) as failure:
            Users(users._client, users._table, Deadline(time.monotonic() + 2.9)).remember(PIA)
        assert failure.value.detail == "deadline"
        assert dynamodb.calls == []

    def test_a_table_that_cannot_be_reached_is_unavailable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(UsersUnavailable):
            users_at(monkeypatch, f"http://127.0.0.1:{free_port()}").remember(PIA)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"AWS_DEFAULT_REGION": ""}, ("AWS_DEFAULT_REGION",)),
        ({"AWS_DEFAULT_REGION": "eu west 1"}, ("AWS_DEFAULT_REGION",)),
        ({"AWS_PROFILE": "missing"}, ("AWS_PROFILE",)),
        ({"AWS_ENDPOINT_URL": "127.0.0.1:1"}, ("AWS_ENDPOINT_URL",)),
        ({"AWS_SECRET_ACCESS_KEY": ""}, ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        (
            {"AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""},
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ),
    ],
)
def test_what_aws_needs_and_lacks_is_a_configuration_error_that_names_it(
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    named: tuple[str, ...],
) -> None:
    elsewhere = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    for name, value in {**elsewhere, "AWS_EC2_METADATA_DISABLED": "true", **environment}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    aws._session.cache_clear()
    with pytest.raises(ConfigurationError) as failure:
        Users(aws.client("dynamodb"), TABLE, Deadline()).find(pia("x"))
    aws._session.cache_clear()
    assert failure.value.settings == named


def test_the_client_checks_checksums_and_never_repeats_a_call_by_itself(table: Table) -> None:
    config: ClientConfig = aws.client("dynamodb").meta.config
    assert config.retries == {"mode": "legacy", "total_max_attempts": 1}  # type: ignore[attr-defined]
    assert boto3.client("dynamodb").meta.config.retries != config.retries  # type: ignore[attr-defined]
