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

from deploy import secrets
from deploy.account import Account
from deploy.monitoring import Monitoring
from deploy.secrets import Secrets
from deploy.stage import Stage
from tests.support.browser import log_in
from tests.support.deployment import APPLICATION, REGION, Emulator, emulator
from tests.support.servers import free_port, python, running
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
def commit(aws: Emulator) -> str:
    """The only commit of the checkout."""
    return aws.commit()


@pytest.fixture(scope="module")
def first(aws: Emulator, commit: str) -> subprocess.CompletedProcess[str]:
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
    aws.edit(throttling={"rate": 1000, "burst": 1000})


def parameters(aws: Emulator) -> dict[str, str]:
    found = aws.client("ssm").get_parameters_by_path(Path=PATH, WithDecryption=True)["Parameters"]
    return {parameter["Name"].rpartition("/")[2]: parameter["Value"] for parameter in found}


def apis(aws: Emulator) -> list[str]:
    return [api["id"] for api in aws.client("apigateway").get_rest_apis()["items"]]


def test_doctor_finds_no_problems_before_the_first_deployment(aws: Emulator) -> None:
    done = aws.deploy("doctor", "dev")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "dev is not deployed yet. No problems found.",
    )


def test_the_first_deployment_passes_smoke_and_prints_its_url(
    aws: Emulator, first: subprocess.CompletedProcess[str], commit: str
) -> None:
    assert first.returncode == 0, first.stdout
    assert f"Deployed: {aws.home}/\n" in first.stdout
    for done in (first, aws.deploy("doctor", "dev")):
        assert (
            f"    URL          {aws.home}/\n    redirect URI {aws.home}/callback\n    commit       {commit}\n    items        0 ("
            in done.stdout
        )
        assert re.search(r"\n    signing key  changed 20\d\d-\d\d-\d\d \d\d:\d\d UTC\n", done.stdout)
    assert "24 passed, 1 skipped" in first.stdout, "G1 is only over https"


def test_a_visitor_can_log_in_at_the_deployed_url(deployed: Emulator) -> None:
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


def test_a_browser_can_log_in_at_the_deployed_url(deployed: Emulator, page: Page) -> None:
    page.goto(f"{deployed.home}/")
    log_in(page)
    assert page.url == f"{deployed.home}/"
    assert "User ID: pia.premium" in page.inner_text("main")
    page.get_by_role("link", name="Log out").click()
    assert "User ID: None" in page.inner_text("main")


def test_the_api_compresses_responses_of_a_kilobyte_or_more(deployed: Emulator) -> None:
    """The emulator keeps this setting of API Gateway, but does not compress."""
    (api,) = deployed.client("apigateway").get_rest_apis()["items"]
    assert api["minimumCompressionSize"] == 1024


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
    names = {alarm["AlarmName"]: alarm["MetricName"] for alarm in alarms}
    assert names == {
        f"{FUNCTION}-errors": "Errors",
        f"{FUNCTION}-throttles": "Throttles",
        f"{FUNCTION}-5xx": "5XXError",
    }
    tags = dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"app": "spotify-login", "stage": "dev"}
    role = deployed.client("iam").list_role_tags(RoleName=ROLE)["Tags"]
    assert {"Key": "region", "Value": REGION} in role


