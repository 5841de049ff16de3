"""The users table: remember and find users, end sessions, forget users."""

from __future__ import annotations

import json
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as ClientConfig

from chalicelib import aws
from chalicelib.claims import Claims
from chalicelib.config import CREDENTIALS
from chalicelib.deadline import Deadline
from chalicelib.errors import ConfigurationError, UsersUnavailable
from chalicelib.profile import Profile
from chalicelib.users import MOST_ENDED, Found, Users
from tests.support.table import TABLE, Table

PIA = Profile.parse(json.dumps({"id": "pia", "account_id": "pia-1"}))


def pia(login_id: str, session_id: str = "session") -> Claims:
    return Claims("pia-1", login_id, session_id, 0, 0)


@pytest.fixture
def users(table: Table) -> Users:
    client = aws.Clients().get("dynamodb")
    return Users(lambda: client, TABLE, Deadline())


class TestRemember:
    def test_a_login_updates_the_stored_profile(self, users: Users) -> None:
        login_id = users.remember(PIA)
        assert users.find(pia(login_id)) == Found(PIA, b"")
        newer = Profile.parse(json.dumps({"id": "pia", "account_id": "pia-1", "display_name": "New"}))
        users.remember(newer)
        assert users.find(pia(login_id)) == Found(newer, b"")
        users.remember(PIA, replaced=pia(login_id))
        assert users.find(pia(login_id, "other")) == Found(PIA, b"")

    @pytest.mark.promise("D10")
    @pytest.mark.parametrize(
        "attribute",
        [
            {"login_id": {"N": "7"}},
            {"login_id": {"S": "é" * 22}},
            {"login_id": {"S": "short"}},
            {"ended": {"L": [{"S": "session"}]}},
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


def remember_with_full_set(users: Users, table: Table) -> str:
    login_id = users.remember(PIA)
    full = {"ended": {"SS": [f"ended-{number}" for number in range(MOST_ENDED)]}}
    table.put({**(table.get("pia-1") or {}), **full})
    return login_id


class TestEnd:
    @pytest.mark.promise("D5")
    @pytest.mark.parametrize("login_again", [True, False], ids=["by a login", "by another account's login"])
    def test_a_full_set_of_ended_sessions_is_emptied_and_the_login_id_changes(
        self, users: Users, table: Table, login_again: bool
    ) -> None:
        login_id = remember_with_full_set(users, table)
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
        login_id = remember_with_full_set(users, table)
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
    @pytest.mark.promise("E1")
    def test_an_ended_session_cannot_delete_the_item(self, users: Users, table: Table) -> None:
        login_id = users.remember(PIA)
        users.end(pia(login_id, "ended"))
        for ended in (pia("past"), pia(login_id, "ended"), Claims("unknown-key", login_id, "session", 0, 0)):
            assert not users.forget(ended)
        assert len(table.items()) == 1


class Recorder:
    """Keeps the calls, and responds like DynamoDB to the first login of a user."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def update_item(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return {"Attributes": {"login_id": call["ExpressionAttributeValues"][":fresh"]}}

    def get_item(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return {}


class TestCalls:
    @pytest.mark.promise("D1")
    def test_login_ids_have_128_random_bits(self, times: int) -> None:
        recorder = Recorder()
        users = Users(lambda: recorder, "users", Deadline(time.monotonic() + 60))
        ids = {users.remember(PIA) for _ in range(300 * times)}
        assert len(ids) == 300 * times
        assert all(re.fullmatch(r"[\w-]{22}", login_id, re.ASCII) for login_id in ids)

    @pytest.mark.promise("D9")
    def test_reads_are_strongly_consistent_and_use_the_table_itself(self) -> None:
        recorder = Recorder()
        Users(lambda: recorder, "users", Deadline()).find(Claims("key", "login", "session", 0, 0))
        key = {"account_id": {"S": "key"}}
        assert recorder.calls == [{"TableName": "users", "Key": key, "ConsistentRead": True}]

    @pytest.mark.promise("E1")
    def test_an_abandoned_attempt_never_sends_the_login_id_of_a_later_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may wake up after a logout; an ID that was sent twice could then live again."""
        recorder, waits = Recorder(), iter([0.6, 0.0])

        def client() -> Recorder:
            time.sleep(next(waits))
            return recorder

        monkeypatch.setattr(aws, "CALL_SECONDS", 0.2)
        login_id = Users(client, TABLE, Deadline()).remember(PIA)
        while len(recorder.calls) < 2:
            time.sleep(0.05)
        sent = [call["ExpressionAttributeValues"][":fresh"]["S"] for call in recorder.calls]
        assert sent[0] == login_id
        assert sent[1] != login_id

    @pytest.mark.promise("J1")
    def test_no_call_starts_without_time_to_finish(self) -> None:
        recorder = Recorder()
        with pytest.raises(UsersUnavailable) as failure:
            Users(lambda: recorder, TABLE, Deadline(time.monotonic() + 2.9)).remember(PIA)
        assert (failure.value.detail, recorder.calls) == ("deadline", [])


FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
NO_KEYS = dict.fromkeys(CREDENTIALS, "")
CHOSEN = {**NO_KEYS, "AWS_PROFILE": "chosen"}
SSO = "sso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = x\nsso_start_url = https://x.example"


@pytest.mark.parametrize(
    ("environment", "profile", "named", "detail"),
    [
        ({"AWS_DEFAULT_REGION": ""}, "", ("AWS_DEFAULT_REGION",), "NoRegionError"),
        ({"AWS_DEFAULT_REGION": "eu west 1"}, "", ("AWS_DEFAULT_REGION",), "InvalidRegionError"),
        ({"AWS_ENDPOINT_URL": "127.0.0.1:1"}, "", (), "ValueError"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "", CREDENTIALS, "PartialCredentialsError"),
        (NO_KEYS, "", CREDENTIALS, "NoCredentialsError"),
        ({"AWS_CONFIG_FILE": __file__}, "", FILES, "ConfigParseError"),
        ({"AWS_PROFILE": "missing"}, "", ("AWS_PROFILE",), "ProfileNotFound"),
        (CHOSEN, "", ("AWS_PROFILE",), "NoCredentialsError"),
        (CHOSEN, "role_arn = x\nsource_profile = missing", ("AWS_PROFILE",), "InvalidConfigError"),
        (CHOSEN, "credential_process = false", ("AWS_PROFILE",), "CredentialRetrievalError"),
        (CHOSEN, "credential_process = echo x", (), "JSONDecodeError"),
        (CHOSEN, SSO, ("AWS_PROFILE",), "SSOTokenLoadError"),
    ],
)
def test_a_missing_or_invalid_aws_setting_is_a_configuration_error_that_names_it(
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: dict[str, str],
    profile: str,
    named: tuple[str, ...],
    detail: str,
) -> None:
    """An empty variable is removed. The file holds a profile named `chosen`."""
    file = tmp_path / "config"
    file.write_text(f"[profile chosen]\n{profile}\n")
    files = {"AWS_CONFIG_FILE": str(file), "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    for name, value in {**files, "AWS_EC2_METADATA_DISABLED": "true", **environment}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError) as failure:
        Users(partial(aws.Clients().get, "dynamodb"), TABLE, Deadline()).find(pia("x"))
    assert (failure.value.settings, failure.value.detail) == (named, detail)


def test_the_client_verifies_checksums_and_never_retries_by_itself(table: Table) -> None:
    client: ClientConfig = aws.Clients().get("dynamodb").meta.config
    assert client.retries == {"mode": "legacy", "total_max_attempts": 1}  # type: ignore[attr-defined]
    assert boto3.client("dynamodb").meta.config.retries != client.retries  # type: ignore[attr-defined]
