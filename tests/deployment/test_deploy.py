"""The life of a deployment that keeps access: failures, the first success, repairs, new keys, and the end.

The tests share an account, in this order. The commands run with the policy for deployers, and no other permission.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from flask import Flask, redirect, request
from werkzeug import Response

from chalicelib.pages import SPOTIFY_APPS
from deploy import secrets
from deploy.account import Account
from deploy.deployment import Deployment
from deploy.secrets import Secrets
from deploy.stage import Stage, Stop
from simulator.loopback import serve
from tests.deployment.test_declared import CHANGES, READ_ONLY
from tests.support.deployment import (
    ALIAS,
    APPLICATION,
    FUNCTION,
    PATH,
    REGION,
    ROLE,
    TABLE,
    UNSET,
    Emulator,
    policy,
    steps,
)
from tests.support.servers import free_port, python, running
from tests.support.visitor import query_of

POLICY = policy("deployer", "new-key")
STEPS = (
    "check the setup",
    "create the table, the key, the log, the alarms and the role",
    "build the package",
)
FIVE_MINUTES = "AWS can take up to five minutes to let the function use the key."
NOTHING_NOTICED = "Users notice nothing: the code and the settings are those from before."


@pytest.fixture(scope="module")
def aws(account: Emulator) -> Emulator:
    """The account, before the first deployment. The commands have the deployer's permissions."""
    account.edit({"TOKENS_KMS_ALIAS": ALIAS})
    account.environment = account.user("deployer", POLICY)
    return account


@pytest.fixture(scope="module")
def commit(aws: Emulator) -> str:
    return aws.commit()


@pytest.fixture(scope="module")
def first(aws: Emulator, commit: str) -> subprocess.CompletedProcess[str]:
    return aws.deploy("deploy", "dev")


@pytest.fixture
def deployed(aws: Emulator, first: subprocess.CompletedProcess[str]) -> Emulator:
    assert first.returncode == 0, first.stdout
    return aws


def apis(aws: Emulator) -> list[str]:
    return [api["id"] for api in aws.client("apigateway").get_rest_apis()["items"]]


def test_after_any_failure_it_is_printed_which_steps_are_complete_and_what_users_notice(
    aws: Emulator,
) -> None:
    for action, completed in (
        ("dynamodb:DescribeTable", 0),
        ("kms:CreateAlias", 1),
        ("iam:PutRolePolicy", 1),
    ):
        failed = aws.deploy("deploy", "dev", **aws.user_denied(action))
        assert failed.returncode == 1, failed.stdout
        assert "- A call to AWS failed: " in failed.stdout
        done = f"Completed steps: {'; '.join(STEPS[:completed])}.\n{NOTHING_NOTICED}"
        assert (done if completed else "Nothing has been changed.") in failed.stdout, failed.stdout
        assert failed.stdout.endswith("Fix this, then run:\n    make deploy STAGE=dev\n")
    assert failed.stdout.count(FIVE_MINUTES) == 0
    assert len(aws.client("kms").list_keys()["Keys"]) == 1, (
        "the key that was created without its alias is used"
    )


def test_if_packaging_fails_nothing_is_published(aws: Emulator) -> None:
    app = aws.checkout / "app.py"
    text = app.read_text()
    app.write_text(f"{text}\nimport no_such_module\n")
    failed = aws.deploy("deploy", "dev")
    app.write_text(text)
    assert failed.returncode == 1
    assert f"Completed steps: {'; '.join(STEPS[:2])}.\n{NOTHING_NOTICED}" in failed.stdout
    assert "- `chalice package --stage` failed.\n    See its output above.\n" in failed.stdout
    assert {"function", "parameter"} & {*aws.resources()} == set()


