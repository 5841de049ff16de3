"""The users table: remember and find users, end sessions, forget users."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as ClientConfig
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from chalicelib import aws, config
from chalicelib.claims import LIFETIME, Claims
from chalicelib.deadline import Deadline
from chalicelib.errors import ConfigurationError, UsersUnavailable
from chalicelib.profile import Profile
from chalicelib.users import MOST_ENDED, Found, Users
from local.aws import CREDENTIALS
from tests.support.cloud import Fault
from tests.support.cloud import Service as FaultyDynamoDB
from tests.support.servers import free_port
from tests.support.table import TABLE, Table

PIA = Profile.parse(json.dumps({"id": "pia", "account_id": "pia-1"}))
SERVER_ERROR = Fault(500, "InternalServerError")
APPLIED = Fault(500, "InternalServerError", applied=True)
THROTTLED = Fault(400, "ThrottlingException")
DENIED = Fault(400, "AccessDeniedException")


def pia(login_id: str, session_id: str = "session") -> Claims:
    return Claims("pia-1", login_id, session_id, 0, 0)


def users_at(monkeypatch: pytest.MonkeyPatch, url: str, table: str = TABLE) -> Users:
    """The users table in a DynamoDB at a URL, with the app's own client."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": url}.items():
        monkeypatch.setenv(name, value)
    return Users(partial(aws.client, "dynamodb"), table, Deadline())


@pytest.fixture
def users(table: Table) -> Users:
    client = aws.client("dynamodb")
    return Users(lambda: client, TABLE, Deadline())


