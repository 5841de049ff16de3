"""The KMS key of a stage that keeps access, created, repaired and deleted in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.account import Account
from deploy.key import Key
from deploy.stage import Stage, Stop
from tests.support.deployment import ALIAS, Emulator


@pytest.fixture
def key(account: Emulator, here: Account) -> Key:
    """The stage's key."""
    account.edit({"TOKENS_KMS_ALIAS": ALIAS})
    key = Key(Stage.load("dev", account.checkout), here)
    key.create()
    return key


@pytest.fixture
def kms(account: Emulator) -> Any:
    return account.client("kms")


def test_a_key_gets_its_alias_once_kms_finds_it(key: Key) -> None:
    assert (key.describe()["KeyState"], key.faults(), key.create()) == ("Enabled", [], False)


@pytest.mark.parametrize("state", ["PendingDeletion", "Disabled"])
def test_a_key_that_cannot_be_used_is_enabled_again(key: Key, kms: Any, state: str) -> None:
    own = key.describe()["KeyId"]
    (kms.disable_key if state == "Disabled" else kms.schedule_key_deletion)(KeyId=own)
    assert key.faults() == [f"The state of key {ALIAS} is {state}, not Enabled"]
    assert key.create() is False
    assert (key.describe()["KeyId"], key.faults()) == (own, [])


def test_a_key_keeps_its_tokens_when_its_alias_changes(key: Key, kms: Any) -> None:
    own = key.describe()["KeyId"]
    kms.delete_alias(AliasName=ALIAS)
    assert key.faults() == [f"Key {ALIAS} does not exist"]
    assert own in key.existing()[0]
    assert key.create() is True
    assert key.describe()["KeyId"] == own


def test_a_key_that_the_deployer_must_not_read_is_not_used(
    account: Emulator, key: Key, kms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = key.describe()["KeyId"]
    kms.delete_alias(AliasName=ALIAS)
    denied = {"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    kept = kms.get_key_policy(KeyId=own)["Policy"]
    kms.put_key_policy(KeyId=own, Policy=json.dumps({"Statement": [denied]}))
    for name, value in account.user_denied("kms:ReEncrypt").items():
        monkeypatch.setenv(name, value)
    assert Key(Stage.load("dev", account.checkout), Account.current()).existing() == []
    kms.put_key_policy(KeyId=own, Policy=kept)


@pytest.mark.parametrize(
    "definition",
    [
        {
            "KeySpec": "HMAC_256",
            "KeyUsage": "GENERATE_VERIFY_MAC",
            "Tags": {"app": "spotify-login", "stage": "dev"},
        },
        {"Tags": {"app": "spotify-login", "stage": "prod"}},
        {},
    ],
)
def test_a_key_of_another_kind_stage_or_app_is_not_used(
    key: Key, kms: Any, definition: dict[str, Any]
) -> None:
    own = key.describe()["KeyId"]
    tags = [{"TagKey": name, "TagValue": value} for name, value in definition.get("Tags", {}).items()]
    other = kms.create_key(**{**definition, "Tags": tags})["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=ALIAS, TargetKeyId=other)
    for use in (key.describe, key.existing, key.create, key.delete):
        with pytest.raises(
            Stop, match="is not this stage's: it has other tags, or is not for symmetric encryption"
        ):
            use()
    assert kms.describe_key(KeyId=other)["KeyMetadata"]["KeyState"] == "Enabled"
    kms.update_alias(AliasName=ALIAS, TargetKeyId=own)
    kms.schedule_key_deletion(KeyId=other)


def test_a_deletion_that_was_interrupted_is_completed_and_then_another_key_is_created(
    key: Key, kms: Any
) -> None:
    own = key.describe()["KeyId"]
    kms.schedule_key_deletion(KeyId=own)  # and then its alias could not be deleted
    key.delete()
    assert key.existing() == []
    assert key.create() is True
    assert key.describe()["KeyId"] != own


def test_a_stage_without_an_alias_calls_no_kms(
    account: Emulator, here: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in account.user_denied("kms:*").items():
        monkeypatch.setenv(name, value)
    off = Key(Stage.load("prod", account.checkout), Account.current())
    assert (off.alias, off.describe(), off.existing(), off.faults(), off.create()) == ("", {}, [], [], False)
    off.delete()