def test_however_often_a_deployment_is_killed_or_fails_there_is_one_api(aws: Emulator) -> None:
    for command, moment in (
        (python("-m", "deploy", "deploy", "dev"), "Creating lambda function"),
        (steps("check", "live"), "(Creating|Updating) [Rr]est API"),
        (steps("check", "live"), "Resources deployed"),
    ):
        with running(command, aws.terminal, aws.checkout) as deploying:
            deploying.wait_for(moment)
            os.killpg(deploying.pid, signal.SIGKILL)
    failed = aws.steps("check", "live", **aws.user_denied("apigateway:POST"))
    assert failed.returncode == 1
    assert "`chalice deploy` failed: " in failed.stdout
    assert "The new code is live; the settings are those from before." in failed.stdout
    assert (
        "Traceback (most recent call last):\n  File"
        not in failed.stdout.partition("deploy.stage.Stop")[0][-50:]
    )
    assert len(apis(aws)) <= 1


def test_the_first_deployment_passes_smoke_and_prints_its_url(
    deployed: Emulator, first: subprocess.CompletedProcess[str], commit: str
) -> None:
    assert apis(deployed) == [deployed.api]
    assert f"Deployed: {deployed.home}/\n" in first.stdout
    assert "24 passed, 1 skipped" in first.stdout, "G1 is only over https"
    doctor = deployed.deploy("doctor", "dev", **deployed.user("operator", policy("operator")))
    for done in (first, doctor):
        for line in (
            f"URL          {deployed.home}/",
            f"redirect URI {deployed.home}/callback",
            f"commit       {commit}",
            "items        0 (AWS counts them about every six hours)",
            f"access       kept, key {ALIAS}",
        ):
            assert f"\n    {line}\n" in done.stdout
        assert re.search(r"\n    signing key  changed 20\d\d-\d\d-\d\d \d\d:\d\d UTC\n", done.stdout)
    assert (doctor.returncode, doctor.stdout.splitlines()[-1]) == (0, "dev is deployed. No problems found.")


def test_a_visitor_can_log_in_at_the_deployed_url_and_access_is_kept_encrypted(deployed: Emulator) -> None:
    visitor, dynamodb = deployed.visitor(), deployed.client("dynamodb")
    assert visitor.see_id() == "None"
    assert query_of(visitor.begin())["redirect_uri"] == f"{deployed.home}/callback"
    response = visitor.log_in("premium")
    assert (response.status, response.location) == (307, f"{deployed.home}/")
    assert [line.partition("=")[0] for line in response.set_cookies][-1] == "spotify-session"
    assert visitor.see_id() == "pia.premium"
    links = [link for link in visitor.get("/").links if link != SPOTIFY_APPS]
    assert all(link.startswith(deployed.home + "/") for link in links)
    (item,) = dynamodb.scan(TableName=TABLE)["Items"]
    assert json.loads(item["profile"]["S"])["id"] == "pia.premium"
    sealed = {"CiphertextBlob": item["tokens"]["B"], "EncryptionContext": {"table": TABLE}}
    opened = deployed.client("kms").decrypt(KeyId=ALIAS, **sealed)
    assert json.loads(opened["Plaintext"])["refresh_token"].startswith("AQ")
    assert visitor.get("/logout").location == f"{deployed.home}/"
    assert visitor.see_id() == "None"
    assert dynamodb.scan(TableName=TABLE)["Items"] == []


def test_every_resource_is_as_documented(deployed: Emulator) -> None:
    dynamodb, kms, gateway = (deployed.client(service) for service in ("dynamodb", "kms", "apigateway"))
    table = dynamodb.describe_table(TableName=TABLE)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is True
    assert table["SSEDescription"]["Status"] == "ENABLED"
    key = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]
    assert (key["KeySpec"], key["KeyUsage"]) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    assert (key["KeyState"], key["Origin"], key["MultiRegion"]) == ("Enabled", "AWS_KMS", False)
    assert key["Description"] == f"Encrypts the Spotify tokens in table {TABLE}"
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is False
    (group,) = deployed.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{FUNCTION}")[
        "logGroups"
    ]
    assert group["retentionInDays"] == 30
    alarms = deployed.client("cloudwatch").describe_alarms()["MetricAlarms"]
    metrics = {alarm["AlarmName"].removeprefix(FUNCTION): alarm["MetricName"] for alarm in alarms}
    assert metrics == {"-errors": "Errors", "-throttles": "Throttles", "-5xx": "5XXError"}
    assert {"Key": "region", "Value": REGION} in deployed.client("iam").list_role_tags(RoleName=ROLE)["Tags"]
    (api,) = gateway.get_rest_apis()["items"]
    assert api["minimumCompressionSize"] == 1024, "the emulator keeps this setting, but does not compress"
    limits = gateway.get_stage(restApiId=deployed.api, stageName="api")["methodSettings"]["*/*"]
    assert (limits["throttlingRateLimit"], limits["throttlingBurstLimit"]) == (1000, 500)