def test_alarms_keep_their_topic_until_it_is_changed(
    deployed: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in deployed.terminal.items():
        monkeypatch.setenv(name, value)
    monitoring = Monitoring(Stage.load("dev"), Account.current())
    topic = f"arn:aws:sns:{REGION}:000000000000:alarms"
    for given, wanted in ((topic, [topic]), (None, [topic]), ("", [])):
        monkeypatch.delenv("ALARM_TOPIC_ARN", raising=False)
        if given is not None:
            monkeypatch.setenv("ALARM_TOPIC_ARN", given)
        monitoring.create()
        alarms = deployed.client("cloudwatch").describe_alarms()["MetricAlarms"]
        assert [alarm["AlarmActions"] for alarm in alarms] == [wanted] * 3


@pytest.mark.promise("K2")
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
        "alarms": json.dumps(deployed.client("cloudwatch").describe_alarms(), default=str),
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
    limits = stage["methodSettings"]["*/*"]
    assert (limits["throttlingRateLimit"], limits["throttlingBurstLimit"]) == (100, 200)


@pytest.mark.promise("K2")
def test_the_role_allows_only_its_policy(deployed: Emulator) -> None:
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


def test_a_second_deployment_keeps_the_url_and_all_sessions_even_if_the_record_is_lost(
    deployed: Emulator,
) -> None:
    visitor = deployed.visitor()
    visitor.log_in("premium")
    kept = json.loads(deployed.record.read_text())
    deployed.record.unlink()
    again = deployed.deploy("deploy", "dev")
    assert again.returncode == 0, again.stdout
    assert again.stdout.count("nothing to change") == 2
    assert f"Deployed: {deployed.home}/\n" in again.stdout
    assert apis(deployed) == [deployed.api]
    assert json.loads(deployed.record.read_text()) == kept
    assert visitor.see_id() == "pia.premium"


def test_a_deployment_restores_what_was_deleted_by_hand_and_keeps_its_url(deployed: Emulator) -> None:
    dynamodb = deployed.client("dynamodb")
    protect(deployed, protected=False)
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})
    dynamodb.delete_table(TableName=TABLE)  # it is still being deleted when the deployment begins
    deployed.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{FUNCTION}")
    deployed.client("cloudwatch").delete_alarms(AlarmNames=[f"{FUNCTION}-errors", f"{FUNCTION}-5xx"])
    deployed.client("ssm").delete_parameter(Name=f"{PATH}/SECRET_KEY")
    limit(deployed, 7)
    widen(deployed)
    cloudwatch = deployed.client("cloudwatch")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[f"{FUNCTION}-throttles"])["MetricAlarms"]
    kept = (
        "Namespace",
        "MetricName",
        "Statistic",
        "Period",
        "EvaluationPeriods",
        "ComparisonOperator",
        "Dimensions",
    )
    topic = f"arn:aws:sns:{REGION}:000000000000:recovered"
    changed = {"AlarmName": alarm["AlarmName"], "Threshold": 1e9, "OKActions": [topic]}
    cloudwatch.put_metric_alarm(**{name: alarm[name] for name in kept}, **changed)
    missing = (
        f"Alarm {FUNCTION}-throttles differs from deploy/monitoring.py",
        f"Table {TABLE} does not exist",
        f"Log group /aws/lambda/{FUNCTION} does not exist, or does not expire after 30 days",
        f"Alarm {FUNCTION}-errors does not exist",
        f"Alarm {FUNCTION}-5xx does not exist",
    )
    found = deployed.deploy("doctor", "dev")
    assert found.returncode == 1
    others = ("SECRET_KEY does not exist", f"The permissions of role {ROLE} differ", "request limits differ")
    for fault in (*missing, *others):
        assert fault in found.stdout
    again = deployed.deploy("deploy", "dev")
    assert again.returncode == 0, again.stdout
    for fault in missing:
        assert fault in again.stdout
    assert f"Deployed: {deployed.home}/\n" in again.stdout
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[f"{FUNCTION}-throttles"])["MetricAlarms"]
    assert (alarm["Threshold"], alarm["OKActions"]) == (1, [topic])
    assert deployed.deploy("doctor", "dev").returncode == 0
    assert deployed.visitor().log_in("premium").status == 307


def test_plain_chalice_deploy_updates_a_deployment(deployed: Emulator) -> None:
    before = deployed.client("lambda").get_function_configuration(FunctionName=FUNCTION)["CodeSha256"]
    done = deployed.chalice("deploy", "--stage", "dev")
    assert done.returncode == 0, done.stdout
    assert apis(deployed) == [deployed.api]
    after = deployed.client("lambda").get_function_configuration(FunctionName=FUNCTION)["CodeSha256"]
    assert after != before, "it packages wheels, without bytecode and botocore"
    assert deployed.visitor().log_in("premium").status == 307
    found = deployed.deploy("doctor", "dev")
    assert found.returncode == 0, found.stdout
    assert "    commit       unknown (deployed without make deploy, or without git)\n" in found.stdout


def test_a_deployment_fails_while_there_are_two_apis(deployed: Emulator) -> None:
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
    rejected = deployed.deploy("deploy", "dev")
    gateway.delete_rest_api(restApiId=second)
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
        rotating.wait_for("The new key is accepted. It will be used in 370 s")
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
    dynamodb = aws.client("dynamodb")
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})
    dynamodb.update_table(TableName=TABLE, DeletionProtectionEnabled=protected)


def recover(aws: Emulator, *, enabled: bool) -> None:
    recovery = {"PointInTimeRecoveryEnabled": enabled}
    aws.client("dynamodb").update_continuous_backups(
        TableName=TABLE, PointInTimeRecoverySpecification=recovery
    )


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