class TestRemember:
    def test_a_user_is_found_only_by_the_current_login_id(self, users: Users) -> None:
        login_id = users.remember(PIA)
        assert users.find(pia(login_id)) == Found(PIA, b"")
        assert users.find(pia("another")) is None
        assert users.find(Claims("unknown-key", login_id, "session", 0, 0)) is None

    def test_logins_of_one_user_share_a_login_id(self, users: Users) -> None:
        assert users.remember(PIA) == users.remember(PIA)

    def test_login_ids_have_128_random_bits(self, users: Users) -> None:
        ids = set()
        for _ in range(100):
            login_id = users.remember(PIA)
            ids.add(login_id)
            users.forget(pia(login_id))
        assert len(ids) == 100
        assert all(len(login_id) == 22 for login_id in ids)

    def test_a_login_updates_the_stored_profile(self, users: Users) -> None:
        login_id = users.remember(PIA)
        newer = Profile.parse(json.dumps({"id": "pia", "account_id": "pia-1", "display_name": "New"}))
        users.remember(newer)
        assert users.find(pia(login_id)) == Found(newer, b"")
        users.remember(PIA, replaced=pia(login_id))
        assert users.find(pia(login_id, "other")) == Found(PIA, b"")

    def test_an_item_expires_after_30_days(self, users: Users, table: Table) -> None:
        users.remember(PIA)
        expires_at = int((table.get("pia-1") or {})["expires_at"]["N"])
        assert abs(expires_at - time.time() - LIFETIME) < 5

    @pytest.mark.promise("D10")
    @pytest.mark.parametrize(
        "attribute",
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
    def test_an_unusable_attribute_is_overwritten_by_the_next_login(
        self, users: Users, table: Table, attribute: dict[str, Any]
    ) -> None:
        before = users.remember(PIA)
        for replaced in (None, pia(before)):
            table.put({**(table.get("pia-1") or {}), "login_id": {"S": before}, **attribute})
            login_id = users.remember(PIA, replaced)
            assert users.find(pia(login_id)) == Found(PIA, b"")
            assert login_id != before


class TestEnd:
    def test_ending_one_session_keeps_the_others(self, users: Users) -> None:
        login_id = users.remember(PIA)
        users.end(pia(login_id, "phone"))
        assert users.find(pia(login_id, "phone")) is None
        assert users.find(pia(login_id, "laptop")) == Found(PIA, b"")

    @pytest.mark.promise("B12")
    def test_the_write_that_stores_a_login_also_ends_the_replaced_session(self, users: Users) -> None:
        login_id = users.remember(PIA)
        assert users.remember(PIA, replaced=pia(login_id, "old")) == login_id
        assert users.find(pia(login_id, "old")) is None
        assert users.find(pia(login_id, "other")) == Found(PIA, b"")

    @pytest.mark.promise("D5")
    @pytest.mark.parametrize("login_again", [True, False], ids=["by a login", "by another account's login"])
    def test_a_full_set_of_ended_sessions_is_emptied_and_the_login_id_changes(
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

    @pytest.mark.promise("E1")
    def test_an_ended_session_cannot_end_others_even_if_the_set_is_full(
        self, users: Users, table: Table
    ) -> None:
        login_id = users.remember(PIA)
        full = {"ended": {"SS": [f"ended-{number}" for number in range(MOST_ENDED)]}}
        table.put({**(table.get("pia-1") or {}), **full})
        users.end(pia(login_id, "ended-7"))
        assert users.remember(PIA, replaced=pia(login_id, "ended-7")) == login_id
        assert users.find(pia(login_id)) == Found(PIA, b"")

    def test_ending_a_session_of_a_past_login_changes_nothing(self, users: Users, table: Table) -> None:
        users.end(pia("past"))
        assert table.items() == [], "no item is created"
        current = users.remember(PIA)
        assert users.remember(PIA, replaced=pia("past")) == current
        assert "ended" not in (table.get("pia-1") or {})


class TestForget:
    def test_forgetting_a_user_deletes_the_item(self, users: Users, table: Table) -> None:
        assert users.forget(pia(users.remember(PIA)))
        assert table.items() == []

    @pytest.mark.promise("E1")
    def test_an_ended_session_cannot_delete_the_item(self, users: Users, table: Table) -> None:
        login_id = users.remember(PIA)
        users.end(pia(login_id, "ended"))
        for ended in (pia("past"), pia(login_id, "ended"), Claims("unknown-key", login_id, "session", 0, 0)):
            assert not users.forget(ended)
        assert len(table.items()) == 1


class TestFaults:
    @pytest.fixture
    def dynamodb(self) -> FaultyDynamoDB:
        return FaultyDynamoDB(DomainDispatcherApplication(create_backend_app))

    @pytest.fixture
    def users(self, dynamodb: FaultyDynamoDB, monkeypatch: pytest.MonkeyPatch) -> Users:
        table = f"users-{uuid.uuid4()}"
        return users_at(monkeypatch, dynamodb.serve(table), table)

    @pytest.mark.parametrize("fault", [SERVER_ERROR, APPLIED, THROTTLED])
    def test_a_single_fault_is_retried(self, users: Users, dynamodb: FaultyDynamoDB, fault: Fault) -> None:
        for operation in ("UpdateItem", "GetItem", "DeleteItem"):
            dynamodb.faults[operation] = [fault]
        login_id = users.remember(PIA)
        assert users.find(pia(login_id)) == Found(PIA, b"")
        users.forget(pia(login_id))
        assert users.find(pia(login_id)) is None
        assert dynamodb.calls == ["UpdateItem"] * 2 + ["GetItem"] * 2 + ["DeleteItem"] * 2 + ["GetItem"]

    def test_a_write_that_is_applied_twice_ends_only_the_replaced_session(
        self, users: Users, dynamodb: FaultyDynamoDB
    ) -> None:
        login_id = users.remember(PIA)
        dynamodb.faults["UpdateItem"] = [APPLIED]
        assert users.remember(PIA, replaced=pia(login_id, "old")) == login_id
        assert users.find(pia(login_id, "old")) is None
        assert users.find(pia(login_id, "other")) == Found(PIA, b"")

    def test_an_abandoned_attempt_never_sends_the_login_id_of_a_later_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may wake up after a logout; an ID that was sent twice could then live again."""
        sent: list[str] = []
        waits = iter([0.6, 0.0])

        class Recorder:
            def update_item(self, **call: Any) -> dict[str, Any]:
                fresh = call["ExpressionAttributeValues"][":fresh"]
                sent.append(fresh["S"])
                return {"Attributes": {"login_id": fresh}}

        def client() -> Recorder:
            time.sleep(next(waits))
            return Recorder()

        monkeypatch.setattr(aws, "CALL_SECONDS", 0.2)
        login_id = Users(client, TABLE, Deadline()).remember(PIA)
        time.sleep(1)
        assert len(sent) == 2
        assert sent[0] == login_id
        assert sent[1] != login_id

    @pytest.mark.parametrize("faults", [[SERVER_ERROR] * 3, [THROTTLED] * 3, [DENIED]])
    def test_a_persistent_fault_is_reported_with_its_code(
        self, users: Users, dynamodb: FaultyDynamoDB, faults: list[Fault]
    ) -> None:
        dynamodb.faults["UpdateItem"] = list(faults)
        with pytest.raises(UsersUnavailable) as failure:
            users.remember(PIA)
        assert failure.value.detail == faults[0].code
        assert dynamodb.faults["UpdateItem"] == []

    @pytest.mark.parametrize("share", [0.5, 0.01, 0.0])
    @pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
    def test_a_truncated_response_is_retried(
        self, users: Users, dynamodb: FaultyDynamoDB, operation: str, share: float
    ) -> None:
        """Deletions are left out: their response is `{}`, of which no part can be missing unnoticed."""
        login_id = users.remember(PIA)
        call: Callable[[], object] = {
            "GetItem": lambda: users.find(pia(login_id)),
            "UpdateItem": lambda: users.remember(PIA),
        }[operation]
        dynamodb.faults[operation] = [Fault(truncate_to=share)]
        dynamodb.calls.clear()
        assert call()
        assert dynamodb.calls == [operation] * 2
        dynamodb.faults[operation] = [Fault(truncate_to=share)] * 3
        with pytest.raises(UsersUnavailable):
            call()

    @pytest.mark.promise("J1")
    def test_no_call_starts_without_time_to_finish(self, users: Users, dynamodb: FaultyDynamoDB) -> None:
        with pytest.raises(UsersUnavailable) as failure:
            Users(users._table._client, TABLE, Deadline(time.monotonic() + 2.9)).remember(PIA)
        assert failure.value.detail == "deadline"
        assert dynamodb.calls == []

    def test_an_unreachable_table_is_reported_as_unavailable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(UsersUnavailable):
            users_at(monkeypatch, f"http://127.0.0.1:{free_port()}").remember(PIA)


KEYS = config.CREDENTIALS
NO_KEYS = dict.fromkeys(KEYS, "")
FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


def configuration_error(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> ConfigurationError:
    """What a read of the table raises with more environment variables; an empty value removes one."""
    elsewhere = {**dict.fromkeys(FILES, "/dev/null"), "HOME": "/nonexistent"}
    for name, value in {**elsewhere, "AWS_EC2_METADATA_DISABLED": "true", **environment}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    aws._session.cache_clear()
    with pytest.raises(ConfigurationError) as failure:
        Users(partial(aws.client, "dynamodb"), TABLE, Deadline()).find(pia("x"))
    aws._session.cache_clear()
    return failure.value


@pytest.mark.parametrize(
    ("environment", "named", "detail"),
    [
        ({"AWS_DEFAULT_REGION": ""}, ("AWS_DEFAULT_REGION",), "NoRegionError"),
        ({"AWS_DEFAULT_REGION": "eu west 1"}, ("AWS_DEFAULT_REGION",), "InvalidRegionError"),
        ({"AWS_PROFILE": "missing"}, ("AWS_PROFILE",), "ProfileNotFound"),
        ({"AWS_ENDPOINT_URL": "127.0.0.1:1"}, (), "ValueError"),
        ({"AWS_CONFIG_FILE": __file__}, FILES, "ConfigParseError"),
        ({"AWS_SHARED_CREDENTIALS_FILE": __file__}, FILES, "ConfigParseError"),
        ({"AWS_DEFAULTS_MODE": "odd"}, ("AWS_DEFAULTS_MODE",), "InvalidDefaultsMode"),
        ({"AWS_STS_REGIONAL_ENDPOINTS": "odd"}, (), "InvalidSTSRegionalEndpointsConfigError"),
        ({"AWS_METADATA_SERVICE_TIMEOUT": "odd"}, (), "ValueError"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, KEYS, "PartialCredentialsError"),
        (NO_KEYS, KEYS, "NoCredentialsError"),
        (
            {**NO_KEYS, "AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/missing"},
            ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
            "FileNotFoundError",
        ),
    ],
)
def test_a_missing_or_invalid_aws_setting_is_a_configuration_error_that_names_it(
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    named: tuple[str, ...],
    detail: str,
) -> None:
    failure = configuration_error(monkeypatch, environment)
    assert (failure.settings, failure.detail) == (named, detail)


SSO = "sso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = x\nsso_start_url = https://x.example"


@pytest.mark.parametrize(
    ("lines", "named", "detail"),
    [
        ("", ("AWS_PROFILE",), "NoCredentialsError"),
        ("aws_access_key_id = x", ("AWS_PROFILE",), "PartialCredentialsError"),
        ("role_arn = x\nsource_profile = missing", ("AWS_PROFILE",), "InvalidConfigError"),
        ("role_arn = x\nsource_profile = other", ("AWS_PROFILE",), "InfiniteLoopConfigError"),
        ("credential_process = false", ("AWS_PROFILE",), "CredentialRetrievalError"),
        ("credential_process = echo x", (), "JSONDecodeError"),
        ("login_session = x", ("AWS_PROFILE",), "LoginTokenLoadError"),
        (SSO, ("AWS_PROFILE",), "SSOTokenLoadError"),
        (SSO.partition("\n")[2], ("AWS_PROFILE",), "InvalidConfigError"),
    ],
)
def test_an_unusable_aws_profile_is_a_configuration_error_that_names_it(
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    lines: str,
    named: tuple[str, ...],
    detail: str,
) -> None:
    file, other = tmp_path / "config", "[profile other]\nrole_arn = x\nsource_profile = chosen"
    file.write_text(f"[profile chosen]\n{lines}\n{other}\n")
    chosen = {**NO_KEYS, "AWS_PROFILE": "chosen", "AWS_CONFIG_FILE": str(file)}
    failure = configuration_error(monkeypatch, chosen)
    assert (failure.settings, failure.detail) == (named, detail)


def test_the_client_verifies_checksums_and_never_retries_by_itself(table: Table) -> None:
    client: ClientConfig = aws.client("dynamodb").meta.config
    assert client.retries == {"mode": "legacy", "total_max_attempts": 1}  # type: ignore[attr-defined]
    assert boto3.client("dynamodb").meta.config.retries != client.retries  # type: ignore[attr-defined]
