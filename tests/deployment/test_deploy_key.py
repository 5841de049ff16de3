"""Kept access: deploy, repair and destroy its KMS key on an emulated AWS that enforces policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from deploy.account import Account
from deploy.key import Key
from deploy.stage import Stage
from tests.support.deployment import REGION, Emulator, emulator

ALIAS = "alias/spotify-login-dev"
TABLE = "spotify-login-users-dev"
ROLE = "spotify-login-dev-api_handler"
FIVE_MINUTES = "AWS can take up to five minutes to let the function use the key."


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account where a first deployment with kept access was interrupted, and the second one succeeded."""
    with emulator(tmp_path_factory.mktemp("emulator")) as started:
        started.edit(throttling={"rate": 1000, "burst": 1000})
        started.keep_access("dev", ALIAS)
        interrupted = started.deploy("deploy", "dev", **started.user_denied("kms:CreateAlias", "*"))
        assert "A call to AWS failed: " in interrupted.stdout
        assert "Completed steps: check the setup." in interrupted.stdout
        assert (len(keys(started)), started.resources()["alias"]) == (1, [])
        done = started.deploy("deploy", "dev")
        assert done.returncode == 0, done.stdout
        assert "create the table, the key, the log and the alarms\n" in done.stdout
        assert f"    Key {ALIAS} does not exist; created\n" in done.stdout
        assert done.stdout.count(FIVE_MINUTES) == 1
        yield started


@pytest.fixture
def key(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Key:
    """The stage's key."""
    for name, value in aws.terminal.items():
        monkeypatch.setenv(name, value)
    return Key(Stage.load("dev", aws.checkout), Account.current())


def keys(aws: Emulator) -> list[dict[str, Any]]:
    """The descriptions of all keys."""
    kms = aws.client("kms")
    listed = kms.list_keys()["Keys"]
    return [kms.describe_key(KeyId=found["KeyId"])["KeyMetadata"] for found in listed]


def test_the_key_is_as_documented(aws: Emulator) -> None:
    (found,) = keys(aws)
    assert (found["KeySpec"], found["KeyUsage"]) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    assert (found["KeyState"], found["Origin"], found["MultiRegion"]) == ("Enabled", "AWS_KMS", False)
    assert found["Description"] == f"Encrypts the Spotify tokens in table {TABLE}"
    kms = aws.client("kms")
    assert kms.describe_key(KeyId=ALIAS)["KeyMetadata"] == found
    tags = kms.list_resource_tags(KeyId=found["KeyId"])["Tags"]
    assert {tag["TagKey"]: tag["TagValue"] for tag in tags} == {"app": "spotify-login", "stage": "dev"}
    assert kms.get_key_rotation_status(KeyId=found["KeyId"])["KeyRotationEnabled"] is False
    assert aws.resources()["alias"] == [ALIAS]


@pytest.mark.promise("M15")
def test_the_function_has_the_alias_and_may_use_the_key(aws: Emulator) -> None:
    function = aws.client("lambda").get_function_configuration(FunctionName="spotify-login-dev")
    assert function["Environment"]["Variables"]["TOKENS_KMS_ALIAS"] == ALIAS
    policy = aws.client("iam").get_role_policy(RoleName=ROLE, PolicyName=ROLE)["PolicyDocument"]
    own = json.loads((aws.checkout / ".chalice" / "policy-dev.json").read_text())
    assert policy["Statement"] == [
        *own["Statement"],
        {
            "Sid": "Tokens",
            "Effect": "Allow",
            "Action": ["kms:Encrypt", "kms:Decrypt"],
            "Resource": "arn:*:kms:*:*:key/*",
            "Condition": {
                "StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"},
                "ForAnyValue:StringEquals": {"kms:ResourceAliases": ALIAS},
            },
        },
    ]


def test_a_login_keeps_the_tokens_encrypted(aws: Emulator) -> None:
    assert aws.visitor().log_in("premium").status == 307
    (item,) = aws.client("dynamodb").scan(TableName=TABLE)["Items"]
    sealed, context = item["tokens"]["B"], {"table": TABLE}
    opened = aws.client("kms").decrypt(KeyId=ALIAS, CiphertextBlob=sealed, EncryptionContext=context)
    assert json.loads(opened["Plaintext"])["refresh_token"].startswith("AQ")


