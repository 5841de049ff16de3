"""What `make deploy` and the other commands reject, or report, before they change anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from deploy.account import Account
from deploy.stage import Stop
from simulator.loopback import serve
from tests.support.deployment import REGION, Emulator, emulator
from tests.support.servers import free_port

TABLE = "spotify-login-users-dev"
ROLE = "spotify-login-dev-api_handler"


@pytest.mark.promise("K1")
def test_all_problems_are_reported_at_once_and_nothing_is_changed(account: Emulator) -> None:
    config = account.checkout / ".chalice" / "config.json"
    settings = json.loads(config.read_text())
    settings["stages"]["dev"]["environment_variables"]["USERS_TABLE"] = "another-table"
    settings["stages"]["dev"]["environment_variables"]["SECRET_KEY"] = "plain"
    config.write_text(json.dumps(settings))
    failed = account.deploy(
        "deploy",
        "dev",
        AWS_DEFAULT_REGION="",
        SPOTIFY_REDIRECT_URI="http://localhost:5000/",
    )
    assert failed.returncode == 1
    for message in (
        "No AWS region is set.",
        "SECRET_KEY is in .chalice/config.json, in plain text",
        ".chalice/policy-dev.json does not match app_name, the stage or USERS_TABLE in .chalice/config.json.",
        "    It needs: table/another-table\n",
        "The app cannot use SPOTIFY_REDIRECT_URI, which is 'http://localhost:5000/'.",
        "Nothing has been changed.",
    ):
        assert message in failed.stdout
    missing = account.deploy(
        "deploy", "dev", SPOTIFY_CLIENT_ID="", SPOTIFY_CLIENT_SECRET="", SPOTIFY_REDIRECT_URI=""
    )
    for name in ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"):
        assert f"{name} is set neither in the environment nor in Parameter Store." in missing.stdout
    assert "Nothing has been changed." in missing.stdout
    assert account.client("dynamodb").list_tables()["TableNames"] == []


def test_doctor_needs_no_client_id_and_secret_before_the_first_deployment(account: Emulator) -> None:
    settings = {"SPOTIFY_CLIENT_ID": "", "SPOTIFY_CLIENT_SECRET": "", "SPOTIFY_REDIRECT_URI": ""}
    done = account.deploy("doctor", "dev", **settings)
    assert done.returncode == 0, done.stdout
    assert (
        "Note: SPOTIFY_CLIENT_SECRET is set neither in the environment nor in Parameter Store.\n"
        in done.stdout
    )
    assert "        read -rs SPOTIFY_CLIENT_SECRET && export SPOTIFY_CLIENT_SECRET\n" in done.stdout


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda config: config.pop("throttling"), "'throttling' is missing in .chalice/config.json."),
        (
            lambda config: config["throttling"].update(rate="many"),
            "could not convert string to float: 'many'",
        ),
        (lambda config: config["throttling"].update(burst=0), "throttling must be positive"),
        (lambda config: config["stages"]["dev"].pop("iam_policy_file"), "'iam_policy_file' is missing"),
        (lambda config: config["stages"]["dev"].update(iam_policy_file="x.json"), "No such file"),
    ],
)
def test_an_unusable_configuration_is_reported(
    account: Emulator, break_it: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = account.checkout / ".chalice" / "config.json"
    config = json.loads(path.read_text())
    break_it(config)
    path.write_text(json.dumps(config))
    failed = account.deploy("deploy", "dev")
    assert failed.returncode == 1
    assert message in failed.stdout
    assert "Traceback" not in failed.stdout


def test_two_regions_in_the_environment_are_reported(account: Emulator) -> None:
    failed = account.deploy("deploy", "dev", AWS_REGION="us-east-1")
    assert f"- AWS_REGION is us-east-1, but boto3 and Chalice use {REGION}.\n" in failed.stdout


def test_missing_credentials_are_reported(account: Emulator) -> None:
    without = account.deploy(
        "deploy",
        "dev",
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        HOME="/nonexistent",
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert "- Signing in to AWS failed: Unable to locate credentials" in without.stdout
    assert "- Lambda would run" not in without.stdout, "it is a note"
    assert "Nothing has been changed." in without.stdout


@pytest.mark.parametrize("verb", ["deploy", "doctor", "rotate-key", "destroy"])
def test_an_unknown_stage_is_rejected(account: Emulator, verb: str) -> None:
    failed = account.deploy(verb, "pord")
    assert failed.returncode == 1
    assert "There is no stage 'pord' in .chalice/config.json." in failed.stdout
    assert "Use one of: dev, prod." in failed.stdout


def create_table(account: Emulator, key: str = "account_id", **tags: str) -> None:
    account.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": name, "Value": value} for name, value in tags.items()],
    )


@pytest.mark.parametrize(
    ("key", "tags"),
    [
        ("account_id", {}),
        ("account_id", {"app": "another", "stage": "dev"}),
        ("id", {"app": "spotify-login", "stage": "dev"}),
    ],
)
def test_a_table_of_another_app_is_neither_used_nor_deleted(
    account: Emulator, key: str, tags: dict[str, str]
) -> None:
    create_table(account, key, **tags)
    for arguments in (("deploy", "dev"), ("doctor", "dev"), ("destroy", "dev", "--table", TABLE)):
        failed = account.deploy(*arguments)
        assert failed.returncode == 1
        assert f"- Table {TABLE} is not this stage's: it has other tags or another key." in failed.stdout
    assert account.client("dynamodb").list_tables()["TableNames"] == [TABLE]
    assert account.client("ssm").describe_parameters()["Parameters"] == []


def test_destroying_waits_for_a_table_change(account: Emulator) -> None:
    create_table(
        account, app="spotify-login", stage="dev"
    )  # it is still being created when the command begins
    done = account.deploy("destroy", "dev", "--table", TABLE)
    assert done.returncode == 0, done.stdout
    assert account.client("dynamodb").list_tables()["TableNames"] == []


def test_credentials_of_aws_login_are_accepted(account: Emulator, tmp_path: Path) -> None:
    session = "arn:aws:iam::000000000000:user/operator"
    token = {
        "accessKeyId": "test",
        "secretAccessKey": "test",
        "sessionToken": "",
        "accountId": "000000000000",
    }
    soon = datetime.now(UTC) + timedelta(hours=1)
    login = {
        "accessToken": {**token, "expiresAt": soon.isoformat()},
        "refreshToken": "x",
        "dpopKey": "x",
        "clientId": "x",
    }
    cache = tmp_path / ".aws" / "login" / "cache"
    cache.mkdir(parents=True)
    (cache / f"{hashlib.sha256(session.encode()).hexdigest()}.json").write_text(json.dumps(login))
    (tmp_path / ".aws" / "config").write_text(f"[default]\nlogin_session = {session}\n")
    done = account.deploy("doctor", "dev", HOME=str(tmp_path), AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert done.returncode == 0, done.stdout


SSO = "sso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = x\nsso_start_url = https://x.example"


@pytest.mark.parametrize(
    ("lines", "what", "command"),
    [
        (SSO, "Error loading SSO Token", "aws sso login"),
        ("login_session = x", "Error loading login session token", "aws login"),
        ("role_arn = x\nsource_profile = missing", 'The source_profile "missing"', "aws login"),
        ("credential_process = /missing", "[Errno 2] No such file or directory: '/missing'", "aws login"),
        ("credential_process = echo x", "Expecting value", "aws login"),
    ],
)
def test_a_profile_that_cannot_sign_in_is_reported_with_the_command_that_signs_it_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: str, what: str, command: str
) -> None:
    (tmp_path / "config").write_text(f"[profile chosen]\n{lines}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    chosen = {"AWS_PROFILE": "chosen", "AWS_CONFIG_FILE": str(tmp_path / "config"), "HOME": str(tmp_path)}
    for name, value in {**chosen, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Stop) as stop:
        Account.current()
    (problem,) = stop.value.problems
    assert problem.what.startswith(f"Signing in to AWS failed: {what}")
    assert problem.command == command


def test_an_expired_sso_session_is_reported_with_the_command_that_renews_it(
    account: Emulator, tmp_path: Path
) -> None:
    tokens = tmp_path / ".aws" / "sso" / "cache"
    tokens.mkdir(parents=True)
    expired = {"accessToken": "x", "expiresAt": "2026-01-01T00:00:00Z"}
    (tokens / f"{hashlib.sha1(b'x').hexdigest()}.json").write_text(json.dumps(expired))
    config = f"[default]\nsso_session = x\n{SSO}\n[sso-session x]\n{SSO}\n"
    (tmp_path / ".aws" / "config").write_text(config)
    failed = account.deploy(
        "doctor", "dev", HOME=str(tmp_path), AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""
    )
    assert "- Signing in to AWS failed: Error when retrieving token from sso" in failed.stdout
    assert "        aws sso login\n" in failed.stdout


def test_an_endpoint_that_is_not_aws_is_reported(account: Emulator) -> None:
    for url in (serve(Flask("another app")), f"http://127.0.0.1:{free_port()}"):
        failed = account.deploy("deploy", "dev", AWS_ENDPOINT_URL=url)
        assert failed.returncode == 1
        assert f"- AWS_ENDPOINT_URL is {url}, which does not respond like AWS.\n" in failed.stdout
        assert "        unset AWS_ENDPOINT_URL\n" in failed.stdout
        assert "Nothing has been changed." in failed.stdout


def test_a_region_that_cannot_be_reached_is_reported(account: Emulator) -> None:
    closed = (
        f"http://127.0.0.1:{free_port()}"  # instead of the name server, which does not know eu-west-9 either
    )
    failed = account.deploy(
        "deploy",
        "dev",
        AWS_ENDPOINT_URL="",
        AWS_DEFAULT_REGION="eu-west-9",
        HTTPS_PROXY=closed,
        NO_PROXY="127.0.0.1",
    )
    assert failed.returncode == 1
    assert "- Cannot reach AWS in region eu-west-9: " in failed.stdout


def test_a_concurrency_of_ten_is_reported(tmp_path_factory: pytest.TempPathFactory) -> None:
    limit = {"LAMBDA_ACCOUNT_CONCURRENCY": "10"}
    with emulator(tmp_path_factory.mktemp("emulator"), limit) as account:
        done = account.deploy("doctor", "dev")
    assert done.returncode == 0, done.stdout
    assert "Note: This account runs 10 requests at a time, across all its functions.\n" in done.stdout


def test_a_role_of_unknown_origin_is_not_used(account: Emulator) -> None:
    account.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    failed = account.deploy("deploy", "dev")
    assert f"- Role {ROLE} exists, but no function in {REGION} uses it." in failed.stdout
    assert f"; aws iam delete-role --role-name {ROLE}\n" in failed.stdout
    assert "dev is not deployed in" in account.deploy("destroy", "dev").stdout
