"""A deployment that fails at any step says what and why, what is in place, and goes on when it is run again."""

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
    "make the table, the log and the alarms",
    "store the secrets",
    "package",
    "deploy the function and its API",
    "limit the requests",
)


SOMETHING_ELSE = Flask("something else")


@SOMETHING_ELSE.route("/")
def hello() -> str:
    return "Hello."


@pytest.fixture
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account with nothing in it."""
    with emulator(tmp_path_factory.mktemp("emulator")) as started:
        started.edit(throttling={"*": {"rate": 1000, "burst": 1000}})
        yield started


def somebody_who_may_not(aws: Emulator, action: str, resource: str) -> dict[str, str]:
    """The credentials of somebody who may do anything but this."""
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


def test_whatever_fails_the_next_run_goes_on(aws: Emulator) -> None:
    denied = [
        ("cloudformation:ExecuteChangeSet", "*", "AWS refused: ", 0),
        ("ssm:PutParameter", "*", "AWS refused: ", 1),
        ("lambda:CreateFunction", "*", "chalice deploy failed; its own words are above.", 3),
        ("lambda:AddPermission", "*", "chalice deploy failed; its own words are above.", 3),
        ("apigateway:PATCH", "arn:aws:apigateway:*::/restapis/*/stages/*", "AWS refused: ", 4),
    ]
    for action, resource, said, steps_done in denied:
        failed = aws.deploy("deploy", "dev", **somebody_who_may_not(aws, action, resource))
        assert failed.returncode == 1, failed.stdout
        assert said in failed.stdout, action
        in_place = (
            f"In place already: {'; '.join(STEPS[:steps_done])}."
            if steps_done
            else "Nothing has been changed."
        )
        assert in_place in failed.stdout, (action, failed.stdout)
        assert failed.stdout.endswith("Then run it again, it goes on from there: make deploy STAGE=dev\n")
    elsewhere = aws.deploy("deploy", "dev", SPOTIFY_REDIRECT_URI=f"{serve(SOMETHING_ELSE)}/callback")
    assert elsewhere.returncode == 1
    assert "It is deployed, but not every row holds." in elsewhere.stdout
    assert f"In place already: {'; '.join(STEPS)}." in elsewhere.stdout
    done = aws.deploy("deploy", "dev")
    assert done.returncode == 0, done.stdout
    assert [api["id"] for api in aws.client("apigateway").get_rest_apis()["items"]] == ["api1"]
    assert aws.visitor().log_in("premium").status == 307


def test_a_package_that_cannot_be_made_changes_nothing_that_is_public(aws: Emulator) -> None:
    pins = aws.checkout / "requirements.txt"
    kept = pins.read_text()
    pins.write_text(kept.replace("requests==", "requests==9.9."))
    failed = aws.deploy("deploy", "dev")
    assert failed.returncode == 1
    assert "requests 9.9." in failed.stdout
    assert "is installed.\n    make clean, then again." in failed.stdout
    assert f"In place already: {'; '.join(STEPS[:2])}." in failed.stdout
    assert aws.client("lambda").list_functions()["Functions"] == []


def test_every_problem_is_told_at_once_and_nothing_is_changed(aws: Emulator) -> None:
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
    for sentence in (
        "No AWS region is set.",
        "SECRET_KEY stands in .chalice/config.json, in plain text",
        ".chalice/policy-dev.json does not allow the table that .chalice/config.json names.",
        "SPOTIFY_REDIRECT_URI is http://localhost:5000/, which the app cannot use.",
        "Nothing has been changed.",
    ):
        assert sentence in failed.stdout
    missing = aws.deploy(
        "deploy", "dev", SPOTIFY_CLIENT_ID="", SPOTIFY_CLIENT_SECRET="", SPOTIFY_REDIRECT_URI=""
    )
    for name in ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"):
        assert f"{name} is neither in the environment nor in Parameter Store." in missing.stdout
    assert "Nothing has been changed." in missing.stdout
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []


def test_without_credentials_it_says_so(aws: Emulator) -> None:
    without = aws.deploy(
        "deploy",
        "dev",
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        HOME="/nonexistent",
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert "AWS does not know who asks: Unable to locate credentials" in without.stdout
    assert "Nothing has been changed." in without.stdout


@pytest.mark.parametrize("verb", ["deploy", "doctor", "rotate-key", "destroy"])
def test_a_mistyped_stage_is_none(aws: Emulator, verb: str) -> None:
    failed = aws.deploy(verb, "pord")
    assert failed.returncode == 1
    assert "There is no stage 'pord' in .chalice/config.json." in failed.stdout
    assert "There are: dev, prod." in failed.stdout


def test_what_is_in_the_way_is_named(aws: Emulator) -> None:
    aws.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    aws.client("logs").create_log_group(logGroupName="/aws/lambda/spotify-login-dev")
    failed = aws.deploy("deploy", "dev")
    assert f"There is a table {TABLE} already" in failed.stdout
    assert "There is a log group /aws/lambda/spotify-login-dev already" in failed.stdout
    assert "Nothing has been changed." in failed.stdout


def test_what_a_failed_first_creation_left_is_cleared_away(aws: Emulator) -> None:
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


def test_a_change_that_would_cost_the_table_is_refused(aws: Emulator) -> None:
    assert aws.deploy("deploy", "dev").returncode == 0
    for name in ("config.json", "policy-dev.json"):
        path = aws.checkout / ".chalice" / name
        path.write_text(path.read_text().replace(TABLE, "another-table"))
    failed = aws.deploy("deploy", "dev")
    assert failed.returncode == 1
    assert "This change would put another table in the place of the users table" in failed.stdout
    assert "Nothing has been changed." in failed.stdout
    assert aws.client("dynamodb").list_tables()["TableNames"] == [TABLE]
