"""A failed deployment prints what failed, why and the completed steps; the next run continues."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from simulator.loopback import serve
from tests.support.deployment import Emulator, emulator

TABLE = "spotify-login-users-dev"
STACK = "spotify-login-dev-data"
STEPS = (
    "create the table, the log and the alarms",
    "store the secrets",
    "build the package",
    "deploy the function and its API",
    "limit the request rate",
)


ANOTHER_APP = Flask("another app")


@ANOTHER_APP.route("/")
def hello() -> str:
    return "Hello."


@pytest.fixture
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An empty account."""
    with emulator(tmp_path_factory.mktemp("emulator")) as started:
        started.edit(throttling={"*": {"rate": 1000, "burst": 1000}})
        yield started


def user_denied(aws: Emulator, action: str, resource: str) -> dict[str, str]:
    """The credentials of a user with every right but one."""
    iam = aws.client("iam")
    name = action.replace(":", "-")
    iam.create_user(UserName=name)
    policy: dict[str, Any] = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": action, "Resource": resource},
        ],
    }
    iam.put_user_policy(UserName=name, PolicyName="most", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def test_after_any_failure_the_next_run_continues(aws: Emulator) -> None:
    denied = [
        ("cloudformation:ExecuteChangeSet", "*", "A call to AWS failed: ", 0),
        ("ssm:PutParameter", "*", "A call to AWS failed: ", 1),
        ("lambda:CreateFunction", "*", "chalice deploy failed.", 3),
        ("lambda:AddPermission", "*", "chalice deploy failed.", 3),
        ("apigateway:PATCH", "arn:aws:apigateway:*::/restapis/*/stages/*", "A call to AWS failed: ", 4),
    ]
    for action, resource, message, completed in denied:
        failed = aws.deploy("deploy", "dev", **user_denied(aws, action, resource))
        assert failed.returncode == 1, failed.stdout
        assert message in failed.stdout, action
        steps = f"Completed steps: {'; '.join(STEPS[:completed]) or 'none'}."
        assert steps in failed.stdout, (action, failed.stdout)
        assert failed.stdout.endswith("Fix this, then run:\n    make deploy STAGE=dev\n")
    elsewhere = aws.deploy("deploy", "dev", SPOTIFY_REDIRECT_URI=f"{serve(ANOTHER_APP)}/callback")
    assert elsewhere.returncode == 1
    assert "The app is deployed, but some checks failed." in elsewhere.stdout
    assert f"Completed steps: {'; '.join(STEPS)}." in elsewhere.stdout
    done = aws.deploy("deploy", "dev")
    assert done.returncode == 0, done.stdout
    assert [api["id"] for api in aws.client("apigateway").get_rest_apis()["items"]] == ["api1"]
    assert aws.visitor().log_in("premium").status == 307


def test_if_packaging_fails_nothing_is_published(aws: Emulator) -> None:
    pins = aws.checkout / "requirements.txt"
    kept = pins.read_text()
    pins.write_text(kept.replace("requests==", "requests==9.9."))
    failed = aws.deploy("deploy", "dev")
    assert failed.returncode == 1
    assert "requests 9.9." in failed.stdout
    assert "installs them again:\n        make clean\n" in failed.stdout
    assert f"Completed steps: {'; '.join(STEPS[:2])}." in failed.stdout
    assert aws.client("lambda").list_functions()["Functions"] == []


def test_all_problems_are_reported_at_once_and_nothing_is_changed(aws: Emulator) -> None:
    config = aws.checkout / ".chalice" / "config.json"
    settings = json.loads(config.read_text())
    settings["stages"]["dev"]["environment_variables"]["USERS_TABLE"] = "another-table"
    settings["stages"]["dev"]["environment_variables"]["SECRET_KEY"] = "plain"
    config.write_text(json.dumps(settings))
    failed = aws.deploy(
        "deploy",
        "dev",
        AWS_DEFAULT_REGION="",
        SPOTIFY_REDIRECT_URI="http://localhost:5000/",
    )
    assert failed.returncode == 1
    for message in (
        "No AWS region is set.",
        "SECRET_KEY is in .chalice/config.json, in plain text",
        ".chalice/policy-dev.json does not allow access to the table in .chalice/config.json.",
        "SPOTIFY_REDIRECT_URI is http://localhost:5000/, but it must be an https URL",
        "Nothing has been changed.",
    ):
        assert message in failed.stdout
    missing = aws.deploy(
        "deploy", "dev", SPOTIFY_CLIENT_ID="", SPOTIFY_CLIENT_SECRET="", SPOTIFY_REDIRECT_URI=""
    )
    for name in ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"):
        assert f"{name} is set neither in the environment nor in Parameter Store." in missing.stdout
    assert "Nothing has been changed." in missing.stdout
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []


def test_missing_credentials_are_reported(aws: Emulator) -> None:
    without = aws.deploy(
        "deploy",
        "dev",
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        HOME="/nonexistent",
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert "Signing in to AWS failed: Unable to locate credentials" in without.stdout
    assert "Nothing has been changed." in without.stdout


@pytest.mark.parametrize("verb", ["deploy", "doctor", "rotate-key", "destroy"])
def test_an_unknown_stage_is_rejected(aws: Emulator, verb: str) -> None:
    failed = aws.deploy(verb, "pord")
    assert failed.returncode == 1
    assert "There is no stage 'pord' in .chalice/config.json." in failed.stdout
    assert "Use one of: dev, prod." in failed.stdout


def test_a_table_or_log_group_of_the_same_name_is_reported(aws: Emulator) -> None:
    aws.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    aws.client("logs").create_log_group(logGroupName="/aws/lambda/spotify-login-dev")
    failed = aws.deploy("deploy", "dev")
    assert f"Table {TABLE} already exists" in failed.stdout
    assert "Log group /aws/lambda/spotify-login-dev already exists" in failed.stdout
    assert "Nothing has been changed." in failed.stdout


def test_a_deployment_deletes_the_remains_of_a_failed_creation(aws: Emulator) -> None:
    broken = {
        "Resources": {
            "Users": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {
                    "TableName": TABLE,
                    "KeySchema": [{"AttributeName": "account_id", "KeyType": "HASH"}],
                    "AttributeDefinitions": [{"AttributeName": "account_id", "AttributeType": "S"}],
                    "BillingMode": "PAY_PER_REQUEST",
                },
            },
            "Odd": {
                "Type": "AWS::Lambda::Permission",
                "DependsOn": "Users",
                "Properties": {"FunctionName": "none", "Action": "lambda:InvokeFunction", "Principal": "x"},
            },
        }
    }
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(broken))
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    done = aws.deploy("deploy", "dev")
    assert done.returncode == 0, done.stdout


def test_a_change_that_would_replace_the_table_is_rejected(aws: Emulator) -> None:
    assert aws.deploy("deploy", "dev").returncode == 0
    for name in ("config.json", "policy-dev.json"):
        path = aws.checkout / ".chalice" / name
        path.write_text(path.read_text().replace(TABLE, "another-table"))
    failed = aws.deploy("deploy", "dev")
    assert failed.returncode == 1
    assert "This deployment could replace or remove the users table: " in failed.stdout
    assert "Completed steps: none." in failed.stdout
    assert aws.client("dynamodb").list_tables()["TableNames"] == [TABLE]
