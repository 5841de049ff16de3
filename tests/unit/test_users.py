"""The users table: remember, find, forget."""

from __future__ import annotations

import json
import time
import uuid

import boto3
import pytest
from botocore.config import Config as ClientConfig
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from chalicelib import sessions
from chalicelib.deadline import Deadline
from chalicelib.errors import UsersUnavailable, UsersUncertain
from chalicelib.profile import Profile
from chalicelib.users import LIFETIME, Users
from local.dynamodb import CREDENTIALS
from tests.support.dynamodb import Fault, FaultyDynamoDB
from tests.support.servers import free_port
from tests.support.table import TABLE, Table

PIA = Profile.parse(json.dumps({"id": "pia", "account_id": "pia-1"}))
SERVER_ERROR = Fault(500, "InternalServerError")
HAPPENED = Fault(500, "InternalServerError", happened=True)
THROTTLED = Fault(400, "ThrottlingException")
DENIED = Fault(400, "AccessDeniedException")


def users_at(url: str | None = None, table: str = TABLE) -> Users:
    once = ClientConfig(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
    region = CREDENTIALS["AWS_DEFAULT_REGION"] if url else None
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=region,
        config=once,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    return Users(client, table)


@pytest.fixture
def users(table: Table) -> Users:
    return users_at()


class TestRemembering:
    def test_a_user_is_found_by_their_login_id_only(self, users: Users) -> None:
        login_id = users.remember(PIA, Deadline())
        assert users.find("pia-1", login_id, Deadline()) == PIA
        assert users.find("pia-1", "another", Deadline()) is None
        assert users.find("nobody", login_id, Deadline()) is None

    def test_logins_of_one_user_share_their_id(self, users: Users) -> None:
        assert users.remember(PIA, Deadline()) == users.remember(PIA, Deadline())

    def test_login_ids_have_128_random_bits(self, users: Users) -> None:
        ids = set()
        for _ in range(100):
            login_id = users.remember(PIA, Deadline())
            ids.add(login_id)
            users.forget("pia-1", login_id, Deadline())
        assert len(ids) == 100
        assert all(len(login_id) == 22 for login_id in ids)

    def test_the_profile_is_brought_up_to_date(self, users: Users) -> None:
        users.remember(PIA, Deadline())
        newer = Profile.parse(json.dumps({"id": "pia", "account_id": "pia-1", "display_name": "New"}))
        login_id = users.remember(newer, Deadline())
        assert users.find("pia-1", login_id, Deadline()) == newer

    def test_a_login_id_can_be_replaced_while_it_is_the_users(self, users: Users) -> None:
        old = users.remember(PIA, Deadline())
        new = users.remember(PIA, Deadline(), replacing=old)
        assert new != old
        assert users.find("pia-1", old, Deadline()) is None

    def test_one_that_is_no_longer_the_users_is_not_replaced(self, users: Users) -> None:
        current = users.remember(PIA, Deadline())
        assert users.remember(PIA, Deadline(), replacing="dead") == current

    def test_one_of_a_user_who_is_gone_makes_a_new_one(self, users: Users) -> None:
        assert users.remember(PIA, Deadline(), replacing="dead") != "dead"

    def test_what_is_stored_expires_when_a_session_does(self, users: Users, table: Table) -> None:
        assert LIFETIME == sessions.LIFETIME
        users.remember(PIA, Deadline())
        expires_at = int((table.get("pia-1") or {})["expires_at"]["N"])
        assert abs(expires_at - time.time() - LIFETIME) < 5


class TestForgetting:
    def test_erases_the_user(self, users: Users, table: Table) -> None:
        users.forget("pia-1", users.remember(PIA, Deadline()), Deadline())
        assert table.items() == []

    def test_by_a_dead_login_id_erases_nobody(self, users: Users, table: Table) -> None:
        users.remember(PIA, Deadline())
        users.forget("pia-1", "dead", Deadline())
        users.forget("nobody", "dead", Deadline())
        assert len(table.items()) == 1


class TestTroubles:
    @pytest.fixture
    def dynamodb(self) -> FaultyDynamoDB:
        return FaultyDynamoDB(DomainDispatcherApplication(create_backend_app))

    @pytest.fixture
    def users(self, dynamodb: FaultyDynamoDB) -> Users:
        table = f"users-{uuid.uuid4()}"
        return users_at(dynamodb.serve(table), table)

    @pytest.mark.parametrize("fault", [SERVER_ERROR, HAPPENED, THROTTLED])
    def test_a_short_one_heals(self, users: Users, dynamodb: FaultyDynamoDB, fault: Fault) -> None:
        for operation in ("UpdateItem", "GetItem", "DeleteItem"):
            dynamodb.faults[operation] = [fault]
        login_id = users.remember(PIA, Deadline())
        assert users.find("pia-1", login_id, Deadline()) == PIA
        users.forget("pia-1", login_id, Deadline())
        assert users.find("pia-1", login_id, Deadline()) is None
        assert dynamodb.calls == [
            "UpdateItem",
            "UpdateItem",
            "GetItem",
            "GetItem",
            "DeleteItem",
            "DeleteItem",
            "GetItem",
        ]

    def test_a_write_is_repeated_with_a_login_id_that_nobody_has_had(
        self, users: Users, dynamodb: FaultyDynamoDB
    ) -> None:
        first = users.remember(PIA, Deadline())
        dynamodb.faults["UpdateItem"] = [HAPPENED]
        second = users.remember(PIA, Deadline(), replacing=first)
        assert second != first
        assert users.find("pia-1", second, Deadline()) == PIA
        assert dynamodb.calls.count("UpdateItem") == 4, "store; replace, replace in vain, store"

    def test_a_long_one_of_a_write_says_that_it_may_have_happened(
        self, users: Users, dynamodb: FaultyDynamoDB
    ) -> None:
        dynamodb.faults["UpdateItem"] = [SERVER_ERROR] * 3
        with pytest.raises(UsersUncertain):
            users.remember(PIA, Deadline())

    @pytest.mark.parametrize("faults", [[THROTTLED] * 3, [DENIED]])
    def test_one_that_surely_wrote_nothing_says_so(
        self, users: Users, dynamodb: FaultyDynamoDB, faults: list[Fault]
    ) -> None:
        dynamodb.faults["UpdateItem"] = list(faults)
        with pytest.raises(UsersUnavailable) as failure:
            users.remember(PIA, Deadline())
        assert not isinstance(failure.value, UsersUncertain)
        assert failure.value.detail == faults[0].code
        assert dynamodb.faults["UpdateItem"] == []

    def test_no_call_is_begun_without_time_to_finish_it(self, users: Users, dynamodb: FaultyDynamoDB) -> None:
        with pytest.raises(UsersUnavailable):
            users.remember(PIA, Deadline(time.monotonic() + 2.9))
        assert dynamodb.calls == []

    def test_a_table_that_is_not_there_is_unavailable_and_nothing_was_sent(self) -> None:
        nobody = users_at(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(UsersUnavailable) as failure:
            nobody.remember(PIA, Deadline())
        assert not isinstance(failure.value, UsersUncertain)