def configure(aws: Emulator, name: str, value: str) -> None:
    path = aws.checkout / ".chalice" / "config.json"
    config = json.loads(path.read_text())
    config["environment_variables"].pop(name, None)
    if value:
        config["environment_variables"][name] = value
    path.write_text(json.dumps(config))


Act = Callable[[Emulator], object]

BROKEN: dict[str, tuple[Act, str, Act]] = {
    "point-in-time recovery": (
        lambda aws: recover(aws, enabled=True),
        f"PointInTimeRecovery of table {TABLE} differs from deploy/table.py.",
        lambda aws: recover(aws, enabled=False),
    ),
    "no time to live": (
        break_ttl,
        f"TimeToLiveSpecification of table {TABLE} differs from deploy/table.py.",
        restore_ttl,
    ),
    "no deletion protection": (
        lambda aws: protect(aws, protected=False),
        f"DeletionProtectionEnabled of table {TABLE} differs from deploy/table.py.",
        lambda aws: protect(aws, protected=True),
    ),
    "a weak key": (
        lambda aws: put(aws, "SECRET_KEY", "aliens"),
        "is too weak: sessions could be forged.",
        lambda aws: put(aws, "SECRET_KEY", secrets.new_key()),
    ),
    "a weak fallback": (
        lambda aws: put(aws, "SECRET_KEY_FALLBACKS", f"{secrets.new_key()},aliens"),
        "is too weak: sessions could be forged.",
        lambda aws: aws.client("ssm").delete_parameter(Name=f"{PATH}/SECRET_KEY_FALLBACKS"),
    ),
    "no key": (
        lambda aws: aws.client("ssm").delete_parameter(Name=f"{PATH}/SECRET_KEY"),
        "SECRET_KEY does not exist, so users cannot log in.",
        lambda aws: put(aws, "SECRET_KEY", secrets.new_key()),
    ),
    "a wrong redirect URI": (
        lambda aws: put(aws, "SPOTIFY_REDIRECT_URI", f"{aws.url}/elsewhere/callback"),
        "/elsewhere/login does not redirect to Spotify: status 404.",
        lambda aws: put(aws, "SPOTIFY_REDIRECT_URI", f"{aws.home}/callback"),
    ),
    "a wrong secret": (
        lambda aws: put(aws, "SPOTIFY_CLIENT_SECRET", "fedcba"),
        f'Spotify rejects the client ID {APPLICATION.client_id} with this secret: {{"error":"invalid_client"',
        lambda aws: put(aws, "SPOTIFY_CLIENT_SECRET", APPLICATION.client_secret),
    ),
    "a role that allows everything": (widen, f"The permissions of role {ROLE} differ from", narrow),
    "a role with another policy": (
        lambda aws: aws.client("iam").attach_role_policy(RoleName=ROLE, PolicyArn=ADMINISTRATOR),
        f"more permissions than it needs: policy {ADMINISTRATOR}.",
        lambda aws: aws.client("iam").detach_role_policy(RoleName=ROLE, PolicyArn=ADMINISTRATOR),
    ),
    "a role with another inline policy": (
        lambda aws: aws.client("iam").put_role_policy(
            RoleName=ROLE,
            PolicyName="debug",
            PolicyDocument=(aws.checkout / ".chalice" / "policy-dev.json").read_text(),
        ),
        f"        aws iam delete-role-policy --policy-name debug --role-name {ROLE}\n",
        lambda aws: aws.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="debug"),
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
    "a secret in config.json": (
        lambda aws: configure(aws, "SECRET_KEY", "x"),
        "SECRET_KEY is in .chalice/config.json, in plain text",
        lambda aws: configure(aws, "SECRET_KEY", ""),
    ),
}


@pytest.mark.promise("K1")
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
    assert found.stdout.endswith("\n\nFix this, then run:\n    make doctor STAGE=dev\n")


