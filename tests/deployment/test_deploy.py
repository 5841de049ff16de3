"""Deploy, check, rotate keys and destroy on an emulated AWS that runs the function and enforces policies."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from playwright.sync_api import Page

from deploy import PROJECT, secrets
from deploy.account import Account
from deploy.secrets import Secrets
from deploy.stage import Stage
from tests.support.browser import log_in
from tests.support.deployment import APPLICATION, PYTHON, REGION, Emulator, emulator
from tests.support.servers import python, running
from tests.support.visitor import query_of

TABLE = "spotify-login-users-dev"
PATH = "/spotify-login/dev"
ROLE = "spotify-login-dev-api_handler"
FUNCTION = "spotify-login-dev"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An empty account."""
    with emulator(tmp_path_factory.mktemp("emulator")) as started:
        yield started


@pytest.fixture(scope="module")
def first(aws: Emulator) -> subprocess.CompletedProcess[str]:
    """The first deployment."""
    return aws.deploy("deploy", "dev")


@pytest.fixture
def deployed(aws: Emulator, first: subprocess.CompletedProcess[str]) -> Emulator:
    """An account with the deployed app."""
    assert first.returncode == 0, first.stdout
    hasten(aws)
    return aws


def hasten(aws: Emulator) -> None:
    """Raise the request limits, so that the tests need not wait for them."""
    aws.edit(throttling={"*": {"rate": 1000, "burst": 1000}})


def parameters(aws: Emulator) -> dict[str, str]:
    found = aws.client("ssm").get_parameters_by_path(Path=PATH, WithDecryption=True)["Parameters"]
    return {parameter["Name"].rpartition("/")[2]: parameter["Value"] for parameter in found}


def apis(aws: Emulator) -> list[str]:
    return [api["id"] for api in aws.client("apigateway").get_rest_apis()["items"]]


@pytest.mark.parametrize("name", ["data.yaml", "watch.yaml"])
def test_the_template_passes_cfn_lint(name: str) -> None:
    subprocess.run([PYTHON.with_name("cfn-lint"), PROJECT / "deploy" / name], check=True)


def test_doctor_finds_no_problems_before_the_first_deployment(aws: Emulator) -> None:
    done = aws.deploy("doctor", "dev")
    assert (done.returncode, done.stdout) == (0, "dev is not deployed yet. No problems found.\n")


