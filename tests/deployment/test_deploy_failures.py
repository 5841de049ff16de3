"""A failed deployment prints what failed, why and the completed steps; the next run continues."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, redirect
from werkzeug import Response

from deploy import PROJECT
from deploy.__main__ import READY, wait_for
from deploy.stage import Stop
from simulator.loopback import serve
from tests.support.deployment import REGION, Emulator, emulator
from tests.support.servers import free_port, python, running

TABLE = "spotify-login-users-dev"
ROLE = "spotify-login-dev-api_handler"
STEPS = (
    "check the setup",
    "create the table, the log and the alarms",
    "store the secrets",
    "build the package",
    "deploy the function and its API",
    "limit the request rate",
)


ANOTHER_APP = Flask("another app")


@ANOTHER_APP.route("/login")
def hello() -> Response:
    return redirect("https://login.example/", 307)


@pytest.fixture
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An empty account."""
    with emulator(tmp_path_factory.mktemp("emulator")) as started:
        started.edit(throttling={"rate": 1000, "burst": 1000})
        yield started


def test_after_any_failure_the_next_run_continues(aws: Emulator) -> None:
    denied = [
        ("dynamodb:DescribeTable", "*", "A call to AWS failed: ", 0),
        ("cloudwatch:PutMetricAlarm", "*", "A call to AWS failed: ", 1),
        ("ssm:PutParameter", "*", "A call to AWS failed: ", 2),
        ("lambda:CreateFunction", "*", "`chalice deploy --stage` failed.", 4),
        ("lambda:AddPermission", "*", "`chalice deploy --stage` failed.", 4),
        ("apigateway:PATCH", "arn:aws:apigateway:*::/restapis/*/stages/*", "A call to AWS failed: ", 5),
    ]
    for action, resource, message, completed in denied:
        failed = aws.deploy("deploy", "dev", **aws.user_denied(action, resource))
        assert failed.returncode == 1, failed.stdout
        assert message in failed.stdout, action
        steps = (
            f"Completed steps: {'; '.join(STEPS[:completed])}." if completed else "Nothing has been changed."
        )
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
    app = aws.checkout / "app.py"
    app.write_text(app.read_text() + "\nimport no_such_module\n")
    failed = aws.deploy("deploy", "dev")
    assert failed.returncode == 1
    assert f"Completed steps: {'; '.join(STEPS[:3])}." in failed.stdout
    assert "- `chalice package --stage` failed.\n    See its output above.\n" in failed.stdout
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
        ".chalice/policy-dev.json does not match app_name, the stage or USERS_TABLE in .chalice/config.json.",
        "    It needs: table/another-table\n",
        "The app cannot use SPOTIFY_REDIRECT_URI, which is 'http://localhost:5000/'.",
        "Nothing has been changed.",
    ):
        assert message in failed.stdout
    missing = aws.deploy(
        "deploy", "dev", SPOTIFY_CLIENT_ID="", SPOTIFY_CLIENT_SECRET="", SPOTIFY_REDIRECT_URI=""
    )
    for name in ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"):
        assert f"{name} is set neither in the environment nor in Parameter Store." in missing.stdout
    assert "Nothing has been changed." in missing.stdout
    assert aws.client("dynamodb").list_tables()["TableNames"] == []


def test_doctor_needs_no_client_id_and_secret_before_the_first_deployment(aws: Emulator) -> None:
    settings = {"SPOTIFY_CLIENT_ID": "", "SPOTIFY_CLIENT_SECRET": "", "SPOTIFY_REDIRECT_URI": ""}
    done = aws.deploy("doctor", "dev", **settings)
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
    aws: Emulator, break_it: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = aws.checkout / ".chalice" / "config.json"
    config = json.loads(path.read_text())
    break_it(config)
    path.write_text(json.dumps(config))
    failed = aws.deploy("deploy", "dev")
    assert failed.returncode == 1
    assert message in failed.stdout
    assert "Traceback" not in failed.stdout


def test_two_regions_in_the_environment_are_reported(aws: Emulator) -> None:
    failed = aws.deploy("deploy", "dev", AWS_REGION="us-east-1")
    assert f"- AWS_REGION is us-east-1, but boto3 and Chalice use {REGION}.\n" in failed.stdout