def test_doctor_reports_a_redirect_uri_that_is_not_registered_at_spotify(deployed: Emulator) -> None:
    put(deployed, "SPOTIFY_CLIENT_ID", "0" * 32)
    settings = {"SPOTIFY_CLIENT_ID": APPLICATION.client_id}  # accepted, while the stored one is unknown
    found = deployed.deploy("doctor", "dev", **settings)
    put(deployed, "SPOTIFY_CLIENT_ID", APPLICATION.client_id)
    assert found.returncode == 0, "the redirect URI can be registered after the first deployment"
    text = "Note: Spotify does not accept logins yet: Spotify refuses this request INVALID_CLIENT: Invalid client"
    assert text in found.stdout
    assert f"        {deployed.home}/callback\n" in found.stdout


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (
            "user-read-private no-such-scope",
            "- Spotify rejects SPOTIFY_SCOPE: Spotify refuses this request Illegal scope",
        ),
        (
            "user-read-email  user-read-private",
            "- The app cannot use SPOTIFY_SCOPE, which is 'user-read-email  user-read-",
        ),
    ],
)
def test_an_unusable_scope_is_reported_before_anything_is_changed(
    deployed: Emulator, scope: str, message: str
) -> None:
    failed = deployed.deploy("deploy", "dev", SPOTIFY_SCOPE=scope)
    assert failed.returncode == 1
    assert message in failed.stdout
    assert "Nothing has been changed." in failed.stdout
    assert "SPOTIFY_SCOPE" not in parameters(deployed)


def test_a_front_end_that_would_stop_the_app_is_rejected(deployed: Emulator) -> None:
    failed = deployed.deploy(
        "deploy", "dev", FRONTEND_ORIGINS="http://127.0.0.1:3000", SPOTIFY_REDIRECT_URI=""
    )
    assert failed.returncode == 1
    assert "- FRONTEND_ORIGINS is http://127.0.0.1:3000, but it must list https origins" in failed.stdout
    assert "FRONTEND_ORIGINS" not in parameters(deployed)


def test_the_redirect_uri_of_another_stage_is_rejected(deployed: Emulator) -> None:
    failed = deployed.deploy("deploy", "prod")
    assert failed.returncode == 1
    assert f"- SPOTIFY_REDIRECT_URI is {deployed.home}/callback, which stage dev uses.\n" in failed.stdout
    assert "Nothing has been changed." in failed.stdout


def test_sessions_of_a_stage_that_is_not_deployed_cannot_be_ended(deployed: Emulator) -> None:
    before = parameters(deployed)
    for place in ({"AWS_DEFAULT_REGION": "us-east-1"}, {}):
        stage = "dev" if place else "prod"
        failed = deployed.deploy("rotate-key", stage, "--end-sessions", "yes", **place)
        assert failed.returncode == 1
        assert f"    account 000000000000 in {place.get('AWS_DEFAULT_REGION', REGION)}\n" in failed.stdout
        assert f"- /spotify-login/{stage}/SECRET_KEY does not exist." in failed.stdout
    assert "it must be yes" in deployed.deploy("rotate-key", "dev", "--end-sessions", "no").stdout
    assert parameters(deployed) == before


def test_doctor_reports_that_spotify_cannot_be_reached_and_does_not_fail(deployed: Emulator) -> None:
    found = deployed.deploy("doctor", "dev", SPOTIFY_ACCOUNTS_URL=f"http://127.0.0.1:{free_port()}")
    assert found.returncode == 0, found.stdout
    assert "Note: Could not check the client ID and secret with Spotify (ConnectionError)." in found.stdout
    assert "Note: Could not check the redirect URI with Spotify (ConnectionError)." in found.stdout


def test_doctor_finds_no_problems_in_a_correct_deployment(deployed: Emulator) -> None:
    put(deployed, "SECRET_KEY", secrets.new_key())
    renew(deployed)
    done = deployed.deploy("doctor", "dev")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "dev is deployed. No problems found.")


def test_destroying_a_deployment_keeps_the_table_and_nothing_else(deployed: Emulator) -> None:
    deployed.visitor().log_in("premium")
    stored = deployed.client("dynamodb").scan(TableName=TABLE)["Items"]
    done = deployed.deploy("destroy", "dev")
    assert done.returncode == 0, done.stdout
    assert f"To delete it, run:\n    make destroy STAGE=dev TABLE={TABLE}\n" in done.stdout
    assert apis(deployed) == []
    assert deployed.client("lambda").list_functions()["Functions"] == []
    assert deployed.client("iam").list_roles()["Roles"] == []
    assert deployed.client("logs").describe_log_groups()["logGroups"] == []
    assert deployed.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert parameters(deployed) == {}
    assert not deployed.record.exists()
    assert deployed.client("dynamodb").scan(TableName=TABLE)["Items"] == stored != []


def test_a_destroyed_stage_can_be_deployed_again_and_destroyed_with_its_table(deployed: Emulator) -> None:
    assert "dev is not deployed in eu-west-1" in deployed.deploy("destroy", "dev").stdout
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
    assert deployed.deploy("doctor", "dev").stdout.endswith("\ndev is not deployed yet. No problems found.\n")