@pytest.mark.promise("K2")
def test_secrets_are_only_in_parameter_store(
    deployed: Emulator, first: subprocess.CompletedProcess[str]
) -> None:
    described = deployed.client("ssm").get_parameters_by_path(Path=PATH)["Parameters"]
    assert {parameter["Type"] for parameter in described} == {"SecureString"}
    stored = deployed.parameters()
    assert len(stored["SECRET_KEY"]) == 64
    places = {
        "output": first.stdout,
        "function": json.dumps(deployed.client("lambda").get_function(FunctionName=FUNCTION), default=str),
        "alarms": json.dumps(deployed.client("cloudwatch").describe_alarms(), default=str),
        "config": (deployed.checkout / ".chalice" / "config.json").read_text(),
        "record": deployed.record.read_text(),
    }
    bundle = deployed.checkout / ".package" / "dev"
    places |= {str(path): path.read_bytes().decode("latin-1") for path in bundle.rglob("*") if path.is_file()}
    for secret in (stored["SECRET_KEY"], APPLICATION.client_secret):
        assert [place for place, text in places.items() if secret in text] == []


@pytest.mark.promise("K2", "M15")
def test_the_role_allows_only_its_policy_and_use_of_no_other_key(deployed: Emulator) -> None:
    owner = deployed.client("kms")
    own = owner.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    role = f"arn:aws:iam::000000000000:role/{ROLE}"
    given = deployed.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    credentials = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    dynamodb, ssm, kms = (deployed.client(service, **credentials) for service in ("dynamodb", "ssm", "kms"))
    key, context = {"account_id": {"S": "no-such-user"}}, {"table": TABLE}
    dynamodb.get_item(TableName=TABLE, Key=key)
    ssm.get_parameters_by_path(Path=PATH, WithDecryption=True)
    for name in (ALIAS, own):
        sealed = kms.encrypt(KeyId=name, Plaintext=b"tokens", EncryptionContext=context)["CiphertextBlob"]
        assert (
            kms.decrypt(KeyId=name, CiphertextBlob=sealed, EncryptionContext=context)["Plaintext"]
            == b"tokens"
        )
    other = deployed.key("alias/spotify-login-prod")
    foreign = owner.encrypt(KeyId=other, Plaintext=b"x")["CiphertextBlob"]
    beyond: list[Callable[[], Any]] = [
        lambda: dynamodb.scan(TableName=TABLE),
        lambda: dynamodb.get_item(TableName="spotify-login-users-prod", Key=key),
        lambda: ssm.get_parameters_by_path(Path="/spotify-login/prod"),
        lambda: kms.encrypt(KeyId=other, Plaintext=b"x"),
        lambda: kms.encrypt(KeyId="alias/spotify-login-prod", Plaintext=b"x"),
        lambda: kms.decrypt(CiphertextBlob=foreign),
        lambda: kms.generate_data_key(KeyId=ALIAS, KeySpec="AES_256"),
        lambda: kms.schedule_key_deletion(KeyId=own),
    ]
    for call in beyond:
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    owner.delete_alias(AliasName="alias/spotify-login-prod")
    policy = deployed.client("iam").get_role_policy(RoleName=ROLE, PolicyName=ROLE)["PolicyDocument"]
    own_account = {"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}
    assert own_account.items() <= policy["Statement"][-1]["Condition"].items()


def test_a_second_deployment_keeps_the_url_and_all_sessions_whatever_the_record_says(
    deployed: Emulator,
) -> None:
    visitor = deployed.visitor()
    visitor.log_in("premium")
    kept = deployed.record.read_text()
    deployed.record.write_text(kept.replace(deployed.api, "of-another-account"))
    again = deployed.steps("check", "data", "live", "settings")
    assert again.returncode == 0, again.stdout
    assert again.stdout.count("nothing to change") == 3, again.stdout
    assert apis(deployed) == [deployed.api]
    assert json.loads(deployed.record.read_text()) == json.loads(kept)
    assert visitor.see_id() == "pia.premium"


def test_a_deployment_fails_while_there_are_two_apis(deployed: Emulator) -> None:
    gateway = deployed.client("apigateway")
    second = gateway.create_rest_api(name="spotify-login")["id"]
    deployed.integrate(second)
    rejected = deployed.deploy("deploy", "dev")
    gateway.delete_rest_api(restApiId=second)
    assert rejected.returncode == 1
    assert f"2 REST APIs invoke {FUNCTION}: " in rejected.stdout
    assert "Fix this, then run:\n    make deploy STAGE=dev" in rejected.stdout


def test_a_failed_check_of_the_deployed_app_is_reported(deployed: Emulator, here: Account) -> None:
    another = Flask("another app")

    @another.route("/login")
    def login() -> Response:
        return redirect(f"https://login.example/?redirect_uri={request.host_url}callback", 307)

    deployment = Deployment(Stage.load("dev", deployed.checkout))
    deployed.put("SPOTIFY_REDIRECT_URI", f"{serve(another)}/callback")
    deployment.check()
    with pytest.raises(Stop, match="The app is deployed, but some checks failed"):
        deployment.test()
    deployed.put("SPOTIFY_REDIRECT_URI", f"{deployed.home}/callback")


def test_a_live_stage_does_not_move_to_an_address_that_is_not_the_app(
    deployed: Emulator, here: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = deployed.parameters()
    nowhere = f"http://127.0.0.1:{free_port()}/callback"
    failed = deployed.deploy("deploy", "dev", SPOTIFY_REDIRECT_URI=nowhere, SPOTIFY_SCOPE="user-read-private")
    assert failed.returncode == 1
    what = (
        f"SPOTIFY_REDIRECT_URI is {nowhere}, but {nowhere.removesuffix('/callback')}/login is not this app: "
    )
    assert f"\n- {what}ConnectionError.\n" in failed.stdout
    assert "- Spotify does not accept logins yet: " in failed.stdout, "nor is it registered"
    assert "Nothing has been changed." in failed.stdout
    assert deployed.parameters() == before
    deployment = Deployment(Stage.load("dev", deployed.checkout))
    deployment.check()
    moved = {"SPOTIFY_REDIRECT_URI": nowhere, "SPOTIFY_SCOPE": "user-read-private"}
    for name, value in moved.items():  # as if the address had stopped working just then
        deployed.put(name, value)
    monkeypatch.setattr("deploy.deployment.KNOWN_EVERYWHERE", 1.0)
    with pytest.raises(Stop, match="did not redirect to Spotify: ConnectionError"):
        deployment.test()
    assert deployed.parameters() == before, "the settings from before are stored again"


def test_doctor_notes_what_only_the_operator_can_change(deployed: Emulator) -> None:
    deployed.put("SPOTIFY_CLIENT_ID", "0" * 32)
    settings = {"SPOTIFY_CLIENT_ID": APPLICATION.client_id}  # accepted, while the stored one is unknown
    found = deployed.deploy("doctor", "dev", TOKENS_KMS_ALIAS="alias/mine", **settings)
    deployed.put("SPOTIFY_CLIENT_ID", APPLICATION.client_id)
    assert found.returncode == 0, "the redirect URI can be registered after the first deployment"
    refused = "Spotify refuses this request INVALID_CLIENT: Invalid client"
    for note in (
        f"Spotify does not accept logins yet: {refused}",
        "The app keeps access with all 17 scopes: a stolen token could do everything.",
        f"TOKENS_KMS_ALIAS is alias/mine here, but {ALIAS} in .chalice/config.json.",
        "This account runs 10 requests at a time, across all its functions.",
    ):
        assert f"Note: {note}" in found.stdout
    assert f"        {deployed.home}/callback\n" in found.stdout


def test_doctor_reports_that_spotify_cannot_be_reached_and_does_not_fail(deployed: Emulator) -> None:
    deployed.put("SPOTIFY_SCOPE", "user-top-read")
    found = deployed.deploy("doctor", "dev", SPOTIFY_ACCOUNTS_URL=f"http://127.0.0.1:{free_port()}")
    deployed.client("ssm").delete_parameter(Name=f"{PATH}/SPOTIFY_SCOPE")
    assert found.returncode == 0, found.stdout
    assert "Note: Could not check the client ID and secret with Spotify (ConnectionError)." in found.stdout
    assert "Note: Could not check the redirect URI with Spotify (ConnectionError)." in found.stdout
    assert "17 scopes" not in found.stdout


def test_what_conflicts_with_another_stage_or_with_spotify_is_reported_before_anything_is_changed(
    deployed: Emulator,
) -> None:
    failed = deployed.deploy("deploy", "prod", SPOTIFY_SCOPE="user-read-private no-such-scope")
    assert failed.returncode == 1
    assert f"- SPOTIFY_REDIRECT_URI is {deployed.home}/callback, which stage dev uses.\n" in failed.stdout
    assert "- Spotify rejects SPOTIFY_SCOPE: Spotify refuses this request Illegal scope" in failed.stdout
    assert "Nothing has been changed." in failed.stdout


@pytest.mark.promise("K1")
def test_doctor_finds_settings_that_the_app_would_reject(deployed: Emulator) -> None:
    good = deployed.parameters()
    bad = {
        "SECRET_KEY": "aliens",
        "SECRET_KEY_FALLBACKS": f"{secrets.new_key()},aliens",
        "SPOTIFY_CLIENT_SECRET": "fedcba",
    }
    for name, value in bad.items():
        deployed.put(name, value)
    deployed.edit({"SECRET_KEY": "x"})
    found = deployed.deploy("doctor", "dev", **UNSET)
    deployed.edit({"SECRET_KEY": ""})
    for name in {*bad} & {*good}:
        deployed.put(name, good[name])
    deployed.client("ssm").delete_parameter(Name=f"{PATH}/SECRET_KEY_FALLBACKS")
    assert found.returncode == 1, found.stdout
    for problem in (
        "SECRET_KEY is in .chalice/config.json, in plain text",
        "SECRET_KEY and SECRET_KEY_FALLBACKS is too weak: sessions could be forged.",
        f'Spotify rejects the client ID {APPLICATION.client_id} with this secret: {{"error":"invalid_client"',
    ):
        assert f"\n- {problem}" in found.stdout
    assert found.stdout.count("\n- ") == 3, found.stdout
    assert found.stdout.endswith("\n\nFix this, then run:\n    make doctor STAGE=dev\n")


def renew(aws: Emulator, **variables: str) -> None:
    """Restart the function, as Lambda does at each deployment and sometimes in between."""
    described = aws.client("lambda").get_function_configuration(FunctionName=FUNCTION)
    changed = {**described["Environment"]["Variables"], "RENEWED": str(described["RevisionId"]), **variables}
    aws.client("lambda").update_function_configuration(
        FunctionName=FUNCTION, Environment={"Variables": changed}
    )


def test_an_interrupted_key_rotation_continues_and_logs_no_user_out(
    deployed: Emulator, here: Account
) -> None:
    visitor, another = deployed.visitor(), deployed.visitor()
    visitor.log_in("premium")
    old = deployed.parameters()["SECRET_KEY"]
    with running(
        python("-m", "deploy", "rotate-key", "dev"), deployed.terminal, deployed.checkout
    ) as rotating:
        rotating.wait_for("The new key is accepted. It will be used in 370 s")
        for verb in ("deploy", "destroy"):
            failed = deployed.deploy(verb, "dev")
            assert failed.returncode == 1
            assert (
                "- Another command is changing dev from this checkout.\n    Wait for it to finish.\n"
                in failed.stdout
            )
        assert rotating.end() == -signal.SIGTERM
    between = deployed.parameters()
    new = between["SECRET_KEY_FALLBACKS"].partition(",")[0]
    assert (between["SECRET_KEY"], between["SECRET_KEY_FALLBACKS"]) == (old, f"{new},{old}")
    waited: list[float] = []
    Secrets(Stage.load("dev"), here).rotate(lambda _: None, waited.append)
    assert 300 < waited[0] <= secrets.KNOWN_EVERYWHERE
    assert deployed.parameters() == {**between, "SECRET_KEY": new, "SECRET_KEY_FALLBACKS": old}
    renew(deployed)
    assert visitor.see_id() == "pia.premium"
    another.log_in("premium", "second.person")
    assert another.see_id() == "second.person"


def test_all_sessions_can_be_ended_at_once(deployed: Emulator) -> None:
    visitor = deployed.visitor()
    visitor.log_in("premium")
    before = deployed.parameters()
    elsewhere = deployed.deploy("rotate-key", "prod", "--end-sessions", "yes")
    assert elsewhere.returncode == 1
    assert "- /spotify-login/prod/SECRET_KEY does not exist in this region and account." in elsewhere.stdout
    assert "make deploy" not in elsewhere.stdout, "it would create a stage there"
    assert "it must be yes" in deployed.deploy("rotate-key", "dev", "--end-sessions", "no").stdout
    assert deployed.parameters() == before
    done = deployed.deploy("rotate-key", "dev", "--end-sessions", "yes")
    assert done.returncode == 0
    assert "All users are logged out" in done.stdout
    assert "SECRET_KEY_FALLBACKS" not in deployed.parameters()
    renew(deployed)
    assert visitor.see_id() == "None"


@pytest.mark.promise("K1")
def test_doctor_finds_all_that_was_changed_by_hand_and_one_deployment_repairs_it(
    deployed: Emulator, here: Account
) -> None:
    secret = deployed.parameters()["SPOTIFY_CLIENT_SECRET"]
    for change in CHANGES.values():
        change(deployed)
    deployed.put("SPOTIFY_REDIRECT_URI", f"{deployed.url}/elsewhere/callback")
    deployed.put("TOKENS_KMS_ALIAS", "alias/mine")
    found = deployed.deploy("doctor", "dev", **{**UNSET, "SPOTIFY_CLIENT_SECRET": secret})
    assert found.returncode == 1, found.stdout
    (key,) = (sentence for sentence in CHANGES if "SECRET_KEY is a String" in sentence)
    assert [sentence for sentence in CHANGES if f"\n- {sentence}" not in found.stdout] == []
    for problem in (
        f"Function {FUNCTION} cannot do what a login needs: ",
        f"{deployed.url}/elsewhere/login does not redirect to Spotify: status 404.",
        f"{PATH}/TOKENS_KMS_ALIAS exists, but only TOKENS_KMS_ALIAS in .chalice/config.json creates the key.",
        f"Variable RENEWED of Function {FUNCTION} differs from .chalice/config.json.",
    ):
        assert f"\n- {problem}" in found.stdout
    assert found.stdout.count("\n- ") == len(CHANGES) + 4, found.stdout
    deployed.client("ssm").delete_parameter(Name=f"{PATH}/TOKENS_KMS_ALIAS")
    deployed.client("ssm").delete_parameter(Name=key.split()[0])
    dynamodb = deployed.client("dynamodb")
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})
    dynamodb.delete_table(TableName=TABLE)  # it is still being deleted when the deployment begins
    shutil.rmtree(deployed.checkout / ".git")
    again = deployed.deploy("deploy", "dev")
    assert again.returncode == 0, again.stdout
    assert f"    Table {TABLE} does not exist; created\n" in again.stdout
    assert f"    KeyState of Key {ALIAS} is PendingDeletion, not Enabled; fixed\n" in again.stdout
    assert "    commit       unknown (deployed without make deploy, or without git)\n" in again.stdout
    assert FIVE_MINUTES not in again.stdout
    silent = deployed.deploy("doctor", "dev", **UNSET)
    assert (silent.returncode, silent.stdout.splitlines()[-1]) == (0, "dev is deployed. No problems found.")
    assert deployed.visitor().log_in("premium").status == 307


