"""Every declared resource: each attribute that is changed by hand is found, and is repaired. Without Chalice or a package."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from deploy import declared
from deploy.account import Account
from deploy.live import TRUST, Function
from deploy.resource import Resource
from deploy.stage import Stage
from tests.support.deployment import ALIAS, FUNCTION, PATH, REGION, ROLE, TABLE, Emulator

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
TOPIC = f"arn:aws:sns:{REGION}:000000000000:alarms"
FOREIGN = json.loads(json.dumps(TRUST).replace("lambda.", "ec2."))


def alarm(aws: Emulator, short: str, **changes: Any) -> None:
    """Replace an alarm with one that has other settings."""
    cloudwatch = aws.client("cloudwatch")
    (found,) = cloudwatch.describe_alarms(AlarmNames=[f"{FUNCTION}-{short}"])["MetricAlarms"]
    names = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    cloudwatch.put_metric_alarm(**{name: found[name] for name in names if name in found} | changes)


def variables(aws: Emulator, **changes: str) -> None:
    """Change environment variables of the function."""
    functions = aws.client("lambda")
    kept = functions.get_function_configuration(FunctionName=FUNCTION)["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=FUNCTION, Environment={"Variables": {**kept, **changes}}
    )


def configure(**changes: Any) -> Callable[[Emulator], Any]:
    return lambda aws: aws.client("lambda").update_function_configuration(FunctionName=FUNCTION, **changes)


def patch_stage(**limits: str) -> Callable[[Emulator], Any]:
    patch = [
        {"op": "replace", "path": f"/*/*/throttling/{name}", "value": text} for name, text in limits.items()
    ]
    return lambda aws: aws.client("apigateway").update_stage(
        restApiId=aws.api, stageName="api", patchOperations=patch
    )


def another_stage(aws: Emulator) -> None:
    gateway = aws.client("apigateway")
    newest = gateway.create_deployment(restApiId=aws.api)["id"]
    gateway.create_stage(restApiId=aws.api, stageName="old", deploymentId=newest)


def uncompressed(aws: Emulator) -> None:
    patch = [{"op": "replace", "path": "/minimumCompressionSize", "value": "99"}]
    aws.client("apigateway").update_rest_api(restApiId=aws.api, patchOperations=patch)


def unencrypted(aws: Emulator) -> None:
    ssm = aws.client("ssm")
    ssm.delete_parameter(Name=f"{PATH}/SECRET_KEY")
    ssm.put_parameter(Name=f"{PATH}/SECRET_KEY", Value="x" * 20 + "abcdefghijklmnop", Type="String")


def iam(method: str, **parameters: Any) -> Callable[[Emulator], Any]:
    return lambda aws: getattr(aws.client("iam"), method)(RoleName=ROLE, **parameters)


TABLE_OF_STAGE, GROUP = f"Table {TABLE}", f"Log group /aws/lambda/{FUNCTION}"
FROM_CONFIG = "differs from .chalice/config.json"
FROM_POLICY = f"of Role {ROLE} differs from .chalice/policy-dev.json"

CHANGES: dict[str, Callable[[Emulator], Any]] = {
    f"PointInTimeRecoveryEnabled of {TABLE_OF_STAGE} is True, not False": lambda aws: aws.client(
        "dynamodb"
    ).update_continuous_backups(
        TableName=TABLE, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    ),
    f"TimeToLiveSpecification of {TABLE_OF_STAGE} differs from deploy/table.py": lambda aws: aws.client(
        "dynamodb"
    ).update_time_to_live(
        TableName=TABLE, TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"}
    ),
    f"DeletionProtectionEnabled of {TABLE_OF_STAGE} is False, not True": lambda aws: aws.client(
        "dynamodb"
    ).update_table(TableName=TABLE, DeletionProtectionEnabled=False),
    f"KeyState of Key {ALIAS} is PendingDeletion, not Enabled": lambda aws: aws.client(
        "kms"
    ).schedule_key_deletion(KeyId=aws.client("kms").describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]),
    f"retentionInDays of {GROUP} is 1, not 30": lambda aws: aws.client("logs").put_retention_policy(
        logGroupName=f"/aws/lambda/{FUNCTION}", retentionInDays=1
    ),
    f"Threshold of Alarm {FUNCTION}-throttles is 1000000000.0, not 1": lambda aws: alarm(
        aws, "throttles", Threshold=1e9, OKActions=[TOPIC]
    ),
    f"Alarm {FUNCTION}-errors does not exist": lambda aws: aws.client("cloudwatch").delete_alarms(
        AlarmNames=[f"{FUNCTION}-errors"]
    ),
    f"{PATH}/SPOTIFY_CLIENT_SECRET does not exist, so users cannot log in": lambda aws: aws.client(
        "ssm"
    ).delete_parameter(Name=f"{PATH}/SPOTIFY_CLIENT_SECRET"),
    f"{PATH}/SECRET_KEY is a String, which is not encrypted": unencrypted,
    f"MemorySize of Function {FUNCTION} is 256, not 512": configure(MemorySize=256),
    f"Timeout of Function {FUNCTION} is 3, not 25": configure(Timeout=3),
    f"Handler of Function {FUNCTION} is app.other, not app.app": configure(Handler="app.other"),
    f"Variable USERS_TABLE of Function {FUNCTION} {FROM_CONFIG}": lambda aws: variables(
        aws, USERS_TABLE="another-table"
    ),
    f"Variable SPOTIFY_SCOPE of Function {FUNCTION} {FROM_CONFIG}": lambda aws: variables(
        aws, SPOTIFY_SCOPE="user-read-private"
    ),
    f"ReservedConcurrentExecutions of Function {FUNCTION} is 1, not None": lambda aws: aws.client(
        "lambda"
    ).put_function_concurrency(FunctionName=FUNCTION, ReservedConcurrentExecutions=1),
    f"Trust policy {FROM_POLICY}": iam("update_assume_role_policy", PolicyDocument=json.dumps(FOREIGN)),
    f"Policy {FROM_POLICY}": iam("put_role_policy", PolicyName=ROLE, PolicyDocument=json.dumps(EVERYTHING)),
    f"Other policies {FROM_POLICY}": lambda aws: (
        iam("put_role_policy", PolicyName="debug", PolicyDocument=json.dumps(EVERYTHING))(aws),
        iam("attach_role_policy", PolicyArn=READ_ONLY)(aws),
    ),
    f"Tags {FROM_POLICY}": iam("untag_role", TagKeys=["stage"]),
    "stages of REST API spotify-login differs from .chalice/config.json": another_stage,
    "minimumCompressionSize of REST API spotify-login is 99, not 1024": uncompressed,
    "rateLimit of REST API spotify-login is 7.0, not 1000.0": patch_stage(rateLimit="7"),
    "burstLimit of REST API spotify-login is 3, not 500": patch_stage(burstLimit="3"),
}
"""What can be changed by hand, by the sentence with which it is found."""

LEFT_TO_CHALICE = ("MemorySize", "Timeout", "Variable", "ReservedConcurrent", "minimumCompression")
"""What a repair without `chalice deploy` does not set."""

LEFT_TO_THE_OWNER = f"{PATH}/SPOTIFY_CLIENT_SECRET"


@pytest.fixture(scope="module")
def aws(account: Emulator, here: Account) -> Emulator:
    """A stage whose resources are created as they are declared, by their own code or by hand where Chalice does it."""
    account.edit({"TOKENS_KMS_ALIAS": ALIAS})
    stage = Stage.load("dev", account.checkout)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("app.py", "def app(event, context):\n    return {}\n")
    for resource in declared.resources(stage, here):
        if resource.STEP == "data":
            assert resource.repair() == [f"{resource} does not exist; created"]
    wanted = Function(stage, here).wanted
    account.client("lambda").create_function(
        FunctionName=FUNCTION,
        Role=account.client("iam").get_role(RoleName=ROLE)["Role"]["Arn"],
        Code={"ZipFile": zipped.getvalue()},
        Environment={"Variables": stage.variables},
        **{name: wanted[name] for name in ("Runtime", "Handler", "MemorySize", "Timeout", "Architectures")},
    )
    for name in ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"):
        account.put(name, "0" * 32)
    gateway = account.client("apigateway")
    account.api = gateway.create_rest_api(name="spotify-login", minimumCompressionSize=1024)["id"]
    account.integrate(account.api)
    gateway.create_deployment(restApiId=account.api, stageName="api")
    return account


@pytest.fixture(scope="module")
def resources(aws: Emulator, here: Account) -> list[Resource]:
    """The declared resources, all of which exist as they are declared."""
    resources = declared.resources(Stage.load("dev", aws.checkout), here)
    repair(resources)
    return resources


def repair(resources: list[Resource]) -> list[str]:
    return [done for resource in resources for done in resource.repair()]


def faults(resources: list[Resource]) -> list[str]:
    return [fault for resource in resources for fault in resource.faults().values()]


def as_chalice_does(aws: Emulator, resources: list[Resource]) -> None:
    (function,) = (one for one in resources if isinstance(one, Function))
    settings = {name: function.wanted[name] for name in ("MemorySize", "Timeout")}
    variables = {
        name.removeprefix("Variable "): value for name, value in function.wanted.items() if " " in name
    }
    configure(Environment={"Variables": variables}, **settings)(aws)
    aws.client("lambda").delete_function_concurrency(FunctionName=FUNCTION)
    patch = [{"op": "replace", "path": "/minimumCompressionSize", "value": "1024"}]
    aws.client("apigateway").update_rest_api(restApiId=aws.api, patchOperations=patch)


@pytest.mark.parametrize("fault", CHANGES)
def test_a_change_by_hand_is_found_and_repaired(aws: Emulator, resources: list[Resource], fault: str) -> None:
    assert faults(resources) == []
    before = {name: aws.parameters().get(name) for name in ("SPOTIFY_CLIENT_SECRET", "SECRET_KEY")}
    CHANGES[fault](aws)
    assert faults(resources) == [fault]
    done = repair(resources)
    left = [] if not fault.startswith((*LEFT_TO_CHALICE, LEFT_TO_THE_OWNER)) else [fault]
    assert faults(resources) == left
    assert done == [f"{fault}; {'not fixed yet' if left else 'created' if 'exist' in fault else 'fixed'}"]
    if fault.startswith(LEFT_TO_THE_OWNER):
        aws.put("SPOTIFY_CLIENT_SECRET", str(before["SPOTIFY_CLIENT_SECRET"]))
    elif left:
        as_chalice_does(aws, resources)


def test_what_was_deleted_is_created_again(aws: Emulator, resources: list[Resource]) -> None:
    deletable = [resource for resource in resources if resource.STEP == "data"]
    for resource in deletable:
        resource.delete()
        assert resource.faults() == {"": f"{resource} does not exist"}
        assert resource.existing() == []
        assert resource.repair() == [f"{resource} does not exist; created"]
    assert faults(deletable) == []


def test_an_alarm_keeps_its_actions_unless_a_topic_is_given(
    aws: Emulator, resources: list[Resource], here: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given, wanted in ((TOPIC, [TOPIC]), (None, [TOPIC]), ("", [])):
        monkeypatch.delenv("ALARM_TOPIC_ARN", raising=False)
        if given is not None:
            monkeypatch.setenv("ALARM_TOPIC_ARN", given)
        alarm(aws, "errors", Threshold=5.0, AlarmActions=[TOPIC])
        repair(declared.resources(Stage.load("dev", aws.checkout), here))
        (found,) = aws.client("cloudwatch").describe_alarms(AlarmNames=[f"{FUNCTION}-errors"])["MetricAlarms"]
        assert (found["AlarmActions"], found["Threshold"]) == (wanted, 1)