def test_the_first_deployment_prints_its_url_and_the_redirect_uri_to_register(
    aws: Emulator, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0, first.stdout
    assert f"Deployed: {aws.home}/\n" in first.stdout
    assert f"\n    {aws.home}/callback\n" in first.stdout
    assert "https://developer.spotify.com/dashboard" in first.stdout
    assert re.search(r"21 rows at \S+: 20 pass, 1 not applicable, 0 fail\.", first.stdout), (
        "G1 is only over https"
    )


def test_a_visitor_can_log_in_at_that_url(deployed: Emulator) -> None:
    visitor = deployed.visitor()
    assert visitor.see_id() == "None"
    assert query_of(visitor.begin())["redirect_uri"] == f"{deployed.home}/callback"
    response = visitor.log_in("premium")
    assert (response.status, response.location) == (307, f"{deployed.home}/")
    assert [line.partition("=")[0] for line in response.set_cookies][-1] == "spotify-session"
    assert visitor.see_id() == "pia.premium"
    assert all(link.startswith(deployed.home + "/") for link in visitor.get("/").links)
    (item,) = deployed.client("dynamodb").scan(TableName=TABLE)["Items"]
    assert json.loads(item["profile"]["S"])["id"] == "pia.premium"
    assert visitor.get("/logout").location == f"{deployed.home}/"
    assert visitor.see_id() == "None"
    assert deployed.client("dynamodb").scan(TableName=TABLE)["Items"] == []


def test_a_browser_can_log_in_at_that_url(deployed: Emulator, page: Page) -> None:
    page.goto(f"{deployed.home}/")
    log_in(page)
    assert page.url == f"{deployed.home}/"
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()
    assert "User ID: None" in page.inner_text("main")


def test_the_table_the_log_and_the_alarms_are_as_documented(deployed: Emulator) -> None:
    dynamodb, logs = deployed.client("dynamodb"), deployed.client("logs")
    table = dynamodb.describe_table(TableName=TABLE)["Table"]
    assert table["KeySchema"] == [{"AttributeName": "account_id", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is True
    assert table["SSEDescription"]["Status"] == "ENABLED"
    lifetime = dynamodb.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]
    assert lifetime == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    (group,) = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{FUNCTION}")["logGroups"]
    assert group["retentionInDays"] == 30
    alarms = deployed.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {alarm["MetricName"] for alarm in alarms} == {"Errors", "Throttles", "5XXError"}
    stacks = deployed.client("cloudformation").describe_stacks()["Stacks"]
    assert {stack["StackName"] for stack in stacks} == {f"{FUNCTION}-data", f"{FUNCTION}-watch"}
    for stack in stacks:
        assert {tag["Key"]: tag["Value"] for tag in stack["Tags"]} == {"app": "spotify-login", "stage": "dev"}


def test_secrets_are_only_in_parameter_store(
    deployed: Emulator, first: subprocess.CompletedProcess[str]
) -> None:
    described = deployed.client("ssm").get_parameters_by_path(Path=PATH)["Parameters"]
    assert {parameter["Type"] for parameter in described} == {"SecureString"}
    stored = parameters(deployed)
    assert len(stored["SECRET_KEY"]) == 64
    places = {
        "output": first.stdout,
        "function": json.dumps(deployed.client("lambda").get_function(FunctionName=FUNCTION), default=str),
        "stack": json.dumps(deployed.client("cloudformation").describe_stacks(), default=str),
        "template": json.dumps(
            deployed.client("cloudformation").get_template(StackName=f"{FUNCTION}-watch"), default=str
        ),
        "config": (deployed.checkout / ".chalice" / "config.json").read_text(),
        "record": deployed.record.read_text(),
    }
    bundle = deployed.checkout / ".package" / "dev"
    for path in bundle.rglob("*"):
        if path.is_file():
            places[str(path)] = path.read_bytes().decode("latin-1")
    for secret in (stored["SECRET_KEY"], APPLICATION.client_secret):
        assert [place for place, text in places.items() if secret in text] == []


def test_the_request_limits_are_in_force(deployed: Emulator) -> None:
    stage = deployed.client("apigateway").get_stage(restApiId=deployed.api, stageName="api")
    limits = {
        key.replace("~1", "/").lstrip("/"): (method["throttlingRateLimit"], method["throttlingBurstLimit"])
        for key, method in stage["methodSettings"].items()
    }
    assert limits == {"*/*": (100, 200)}


def test_the_role_allows_nothing_else(deployed: Emulator) -> None:
    credentials = deployed.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::000000000000:role/{ROLE}", RoleSessionName="test"
    )["Credentials"]
    session = boto3.Session(
        credentials["AccessKeyId"],
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
        region_name=REGION,
    )
    dynamodb = session.client("dynamodb", endpoint_url=deployed.url)
    ssm = session.client("ssm", endpoint_url=deployed.url)
    key = {"account_id": {"S": "no-such-user"}}
    dynamodb.get_item(TableName=TABLE, Key=key)
    ssm.get_parameters_by_path(Path=PATH, WithDecryption=True)
    beyond: list[Callable[[], Any]] = [
        lambda: dynamodb.scan(TableName=TABLE),
        lambda: dynamodb.put_item(TableName=TABLE, Item=key),
        lambda: dynamodb.get_item(TableName="spotify-login-users-prod", Key=key),
        lambda: ssm.get_parameters_by_path(Path="/spotify-login/prod"),
        lambda: ssm.put_parameter(Name=f"{PATH}/SECRET_KEY", Value="x", Overwrite=True),
    ]
    for call in beyond:
        with pytest.raises(ClientError, match="AccessDenied"):
            call()


def test_a_second_deployment_keeps_the_url_and_all_sessions(deployed: Emulator) -> None:
    visitor = deployed.visitor()
    visitor.log_in("premium")
    again = deployed.deploy("deploy", "dev")
    assert again.returncode == 0, again.stdout
    assert again.stdout.count("nothing to change") == 2
    assert f"Deployed: {deployed.home}/\n" in again.stdout
    assert apis(deployed) == [deployed.api]
    assert visitor.see_id() == "pia.premium"


def test_after_a_lost_record_a_deployment_creates_no_second_api(deployed: Emulator) -> None:
    kept = json.loads(deployed.record.read_text())
    deployed.record.unlink()
    found = deployed.deploy("doctor", "dev")
    assert found.returncode == 1
    assert "Chalice's record .chalice/deployed/dev.json is missing or incomplete." in found.stdout
    again = deployed.deploy("deploy", "dev")
    assert again.returncode == 0, again.stdout
    assert "no record of this deployment; found in AWS: iam_role, lambda_function, rest_api" in again.stdout
    assert apis(deployed) == [deployed.api]
    assert json.loads(deployed.record.read_text()) == kept


def test_a_deployment_fails_while_there_are_two_apis(deployed: Emulator) -> None:
    kept = deployed.record.read_text()
    gateway = deployed.client("apigateway")
    exported = {
        "swagger": "2.0",
        "info": {"title": "spotify-login", "version": "1.0"},
        "paths": {
            "/": {
                "get": {
                    "x-amazon-apigateway-integration": {
                        "type": "aws_proxy",
                        "httpMethod": "POST",
                        "uri": f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/"
                        f"arn:aws:lambda:{REGION}:000000000000:function:{FUNCTION}/invocations",
                    }
                }
            }
        },
    }
    second = gateway.import_rest_api(body=json.dumps(exported))["id"]
    deployed.record.unlink()
    rejected = deployed.deploy("deploy", "dev")
    gateway.delete_rest_api(restApiId=second)
    deployed.record.write_text(kept)
    assert rejected.returncode == 1
    assert f"2 REST APIs invoke {FUNCTION}: " in rejected.stdout
    assert "Fix this, then run:\n    make deploy STAGE=dev" in rejected.stdout


def test_an_interrupted_key_rotation_continues_and_logs_no_user_out(
    deployed: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = deployed.visitor()
    visitor.log_in("premium")
    old = parameters(deployed)["SECRET_KEY"]
    with running(
        python("-m", "deploy", "rotate-key", "dev"), deployed.terminal, deployed.checkout
    ) as rotating:
        rotating.wait_for("The new key is accepted. It starts signing in 370 s")
        assert rotating.end() == -signal.SIGTERM
    new = parameters(deployed)["SECRET_KEY_FALLBACKS"].partition(",")[0]
    assert parameters(deployed) | {"SECRET_KEY": old, "SECRET_KEY_FALLBACKS": f"{new},{old}"} == parameters(
        deployed
    )
    waited: list[float] = []
    for name, value in deployed.terminal.items():
        monkeypatch.setenv(name, value)
    Secrets(Stage.load("dev"), Account.current()).rotate(lambda _: None, waited.append)
    assert 300 < waited[0] <= secrets.KNOWN_EVERYWHERE
    assert parameters(deployed)["SECRET_KEY"] == new
    assert parameters(deployed)["SECRET_KEY_FALLBACKS"] == old
    renew(deployed)
    assert visitor.see_id() == "pia.premium"
    another = deployed.visitor()
    another.log_in("premium", "second.person")
    assert another.see_id() == "second.person"


def renew(aws: Emulator) -> None:
    """Restart the function, as Lambda does at each deployment and sometimes in between."""
    described = aws.client("lambda").get_function_configuration(FunctionName=FUNCTION)
    variables = {**described["Environment"]["Variables"], "RENEWED": str(described["RevisionId"])}
    aws.client("lambda").update_function_configuration(
        FunctionName=FUNCTION, Environment={"Variables": variables}
    )


def test_all_sessions_can_be_ended_at_once(deployed: Emulator) -> None:
    visitor = deployed.visitor()
    visitor.log_in("premium")
    done = deployed.deploy("rotate-key", "dev", "--end-sessions", "yes")
    assert done.returncode == 0
    assert "All users are logged out" in done.stdout
    assert "SECRET_KEY_FALLBACKS" not in parameters(deployed)
    renew(deployed)
    assert visitor.see_id() == "None"


def break_ttl(aws: Emulator) -> None:
    off = {"Enabled": False, "AttributeName": "expires_at"}
    aws.client("dynamodb").update_time_to_live(TableName=TABLE, TimeToLiveSpecification=off)


def restore_ttl(aws: Emulator) -> None:
    on = {"Enabled": True, "AttributeName": "expires_at"}
    aws.client("dynamodb").update_time_to_live(TableName=TABLE, TimeToLiveSpecification=on)


def protect(aws: Emulator, *, protected: bool) -> None:
    aws.client("dynamodb").update_table(TableName=TABLE, DeletionProtectionEnabled=protected)


def put(aws: Emulator, name: str, value: str, kind: str = "SecureString") -> None:
    aws.client("ssm").put_parameter(Name=f"{PATH}/{name}", Value=value, Type=kind, Overwrite=True)


def widen(aws: Emulator) -> None:
    wide = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam = aws.client("iam")
    (name,) = iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
    iam.put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=json.dumps(wide))


def narrow(aws: Emulator) -> None:
    policy = (aws.checkout / ".chalice" / "policy-dev.json").read_text()
    iam = aws.client("iam")
    (name,) = iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
    iam.put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=policy)


ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def limit(aws: Emulator, rate: int) -> None:
    operations = [{"op": "replace", "path": "/*/*/throttling/rateLimit", "value": str(rate)}]
    aws.client("apigateway").update_stage(restApiId=aws.api, stageName="api", patchOperations=operations)