def test_destroying_a_deployment_keeps_the_table_and_its_key_and_nothing_else(deployed: Emulator) -> None:
    deployed.visitor().log_in("premium")
    stored = deployed.client("dynamodb").scan(TableName=TABLE)["Items"]
    deployed.client("iam").attach_role_policy(RoleName=ROLE, PolicyArn=READ_ONLY)
    before = deployed.resources()
    for unconfirmed in ((), ("--confirm", "prod"), ("--confirm", "Dev")):
        failed = deployed.deploy("destroy", "dev", *unconfirmed)
        assert failed.returncode == 1
        assert "Nothing has been changed. Without a terminal, confirm it with CONFIRM=dev." in failed.stdout
    assert deployed.resources() == before
    done = deployed.deploy("destroy", "dev", "--confirm", "dev")
    assert done.returncode == 0, done.stdout
    assert "- Key" not in done.stdout
    again = f"make destroy STAGE=dev TABLE={TABLE}"
    assert f"The users table and its key are kept. To delete them, run:\n    {again}\n" in done.stdout
    assert deployed.resources() == {"table": [TABLE], "alias": [ALIAS]}
    assert not deployed.record.exists()
    assert deployed.client("dynamodb").scan(TableName=TABLE)["Items"] == stored != []
    left = deployed.deploy("doctor", "dev").stdout
    assert f"    remains: Key {ALIAS}\n    remains: Table {TABLE}, with all its items\n" in left
    assert "    The key costs 1 USD a month.\ndev is not deployed. No problems found.\n" in left