def test_missing_credentials_are_reported(aws: Emulator) -> None:
    without = aws.deploy(
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
def test_an_unknown_stage_is_rejected(aws: Emulator, verb: str) -> None:
    failed = aws.deploy(verb, "pord")
    assert failed.returncode == 1
    assert "There is no stage 'pord' in .chalice/config.json." in failed.stdout
    assert "Use one of: dev, prod." in failed.stdout


def create_table(aws: Emulator, key: str = "account_id", **tags: str) -> None:
    aws.client("dynamodb").create_table(
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
    aws: Emulator, key: str, tags: dict[str, str]
) -> None:
    create_table(aws, key, **tags)
    for arguments in (("deploy", "dev"), ("doctor", "dev"), ("destroy", "dev", "--table", TABLE)):
        failed = aws.deploy(*arguments)
        assert failed.returncode == 1
        assert f"- Table {TABLE} is not this stage's: it has other tags or another key." in failed.stdout
    assert aws.client("dynamodb").list_tables()["TableNames"] == [TABLE]
    assert aws.client("ssm").describe_parameters()["Parameters"] == []


def test_destroying_waits_for_a_table_change(aws: Emulator) -> None:
    create_table(aws, app="spotify-login", stage="dev")  # it is still being created when the command begins
    done = aws.deploy("destroy", "dev", "--table", TABLE)
    assert done.returncode == 0, done.stdout
    assert aws.client("dynamodb").list_tables()["TableNames"] == []


def test_credentials_of_aws_login_are_accepted(aws: Emulator, tmp_path: Path) -> None:
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
    done = aws.deploy("doctor", "dev", HOME=str(tmp_path), AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert done.returncode == 0, done.stdout


def test_an_endpoint_that_is_not_aws_is_reported(aws: Emulator) -> None:
    for url in (serve(ANOTHER_APP), f"http://127.0.0.1:{free_port()}"):
        failed = aws.deploy("deploy", "dev", AWS_ENDPOINT_URL=url)
        assert failed.returncode == 1
        assert f"- AWS_ENDPOINT_URL is {url}, which does not respond like AWS.\n" in failed.stdout
        assert "        unset AWS_ENDPOINT_URL\n" in failed.stdout
        assert "Nothing has been changed." in failed.stdout


def test_a_region_that_cannot_be_reached_is_reported(aws: Emulator) -> None:
    closed = (
        f"http://127.0.0.1:{free_port()}"  # instead of the name server, which does not know eu-west-9 either
    )
    failed = aws.deploy(
        "deploy",
        "dev",
        AWS_ENDPOINT_URL="",
        AWS_DEFAULT_REGION="eu-west-9",
        HTTPS_PROXY=closed,
        NO_PROXY="127.0.0.1",
    )
    assert failed.returncode == 1
    assert "- Cannot reach AWS in region eu-west-9: " in failed.stdout


def test_two_deployments_in_one_checkout_do_not_run_at_once(aws: Emulator) -> None:
    with running(python("-m", "deploy", "deploy", "dev"), aws.terminal, aws.checkout) as deploying:
        deploying.wait_for(r"\[1/7\]")
        for verb in ("deploy", "destroy", "rotate-key"):
            failed = aws.deploy(verb, "dev")
            assert failed.returncode == 1
            assert (
                "- Another command is changing dev from this checkout.\n    Wait for it to finish.\n"
                in failed.stdout
            )
        deploying.wait_for(r"\[7/7\]")
        assert deploying.wait() == 0


def test_a_concurrency_of_ten_is_reported(tmp_path_factory: pytest.TempPathFactory) -> None:
    limit = {"LAMBDA_ACCOUNT_CONCURRENCY": "10"}
    with emulator(tmp_path_factory.mktemp("emulator"), limit) as aws:
        done = aws.deploy("doctor", "dev")
    assert done.returncode == 0, done.stdout
    assert "Note: This account runs 10 requests at a time, across all its functions.\n" in done.stdout


def test_a_role_of_unknown_origin_is_not_used(aws: Emulator) -> None:
    aws.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    failed = aws.deploy("deploy", "dev")
    assert f"- Role {ROLE} exists, but no function in {REGION} uses it." in failed.stdout
    assert f"; aws iam delete-role --role-name {ROLE}\n" in failed.stdout
    assert "dev is not deployed in" in aws.deploy("destroy", "dev").stdout


def test_a_deployment_adopts_what_plain_chalice_deploy_created(aws: Emulator) -> None:
    plain = aws.chalice("deploy", "--stage", "dev")
    assert plain.returncode == 0, plain.stdout
    assert aws.resources()["table"] == aws.resources()["parameter"] == []
    aws.record.unlink()
    adopted = aws.deploy("deploy", "dev")
    assert adopted.returncode == 0, adopted.stdout
    assert aws.resources()["api"] == ["api1"]
    assert aws.visitor().log_in("premium").status == 307


def test_a_deployment_that_was_killed_ten_times_has_one_api(aws: Emulator) -> None:
    moments = (
        r"\[2/7\]",
        "does not exist; created",
        r"\[4/7\]",
        "bytes",
        "Creating deployment package",
        "Creating lambda function",
        "Creating [Rr]est API",
        "Resources deployed",
        r"\[7/7\]",
        "test session starts",
    )
    for moment in moments:
        with running(python("-m", "deploy", "deploy", "dev"), aws.terminal, aws.checkout) as deploying:
            deploying.wait_for(moment.replace("Creating", "(Creating|Updating)"))
            deploying.end(signal.SIGKILL)
    done = aws.deploy("deploy", "dev")
    assert done.returncode == 0, done.stdout
    assert aws.resources()["api"] == ["api1"]
    assert aws.visitor().log_in("premium").status == 307


ELSEWHERE = {
    "dynamodb:TagResource",
    "iam:PassRole",
    "kms:TagResource",
    "lambda:TagResource",
    "logs:FilterLogEvents",
}
"""Actions that AWS, unlike the emulator, requires for tags or a role; the last one is for `aws logs tail`."""


def test_the_deployers_policy_allows_every_command_and_has_no_unused_action(aws: Emulator) -> None:
    policy = json.loads((PROJECT / "deploy" / "deployer-policy.json").read_text())
    aws.environment = aws.user("deployer", policy)
    aws.keep_access("dev", "alias/spotify-login-dev")
    aws.commit()
    for arguments in (
        ("doctor", "dev"),
        ("deploy", "dev"),
        ("doctor", "dev"),
        ("rotate-key", "dev", "--end-sessions", "yes"),
    ):
        done = aws.deploy(*arguments)
        assert done.returncode == 0, done.stdout
    shutil.rmtree(aws.checkout / ".git")  # the commit's tag is removed
    aws.client("iam").attach_role_policy(RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    recovery = {"PointInTimeRecoveryEnabled": True}
    aws.client("dynamodb").update_continuous_backups(
        TableName=TABLE, PointInTimeRecoverySpecification=recovery
    )
    (key,) = aws.client("kms").list_keys()["Keys"]
    aws.client("kms").schedule_key_deletion(KeyId=key["KeyId"])
    assert "--policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess" in aws.deploy("deploy", "dev").stdout
    done = aws.deploy("destroy", "dev", "--table", TABLE)
    assert done.returncode == 0, done.stdout
    called = set((aws.checkout.parent / "actions").read_text().split())
    statements = policy["Statement"]
    allowed = {action for statement in statements for action in listed(statement["Action"])}
    assert allowed - called == ELSEWHERE
    for statement in statements:
        for resource in listed(statement["Resource"]):
            limits = f"{resource} {statement.get('Condition')}"
            assert resource == "*" or "spotify-login" in limits or "/restapis" in resource


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_a_deployment_waits_for_several_redirects_in_a_row() -> None:
    flaky = Flask("flaky")
    statuses = iter([403, 500, 307, 307, 403, *[307] * READY])
    seen: list[int] = []

    @flaky.route("/login")
    def login() -> tuple[str, int]:
        seen.append(next(statuses))
        return "", seen[-1]

    wait_for(serve(flaky))
    assert seen == [403, 500, 307, 307, 403, *[307] * READY]


def test_a_deployment_that_never_redirects_is_reported_with_the_last_response() -> None:
    with pytest.raises(Stop) as stop:
        wait_for(serve(Flask("empty")), seconds=1.0)
    assert "/login did not redirect to Spotify: status 404." in stop.value.problems[0].what