@pytest.mark.promise("M15")
def test_the_role_may_use_no_other_key_and_change_none(aws: Emulator) -> None:
    owner = aws.client("kms")
    credentials = aws.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::000000000000:role/{ROLE}", RoleSessionName="test"
    )["Credentials"]
    session = boto3.Session(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"], REGION
    )
    kms = session.client("kms", endpoint_url=aws.url)
    context = {"table": TABLE}
    own = owner.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    for name in (ALIAS, own):
        sealed = kms.encrypt(KeyId=name, Plaintext=b"tokens", EncryptionContext=context)["CiphertextBlob"]
        opened = kms.decrypt(KeyId=name, CiphertextBlob=sealed, EncryptionContext=context)
        assert opened["Plaintext"] == b"tokens"
    with pytest.raises(ClientError, match="InvalidCiphertext"):
        kms.decrypt(KeyId=ALIAS, CiphertextBlob=sealed, EncryptionContext={"table": "another"})
    unnamed, other = (owner.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    wait_for_alias(owner, "alias/spotify-login-prod", other)
    foreign = owner.encrypt(KeyId=other, Plaintext=b"x")["CiphertextBlob"]
    beyond: list[Callable[[], Any]] = [
        *(
            lambda name=name: kms.encrypt(KeyId=name, Plaintext=b"x")
            for name in (unnamed, other, "alias/spotify-login-prod")
        ),
        lambda: kms.decrypt(CiphertextBlob=foreign),
        lambda: kms.decrypt(KeyId="alias/spotify-login-prod", CiphertextBlob=foreign),
        lambda: kms.generate_data_key(KeyId=ALIAS, KeySpec="AES_256"),
        lambda: kms.create_alias(AliasName="alias/x", TargetKeyId=own),
        lambda: kms.disable_key(KeyId=own),
        lambda: kms.schedule_key_deletion(KeyId=own),
    ]
    for call in beyond:
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    owner.delete_alias(AliasName="alias/spotify-login-prod")


def wait_for_alias(kms: Any, alias: str, key_id: str) -> None:
    """Create an alias as soon as KMS finds the key."""
    while True:
        try:
            kms.create_alias(AliasName=alias, TargetKeyId=key_id)
        except kms.exceptions.NotFoundException:
            continue
        return


def test_doctor_warns_of_kept_access_with_every_scope(aws: Emulator) -> None:
    warning = "Note: The app keeps access with all 17 scopes: a stolen token could do everything."
    found = aws.deploy("doctor", "dev")
    assert found.returncode == 0, found.stdout
    assert warning in found.stdout
    scope = "/spotify-login/dev/SPOTIFY_SCOPE"
    aws.client("ssm").put_parameter(Name=scope, Value="user-top-read", Type="SecureString")
    assert warning not in aws.deploy("doctor", "dev").stdout
    aws.client("ssm").delete_parameter(Name=scope)


def test_doctor_reports_an_alias_that_is_not_in_config_json(aws: Emulator) -> None:
    found = aws.deploy("doctor", "dev", TOKENS_KMS_ALIAS="alias/mine")
    assert found.returncode == 0, found.stdout
    assert f"Note: TOKENS_KMS_ALIAS is alias/mine here, but {ALIAS} in .chalice/config.json." in found.stdout
    elsewhere = aws.deploy("doctor", "prod", TOKENS_KMS_ALIAS="alias/mine")
    assert "but not set in .chalice/config.json." in elsewhere.stdout
    parameter = "/spotify-login/dev/TOKENS_KMS_ALIAS"
    aws.client("ssm").put_parameter(Name=parameter, Value="alias/mine", Type="SecureString")
    failed = aws.deploy("doctor", "dev", TOKENS_KMS_ALIAS=ALIAS)
    aws.client("ssm").delete_parameter(Name=parameter)
    assert "here, but" not in failed.stdout
    assert failed.returncode == 1
    assert f"        aws ssm delete-parameter --name {parameter}\n" in failed.stdout


@pytest.mark.parametrize("alias", ["spotify-login-dev", "alias/aws/dynamodb", "alias/a b"])
def test_an_unusable_alias_is_reported(aws: Emulator, alias: str) -> None:
    aws.keep_access("dev", alias)
    failed = aws.deploy("deploy", "dev")
    aws.keep_access("dev", ALIAS)
    assert failed.returncode == 1
    assert f"TOKENS_KMS_ALIAS is '{alias}', but it must be like alias/spotify-login-dev\n" in failed.stdout


def test_a_deployment_enables_the_key_and_restores_the_permission(aws: Emulator, key: Key) -> None:
    own, before = key.describe()["KeyId"], len(keys(aws))
    aws.client("kms").disable_key(KeyId=own)
    assert aws.chalice("deploy", "--stage", "dev").returncode == 0
    found = aws.deploy("doctor", "dev")
    assert found.returncode == 1
    assert f"- The state of key {ALIAS} is Disabled, not Enabled.\n    Deploy again:\n" in found.stdout
    assert f"- The permissions of role {ROLE} differ from .chalice/policy-dev.json.\n" in found.stdout
    again = aws.deploy("deploy", "dev")
    assert again.returncode == 0, again.stdout
    assert f"    The state of key {ALIAS} is Disabled, not Enabled; fixed\n" in again.stdout
    assert f"    access       kept, key {ALIAS}\n" in again.stdout
    assert FIVE_MINUTES not in again.stdout
    assert (key.describe()["KeyId"], key.faults()) == (own, [])
    assert (len(keys(aws)), aws.resources()["alias"]) == (before, [ALIAS])


def test_the_deletion_of_a_key_is_cancelled_by_a_deployment(aws: Emulator, key: Key) -> None:
    own = key.describe()["KeyId"]
    aws.client("kms").schedule_key_deletion(KeyId=own)
    assert key.faults() == [f"The state of key {ALIAS} is PendingDeletion, not Enabled"]
    assert key.create() is False
    assert (key.describe()["KeyId"], key.faults()) == (own, [])


def test_a_key_keeps_its_tokens_when_its_alias_changes(aws: Emulator, key: Key) -> None:
    own = key.describe()["KeyId"]
    aws.client("kms").delete_alias(AliasName=ALIAS)
    assert key.faults() == [f"Key {ALIAS} does not exist"]
    assert own in key.existing()[0]
    assert key.create() is True
    assert key.describe()["KeyId"] == own


def test_a_key_that_the_deployer_must_not_read_is_not_used(
    aws: Emulator, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    kms, own = aws.client("kms"), key.describe()["KeyId"]
    kms.delete_alias(AliasName=ALIAS)
    denied = {"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    kept = kms.get_key_policy(KeyId=own)["Policy"]
    kms.put_key_policy(KeyId=own, Policy=json.dumps({"Statement": [denied]}))
    for name, value in aws.user_denied("kms:ReEncrypt", "*").items():
        monkeypatch.setenv(name, value)
    try:
        assert Key(Stage.load("dev", aws.checkout), Account.current()).existing() == []
    finally:
        kms.put_key_policy(KeyId=own, Policy=kept)
        key.create()


def test_a_key_of_another_stage_or_app_is_neither_used_nor_deleted(aws: Emulator) -> None:
    aws.keep_access("prod", ALIAS)
    before = keys(aws)
    for arguments in (
        ("deploy", "prod"),
        ("doctor", "prod"),
        ("destroy", "prod", "--table", "spotify-login-users-prod"),
    ):
        failed = aws.deploy(*arguments, SPOTIFY_REDIRECT_URI="")
        assert failed.returncode == 1
        assert f"- Key {ALIAS} is not this stage's: it has other tags" in failed.stdout
        assert "    Change TOKENS_KMS_ALIAS in .chalice/config.json.\n" in failed.stdout
    aws.keep_access("prod", "")
    assert keys(aws) == before
    assert aws.resources()["table"] == [TABLE]


def test_a_key_of_another_kind_is_not_used(aws: Emulator, key: Key) -> None:
    kms = aws.client("kms")
    own = key.describe()["KeyId"]
    tags = kms.list_resource_tags(KeyId=own)["Tags"]
    other = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC", Tags=tags)["KeyMetadata"][
        "KeyId"
    ]
    kms.update_alias(AliasName=ALIAS, TargetKeyId=other)
    found = aws.deploy("doctor", "dev")
    kms.update_alias(AliasName=ALIAS, TargetKeyId=own)
    kms.schedule_key_deletion(KeyId=other)
    assert "is not for symmetric encryption" in found.stdout


def test_a_stage_without_an_alias_calls_no_kms(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (aws.terminal | aws.user_denied("kms:*", "*")).items():
        monkeypatch.setenv(name, value)
    off = Key(Stage.load("prod", aws.checkout), Account.current())
    assert (off.alias, off.describe(), off.existing(), off.faults(), off.create()) == ("", {}, [], [], False)
    off.delete()


def test_destroying_a_deployment_keeps_the_key(aws: Emulator, key: Key) -> None:
    done = aws.deploy("destroy", "dev")
    assert done.returncode == 0, done.stdout
    assert "- key" not in done.stdout
    assert (
        f"The users table and its key are kept. To delete them, run:\n    make destroy STAGE=dev TABLE={TABLE}\n"
        in done.stdout
    )
    assert key.faults() == []


def test_destroying_the_table_schedules_the_deletion_of_the_key(aws: Emulator, key: Key) -> None:
    own = key.describe()["KeyId"]
    command = ("destroy", "dev", "--table", TABLE)
    failed = aws.deploy(*command, **aws.user_denied("kms:DeleteAlias", "*"))
    assert failed.returncode == 1
    assert (
        f"- key {ALIAS}, after 7 days. To restore it until then:\n"
        f"      aws kms cancel-key-deletion --key-id {own}\n"
        "  After that, the tokens in copies and backups of the table cannot be decrypted\n"
    ) in failed.stdout
    assert (key.describe()["KeyState"], aws.resources()["table"]) == ("PendingDeletion", [])
    done = aws.deploy(*command)
    assert done.returncode == 0, done.stdout
    assert aws.resources()["alias"] == key.existing() == []
    assert f"dev is not deployed in {REGION}" in aws.deploy(*command).stdout


def test_after_that_another_key_is_created(aws: Emulator, key: Key) -> None:
    before = [found["KeyId"] for found in keys(aws)]
    assert key.create() is True
    assert key.describe()["KeyId"] not in before
    assert key.faults() == []