def test_destroying_the_table_schedules_the_deletion_of_the_key(deployed: Emulator) -> None:
    own = deployed.client("kms").describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    table = ("destroy", "dev", "--confirm", "dev", "--table")
    assert deployed.deploy(*table, "spotify-login-users-prod").returncode == 1
    assert deployed.resources() == {"table": [TABLE], "alias": [ALIAS]}
    done = deployed.deploy(*table, TABLE)
    assert done.returncode == 0, done.stdout
    assert (
        f"- Key {ALIAS}, after 7 days. To restore it until then:\n"
        f"      aws kms cancel-key-deletion --key-id {own}\n"
        "  After that, the tokens in copies and backups of the table cannot be decrypted\n"
    ) in done.stdout
    assert deployed.resources() == {}
    assert deployed.client("kms").describe_key(KeyId=own)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert f"dev is not deployed in {REGION}" in deployed.deploy(*table, TABLE).stdout


ELSEWHERE = {
    "dynamodb:TagResource",
    "dynamodb:UpdateContinuousBackups",
    "iam:PassRole",
    "kms:TagResource",
    "lambda:PutFunctionConcurrency",
    "logs:FilterLogEvents",
}
"""Actions that AWS, unlike the emulator, requires for tags or a role, for settings that these tests do not change
alone, and for `aws logs tail`.
"""


def test_the_deployers_policy_has_no_action_that_these_commands_did_not_need(deployed: Emulator) -> None:
    def listed(value: str | list[str]) -> list[str]:
        return [value] if isinstance(value, str) else value

    statements = POLICY["Statement"]
    allowed = {action for statement in statements for action in listed(statement["Action"])}
    assert allowed - {*deployed.called()} == ELSEWHERE
    for statement in statements:
        for resource in listed(statement["Resource"]):
            limits = f"{resource} {statement.get('Condition')}"
            assert resource == "*" or "spotify-login" in limits or "/restapis" in resource
