"""What `make deploy` and the other commands reject, or report, before they change anything; and the KMS key."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request

from deploy import PROJECT, declared, policies
from deploy.account import Account
from deploy.deployment import READY, download, wait_for
from deploy.key import Key
from deploy.live import Role
from deploy.stage import Stage, Stop
from deploy.table import Table
from simulator.loopback import serve
from tests.support.deployment import ALIAS, REGION, ROLE, TABLE, UNSET, Emulator
from tests.support.faults import FaultServer, response
from tests.support.servers import clean_environment, free_port


@pytest.mark.promise("K1")
def test_all_problems_are_reported_at_once_and_nothing_is_changed(account: Emulator) -> None:
    account.edit({"USERS_TABLE": "another-table", "SECRET_KEY": "plain"})
    settings = {
        "AWS_DEFAULT_REGION": "",
        "SPOTIFY_CLIENT_SECRET": "fedcba",
        "SPOTIFY_REDIRECT_URI": "http://localhost:5000/",
        "SPOTIFY_SCOPE": "user-read-email  user-read-private",
    }
    failed = account.deploy("deploy", "dev", **settings)
    account.edit({"USERS_TABLE": TABLE, "SECRET_KEY": ""})
    missing = account.deploy("deploy", "dev", **UNSET, FRONTEND_ORIGINS="https://app.example.com/")
    copies = ".chalice/policy-dev.json does not allow table/another-table, which .chalice/config.json names."
    for message in (
        "No AWS region is set.",
        "SECRET_KEY is in .chalice/config.json, in plain text",
        f"{copies}\n    Write the names of that file into the policies:\n        make policies\n",
        "The app cannot use SPOTIFY_REDIRECT_URI, which is 'http://localhost:5000/'.",
        "The app cannot use SPOTIFY_SCOPE, which is 'user-read-email  user-read-private'.",
    ):
        assert f"\n- {message}" in failed.stdout
    for message in (
        "SPOTIFY_CLIENT_ID is set neither in the environment nor in Parameter Store.",
        "SPOTIFY_CLIENT_SECRET is set neither in the environment nor in Parameter Store.",
        (
            "FRONTEND_ORIGINS is https://app.example.com/, but it must list https origins other than the app's.\n"
            "    An origin has no path, and no slash at its end."
        ),
    ):
        assert f"\n- {message}" in missing.stdout
    for run in (failed, missing):
        assert run.returncode == 1
        assert "Nothing has been changed." in run.stdout
        assert "- Lambda would run" not in run.stdout, "it is a note"
    assert account.resources() == {}


def test_doctor_needs_no_client_id_and_secret_before_the_first_deployment(account: Emulator) -> None:
    done = account.deploy("doctor", "dev", **UNSET)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "dev is not deployed. No problems found.",
    )
    note = "Note: SPOTIFY_CLIENT_SECRET is set neither in the environment nor in Parameter Store.\n"
    assert note in done.stdout
    assert "        read -rs SPOTIFY_CLIENT_SECRET && export SPOTIFY_CLIENT_SECRET\n" in done.stdout


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda config: config.pop("throttling"), "'throttling' is missing in .chalice/config.json."),
        (
            lambda config: config["throttling"].update(rate="many"),
            "could not convert string to float: 'many'",
        ),
        (lambda config: config["stages"]["dev"].update(iam_policy_file="x.json"), "No such file"),
        (
            lambda config: config["environment_variables"].update(TOKENS_KMS_ALIAS="alias/aws/dynamodb"),
            "it must be like alias/spotify-login-dev",
        ),
    ],
)
def test_an_unusable_configuration_is_reported(
    tmp_path: Path, break_it: Callable[[dict[str, Any]], object], message: str
) -> None:
    folder = shutil.copytree(
        PROJECT / ".chalice", tmp_path / ".chalice", ignore=shutil.ignore_patterns("deploy*")
    )
    config = json.loads((folder / "config.json").read_text())
    break_it(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(Stop, match=message):
        Stage.load("dev", tmp_path)


def delete_table(account: Emulator) -> None:
    dynamodb = account.client("dynamodb")
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})
    dynamodb.delete_table(TableName=TABLE)
    dynamodb.get_waiter("table_not_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})


def create_table(account: Emulator, key: str = "account_id", **tags: str) -> None:
    account.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": name, "Value": value} for name, value in tags.items()],
    )


@pytest.mark.parametrize(
    ("key", "stage"), [("account_id", "prod"), ("id", "dev")], ids=["another stage", "another key"]
)
def test_a_table_of_another_app_is_neither_used_nor_deleted(
    account: Emulator, here: Account, key: str, stage: str
) -> None:
    create_table(account, key, app="spotify-login", stage=stage)
    table = Table(Stage.load("dev"), here)
    for use in (table.read, table.existing, table.repair, table.delete):
        with pytest.raises(Stop, match="is not this stage's: it has other tags or another key"):
            use()
    delete_table(account)


def test_every_command_rejects_a_table_and_a_key_of_another_app(account: Emulator) -> None:
    account.key(ALIAS)
    create_table(account)
    account.edit({"TOKENS_KMS_ALIAS": ALIAS})
    before = account.resources()
    for arguments in (
        ("deploy", "dev"),
        ("doctor", "dev"),
        ("destroy", "dev", "--table", TABLE, "--confirm", "dev"),
    ):
        failed = account.deploy(*arguments)
        assert failed.returncode == 1
        assert f"- Table {TABLE} is not this stage's: it has other tags or another key." in failed.stdout
        key = f"- Key {ALIAS} is not this stage's: it has other tags"
        assert (key in failed.stdout) is (arguments[0] != "destroy"), "destroy stops at the first problem"
        assert "Traceback" not in failed.stdout
    assert account.resources() == before
    account.edit({"TOKENS_KMS_ALIAS": ""})
    account.client("kms").delete_alias(AliasName=ALIAS)
    delete_table(account)


def test_deleting_a_table_waits_for_a_change_of_it(account: Emulator, here: Account) -> None:
    create_table(account, app="spotify-login", stage="dev")  # it is still being created
    Table(Stage.load("dev"), here).delete()
    assert "table" not in account.resources()


def test_a_role_of_unknown_origin_is_not_used(account: Emulator, here: Account) -> None:
    account.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    role = Role(Stage.load("dev"), here)
    (problem,) = role.conflicts()
    account.client("iam").delete_role(RoleName=ROLE)
    assert problem.what.startswith(f"Role {ROLE} exists, but no function in {REGION} uses it.")
    assert problem.command.endswith(f"; aws iam delete-role --role-name {ROLE}")
    assert role.existing() == []


@pytest.fixture
def signed_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment with a home folder and a region, and without credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    chosen = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path), "AWS_DEFAULT_REGION": REGION}
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".aws").mkdir()
    return monkeypatch


def test_credentials_of_aws_login_are_accepted(
    account: Emulator, signed_out: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = "arn:aws:iam::000000000000:user/operator"
    soon = datetime.now(UTC) + timedelta(hours=1)
    token = {
        "accessKeyId": "test",
        "secretAccessKey": "test",
        "sessionToken": "",
        "accountId": "000000000000",
        "expiresAt": soon.isoformat(),
    }
    login = {"accessToken": token, "refreshToken": "x", "dpopKey": "x", "clientId": "x"}
    cache = tmp_path / ".aws" / "login" / "cache"
    cache.mkdir(parents=True)
    (cache / f"{hashlib.sha256(session.encode()).hexdigest()}.json").write_text(json.dumps(login))
    (tmp_path / ".aws" / "config").write_text(f"[default]\nlogin_session = {session}\n")
    signed_out.setenv("AWS_ENDPOINT_URL", account.url)
    assert Account.current().number == "000000000000"


SSO = "sso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = x\nsso_start_url = https://x.example"


@pytest.mark.parametrize(
    ("lines", "what", "command"),
    [
        ("", "Unable to locate credentials", "aws login"),
        (SSO, "Error loading SSO Token", "aws sso login"),
        ("login_session = x", "Error loading login session token", "aws login"),
        ("credential_process = /missing", "[Errno 2] No such file or directory: '/missing'", "aws login"),
    ],
)
def test_a_profile_that_cannot_sign_in_is_reported_with_the_command_that_signs_it_in(
    signed_out: pytest.MonkeyPatch, tmp_path: Path, lines: str, what: str, command: str
) -> None:
    (tmp_path / ".aws" / "config").write_text(f"[profile chosen]\n{lines}\n")
    signed_out.setenv("AWS_PROFILE", "chosen")
    with pytest.raises(Stop) as stop:
        Account.current()
    (problem,) = stop.value.problems
    assert problem.what.startswith(f"Signing in to AWS failed: {what}")
    assert problem.command == command


def test_an_expired_sso_session_is_reported_with_the_command_that_renews_it(
    account: Emulator, tmp_path: Path
) -> None:
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    expired = {"accessToken": "x", "expiresAt": "2026-01-01T00:00:00Z"}
    (cache / f"{hashlib.sha1(b'x').hexdigest()}.json").write_text(json.dumps(expired))
    config = f"[default]\nsso_session = x\n{SSO}\n[sso-session x]\n{SSO}\n"
    (tmp_path / ".aws" / "config").write_text(config)
    unset = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    failed = account.deploy("doctor", "dev", HOME=str(tmp_path), **unset)
    assert "- Signing in to AWS failed: Error when retrieving token from sso" in failed.stdout
    assert "        aws sso login\n" in failed.stdout


def test_two_regions_in_the_environment_are_reported(here: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(Stop, match=f"AWS_REGION is us-east-1, but boto3 and Chalice use {REGION}"):
        Account.current()


def test_the_region_of_aws_region_alone_is_used(here: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert Account.current().region == os.environ["AWS_DEFAULT_REGION"] == "us-east-1"


def test_the_client_secret_is_sent_to_no_server_but_spotify(account: Emulator) -> None:
    other = FaultServer([response(200, {"access_token": "x"})])
    url = other.serve().replace("127.0.0.1", "127.0.0.2")
    for verb in ("deploy", "doctor"):
        failed = account.deploy(verb, "dev", SPOTIFY_ACCOUNTS_URL=url)
        assert failed.returncode == 1
        assert f"- SPOTIFY_ACCOUNTS_URL is {url}, which is neither Spotify nor a simulator" in failed.stdout
    assert other.requests == []


def test_a_command_that_changes_aws_needs_the_name_of_a_stage(account: Emulator) -> None:
    for given in ({}, {"STAGE": "dev"}):
        command = ["make", "-n", "destroy", "stage=dev"]
        printed = subprocess.run(
            command, cwd=PROJECT, env=clean_environment(given), capture_output=True, text=True, check=True
        )
        assert '-m deploy destroy ""' in printed.stdout, "a variable of the shell does not count"
    for verb in ("deploy", "doctor", "rotate-key", "destroy"):
        failed = account.deploy(verb, "")
        assert failed.returncode == 1
        assert failed.stdout == "No stage is named.\n    Add one of: STAGE=dev, STAGE=prod.\n"


def test_a_role_that_chalice_does_not_manage_is_neither_changed_nor_deleted(
    account: Emulator, here: Account
) -> None:
    arn = "arn:aws:iam::000000000000:role/given"
    account.edit(manage_iam_role=False, iam_role_arn=arn)
    found = declared.resources(Stage.load("dev", account.checkout), here)
    account.edit(manage_iam_role=True)
    assert [one.wanted["Role"] for one in found if one.KIND == "Function"] == ["given"]
    assert "Role" not in {one.KIND for one in found}


def test_an_endpoint_that_is_not_aws_is_reported(here: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (serve(Flask("another app")), f"http://127.0.0.1:{free_port()}"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(Stop) as stop:
            Account.current()
        (problem,) = stop.value.problems
        assert problem.what == f"AWS_ENDPOINT_URL is {url}, which does not respond like AWS."
        assert problem.command == "unset AWS_ENDPOINT_URL"


def test_a_region_that_cannot_be_reached_is_reported(here: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    closed = (
        f"http://127.0.0.1:{free_port()}"  # instead of the name server, which does not know eu-west-9 either
    )
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-west-9",
        "HTTPS_PROXY": closed,
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Stop, match="Cannot reach AWS in region eu-west-9: "):
        Account.current()


def test_a_deployment_waits_for_several_redirects_in_a_row() -> None:
    flaky = Flask("flaky")
    statuses = iter([403, 500, 307, 307, 403, *[307] * READY])
    seen: list[int] = []

    @flaky.route("/login")
    def login() -> tuple[str, int, dict[str, str]]:
        seen.append(next(statuses))
        stale = "" if len(seen) > 3 else "/of-before"
        uri = f"{request.host_url.rstrip('/')}{stale}/callback"
        return "", seen[-1], {"Location": f"https://x.example/?redirect_uri={uri}"}

    wait_for(serve(flaky))
    assert seen == [403, 500, 307, 307, 403, *[307] * READY]


def test_a_deployment_that_never_redirects_is_reported_with_the_last_response() -> None:
    with pytest.raises(Stop, match="/login did not redirect to Spotify: status 404"):
        wait_for(serve(Flask("empty")), seconds=1.0)


@pytest.fixture
def key(account: Emulator, here: Account) -> Key:
    account.edit({"TOKENS_KMS_ALIAS": ALIAS})
    key = Key(Stage.load("dev", account.checkout), here)
    key.repair()
    return key


@pytest.fixture
def kms(account: Emulator) -> Any:
    return account.client("kms")


def test_a_disabled_key_is_enabled_again(key: Key, kms: Any) -> None:
    own = key.describe()["KeyId"]
    kms.disable_key(KeyId=own)
    assert key.repair() == [f"KeyState of Key {ALIAS} is Disabled, not Enabled; fixed"]
    assert (key.describe()["KeyId"], key.faults()) == (own, {})


def test_a_key_keeps_its_tokens_when_its_alias_changes(key: Key, kms: Any) -> None:
    own = key.describe()["KeyId"]
    kms.delete_alias(AliasName=ALIAS)
    assert own in key.existing()[0]
    assert key.repair() == [f"Key {ALIAS} does not exist; created"]
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
    ("stage", "use"),
    [
        ("dev", {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}),
        ("prod", {}),
    ],
    ids=["another kind", "another stage"],
)
def test_a_key_of_another_kind_or_stage_is_not_used(
    key: Key, kms: Any, stage: str, use: dict[str, str]
) -> None:
    own = key.describe()["KeyId"]
    tags = [{"TagKey": "app", "TagValue": "spotify-login"}, {"TagKey": "stage", "TagValue": stage}]
    other = kms.create_key(Tags=tags, **use)["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=ALIAS, TargetKeyId=other)
    for call in (key.read, key.existing, key.repair, key.delete):
        with pytest.raises(Stop, match="it has other tags, or is not for symmetric encryption"):
            call()
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
    key.create()
    assert key.describe()["KeyId"] != own


def test_the_right_names_are_written_into_the_statements_of_the_app_and_not_into_those_of_the_owner(
    tmp_path: Path,
) -> None:
    for folder in (".chalice", "deploy"):
        shutil.copytree(
            PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.py", "deploy*ed")
        )
    own = {
        "Sid": "Mine",
        "Effect": "Allow",
        "Action": "dynamodb:GetItem",
        "Resource": "arn:*:dynamodb:*:*:table/mine",
    }
    config, policy = tmp_path / ".chalice" / "config.json", tmp_path / ".chalice" / "policy-dev.json"
    document = json.loads(policy.read_text())
    policy.write_text(json.dumps({**document, "Statement": [own, *document["Statement"]]}))
    before = {path: path.read_text() for path in tmp_path.rglob("*.json")}
    for old, new in (("spotify-login", "app"), ("app", "spotify-login")):
        text = config.read_text().replace(f'"app_name": "{old}"', f'"app_name": "{new}"')
        config.write_text(text.replace(f'"{old}-users', f'"{new}-users').replace(f'"/{old}/', f'"/{new}/'))
        assert len(policies.write(tmp_path)) == 5
        assert own in json.loads(policy.read_text())["Statement"]
        assert f"table/{new}-users-dev" in policy.read_text()
    assert {path: path.read_text() for path in before} == before


def test_a_live_package_that_cannot_be_downloaded_stops_a_deployment_before_it_changes_code() -> None:
    for url in (FaultServer([response(403, b"<Error>")]).serve(), f"http://127.0.0.1:{free_port()}"):
        with pytest.raises(
            Stop, match=r"The live package could not be downloaded: (HTTPError|ConnectionError)"
        ):
            download(url)