def set_variable(aws: Emulator, *, present: bool) -> None:
    variables = {"USERS_TABLE": TABLE, "PARAMETER_PATH": PATH}
    more = {"SPOTIFY_SCOPE": "user-read-private"} if present else {}
    aws.client("lambda").update_function_configuration(
        FunctionName=FUNCTION, Environment={"Variables": {**variables, **more}}
    )


def move_record(aws: Emulator, account: str, to: str) -> None:
    aws.record.write_text(aws.record.read_text().replace(account, to))


def configure(aws: Emulator, name: str, value: str) -> None:
    path = aws.checkout / ".chalice" / "config.json"
    config = json.loads(path.read_text())
    config["environment_variables"].pop(name, None)
    if value:
        config["environment_variables"][name] = value
    path.write_text(json.dumps(config))


Act = Callable[[Emulator], object]

BROKEN: dict[str, tuple[Act, str, Act]] = {
    "no time to live": (break_ttl, f"Table {TABLE} does not delete expired items", restore_ttl),
    "no deletion protection": (
        lambda aws: protect(aws, protected=False),
        f"Table {TABLE} has no deletion protection.",
        lambda aws: protect(aws, protected=True),
    ),
    "a weak key": (
        lambda aws: put(aws, "SECRET_KEY", "aliens"),
        "too weak, so sessions could be forged.",
        lambda aws: put(aws, "SECRET_KEY", secrets.new_key()),
    ),
    "a weak fallback": (
        lambda aws: put(aws, "SECRET_KEY_FALLBACKS", f"{secrets.new_key()},aliens"),
        "too weak, so sessions could be forged.",
        lambda aws: aws.client("ssm").delete_parameter(Name=f"{PATH}/SECRET_KEY_FALLBACKS"),
    ),
    "no key": (
        lambda aws: aws.client("ssm").delete_parameter(Name=f"{PATH}/SECRET_KEY"),
        "SECRET_KEY does not exist, so users cannot log in.",
        lambda aws: put(aws, "SECRET_KEY", secrets.new_key()),
    ),
    "a wrong redirect URI": (
        lambda aws: put(aws, "SPOTIFY_REDIRECT_URI", f"{aws.url}/elsewhere/callback"),
        "is not the app's home page",
        lambda aws: put(aws, "SPOTIFY_REDIRECT_URI", f"{aws.home}/callback"),
    ),
    "a malformed secret": (
        lambda aws: put(aws, "SPOTIFY_CLIENT_SECRET", "fedcba"),
        "SPOTIFY_CLIENT_SECRET must be 32 characters of 0-9 and a-f.",
        lambda aws: put(aws, "SPOTIFY_CLIENT_SECRET", APPLICATION.client_secret),
    ),
    "a role that allows everything": (widen, f"The permissions of role {ROLE} differ from", narrow),
    "a role with another policy": (
        lambda aws: aws.client("iam").attach_role_policy(RoleName=ROLE, PolicyArn=ADMINISTRATOR),
        "more permissions than it needs: AdministratorAccess is attached to it.",
        lambda aws: aws.client("iam").detach_role_policy(RoleName=ROLE, PolicyArn=ADMINISTRATOR),
    ),
    "other limits": (
        lambda aws: limit(aws, 7),
        "API Gateway's request limits differ from .chalice/config.json.",
        lambda aws: limit(aws, 1000),
    ),
    "a setting in the function's environment": (
        lambda aws: set_variable(aws, present=True),
        "SPOTIFY_SCOPE is in the function's environment, and overrides the stored parameter.",
        lambda aws: set_variable(aws, present=False),
    ),
    "a record of another account": (
        lambda aws: move_record(aws, "000000000000", "210987654321"),
        "belongs to account 210987654321 in eu-west-1, but these credentials are for account 000000000000",
        lambda aws: move_record(aws, "210987654321", "000000000000"),
    ),
    "a secret in config.json": (
        lambda aws: configure(aws, "SECRET_KEY", "x"),
        "SECRET_KEY is in .chalice/config.json, in plain text",
        lambda aws: configure(aws, "SECRET_KEY", ""),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_doctor_finds_what_is_broken(deployed: Emulator, name: str) -> None:
    break_it, message, repair = BROKEN[name]
    break_it(deployed)
    # Without settings in the environment, doctor checks the stored ones.
    found = deployed.deploy(
        "doctor", "dev", SPOTIFY_CLIENT_ID="", SPOTIFY_CLIENT_SECRET="", SPOTIFY_REDIRECT_URI=""
    )
    repair(deployed)
    assert found.returncode == 1, found.stdout
    assert message in found.stdout
    assert found.stdout.count("\n- ") == 1, found.stdout


def test_doctor_finds_no_problems_in_a_correct_deployment(deployed: Emulator) -> None:
    put(deployed, "SECRET_KEY", secrets.new_key())
    renew(deployed)
    done = deployed.deploy("doctor", "dev")
    assert (done.returncode, done.stdout) == (0, "dev is deployed. No problems found.\n")


def test_destroying_a_deployment_keeps_the_table_and_nothing_else(deployed: Emulator) -> None:
    deployed.visitor().log_in("premium")
    stored = deployed.client("dynamodb").scan(TableName=TABLE)["Items"]
    done = deployed.deploy("destroy", "dev")
    assert done.returncode == 0, done.stdout
    assert f"The table {TABLE} is kept." in done.stdout
    assert apis(deployed) == []
    assert deployed.client("lambda").list_functions()["Functions"] == []
    assert deployed.client("iam").list_roles()["Roles"] == []
    assert deployed.client("logs").describe_log_groups()["logGroups"] == []
    assert deployed.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert parameters(deployed) == {}
    assert not deployed.record.exists()
    assert deployed.client("dynamodb").scan(TableName=TABLE)["Items"] == stored != []


def test_a_destroyed_stage_can_be_deployed_again_and_destroyed_with_its_table(deployed: Emulator) -> None:
    deployed.api = "api3"
    again = deployed.deploy("deploy", "dev")
    assert again.returncode == 0, again.stdout
    assert deployed.visitor().log_in("premium").status == 307
    rejected = deployed.deploy("destroy", "dev", "--table", "spotify-login-users-prod")
    assert rejected.returncode == 1
    assert apis(deployed) == ["api3"]
    done = deployed.deploy("destroy", "dev", "--table", TABLE)
    assert done.returncode == 0, done.stdout
    assert deployed.client("dynamodb").list_tables()["TableNames"] == []
    assert [
        stack
        for stack in deployed.client("cloudformation").describe_stacks()["Stacks"]
        if stack["StackStatus"] != "DELETE_COMPLETE"
    ] == []
    assert deployed.deploy("doctor", "dev").stdout == "dev is not deployed yet. No problems found.\n"
