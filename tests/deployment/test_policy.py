"""The policies of deploy/, on an emulated AWS that enforces them: what their holders can do, and to what.

The emulator evaluates aws:RequestTag, aws:TagKeys and aws:ResourceTag, the latter at once. It does not check
iam:PassRole, the permission to tag what is being created, or cloudwatch:AlarmActions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.deployment import FUNCTION, REGION, ROLE, TABLE, Emulator, policy

Call = tuple[str, str, dict[str, Any]]
Caller = Callable[[str, Call], Any]

OWN_LOG, OWN_PATH = f"/aws/lambda/{FUNCTION}", "/spotify-login/dev"
USER = {"TableName": TABLE, "Key": {"account_id": {"S": "x"}}}
ASSUME = {"AssumeRolePolicyDocument": "{}"}
EMPTY_ZIP = b"PK\5\6" + bytes(18)
NOTHING = '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}'
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
CODE = {"Runtime": "python3.13", "Handler": "x.x", "Role": f"arn:aws:iam::000000000000:role/{ROLE}"}
RENAME = [{"op": "replace", "path": "/description", "value": "x"}]


def tags(app: str = "spotify-login", **more: str) -> list[dict[str, str]]:
    return [{"TagKey": key, "TagValue": value} for key, value in {"app": app, **more}.items()]


KEYS: list[Call] = [
    ("kms", "tag_resource", {"KeyId": "OTHER-KEY", "Tags": tags()}),
    ("kms", "tag_resource", {"KeyId": "UNTAGGED-KEY", "Tags": tags("another")}),
    ("kms", "tag_resource", {"KeyId": "UNTAGGED-KEY", "Tags": tags(owner="me")}),
    ("kms", "untag_resource", {"KeyId": "OTHER-KEY", "TagKeys": ["app"]}),
    ("kms", "create_alias", {"AliasName": "alias/spotify-login-x", "TargetKeyId": "OTHER-KEY"}),
    ("kms", "create_alias", {"AliasName": "alias/x", "TargetKeyId": "OWN-KEY"}),
    ("kms", "schedule_key_deletion", {"KeyId": "OTHER-KEY"}),
    ("kms", "schedule_key_deletion", {"KeyId": "UNTAGGED-KEY"}),
    ("kms", "put_key_policy", {"KeyId": "OWN-KEY", "Policy": "{}"}),
    ("kms", "encrypt", {"KeyId": "OWN-KEY", "Plaintext": "x"}),
    ("kms", "create_key", {"Tags": tags("another")}),
    ("kms", "create_key", {}),
]
"""Calls that not even the policy for a new key allows."""

UNTAGGED: list[Call] = [
    ("kms", "tag_resource", {"KeyId": "UNTAGGED-KEY", "Tags": tags()}),
    ("kms", "create_alias", {"AliasName": "alias/spotify-login-y", "TargetKeyId": "SECOND-UNTAGGED-KEY"}),
]
"""Calls that no condition can exclude from that policy."""

OTHERS: list[Call] = [
    ("kms", "tag_resource", {"KeyId": "OWN-KEY", "Tags": tags()}),
    ("kms", "create_key", {"Tags": tags(stage="dev")}),
    ("lambda", "update_function_configuration", {"FunctionName": "another-dev", "Timeout": 5}),
    ("lambda", "invoke", {"FunctionName": "another-dev"}),
    ("lambda", "create_function", {"FunctionName": "x", "Code": {"S3Bucket": "code", "S3Key": "x"}, **CODE}),
    ("iam", "create_role", {"RoleName": "x", **ASSUME}),
    ("iam", "put_role_policy", {"RoleName": "another-role", "PolicyName": "x", "PolicyDocument": "{}"}),
    ("iam", "attach_role_policy", {"RoleName": ROLE, "PolicyArn": ADMIN}),
    ("ssm", "get_parameters_by_path", {"Path": "/another/dev"}),
    ("ssm", "put_parameter", {"Name": "/another/dev/X", "Value": "x", "Overwrite": True}),
    ("logs", "filter_log_events", {"logGroupName": "/aws/lambda/another-dev"}),
    ("logs", "delete_log_group", {"logGroupName": "/aws/lambda/another-dev"}),
    ("dynamodb", "delete_table", {"TableName": "another-users-dev"}),
    ("dynamodb", "scan", {"TableName": TABLE}),
    ("dynamodb", "get_item", USER),
    ("apigateway", "create_domain_name", {"domainName": "login.example.com"}),
]
"""Calls that a deployer has no need of."""

APIS: list[Call] = [
    ("apigateway", "delete_rest_api", {"restApiId": "OTHER-API"}),
    ("apigateway", "update_rest_api", {"restApiId": "OTHER-API", "patchOperations": RENAME}),
    ("apigateway", "get_resources", {"restApiId": "OTHER-API"}),
    ("apigateway", "create_rest_api", {"name": "x"}),
]
"""Calls that a deployer has no need of after the first deployment, if the policy names the API."""

CHANGES: list[Call] = [
    ("kms", "create_alias", {"AliasName": "alias/spotify-login-dev", "TargetKeyId": "OWN-KEY"}),
    ("kms", "schedule_key_deletion", {"KeyId": "OWN-KEY"}),
    ("lambda", "update_function_configuration", {"FunctionName": FUNCTION, "Timeout": 5}),
    ("iam", "put_role_policy", {"RoleName": ROLE, "PolicyName": "x", "PolicyDocument": NOTHING}),
    ("ssm", "delete_parameter", {"Name": f"{OWN_PATH}/X"}),
    ("logs", "delete_log_group", {"logGroupName": OWN_LOG}),
    ("dynamodb", "delete_table", {"TableName": TABLE}),
    ("apigateway", "get_rest_apis", {}),
    ("apigateway", "update_rest_api", {"restApiId": "OWN-API", "patchOperations": RENAME}),
    ("apigateway", "delete_rest_api", {"restApiId": "OWN-API"}),
]
"""Calls that a deployer needs, and, except for the one that lists APIs, no operator."""

OPERATIONS: list[Call] = [
    ("logs", "filter_log_events", {"logGroupName": OWN_LOG}),
    (
        "logs",
        "start_query",
        {"logGroupName": OWN_LOG, "startTime": 0, "endTime": 1, "queryString": "fields a"},
    ),
    ("dynamodb", "delete_item", USER),
    ("kms", "disable_key", {"KeyId": "OWN-KEY"}),
    ("kms", "enable_key", {"KeyId": "OWN-KEY"}),
]
"""Calls that an operator needs."""


def with_one_api(deployer: dict[str, Any], api: str) -> dict[str, Any]:
    """The policy as docs/operations.md narrows it after the first deployment."""
    (apis,) = (statement for statement in deployer["Statement"] if statement["Sid"] == "Api")
    lists = {**apis, "Sid": "Apis", "Action": "apigateway:GET", "Resource": "arn:*:apigateway:*::/restapis"}
    one = {**apis, "Resource": [f"arn:*:apigateway:*::/restapis/{api}{end}" for end in ("", "/*")]}
    others = [statement for statement in deployer["Statement"] if statement is not apis]
    return {**deployer, "Statement": [*others, lists, one]}


@pytest.fixture(scope="module")
def call(account: Emulator) -> Caller:
    """Calls AWS as a holder of a policy. The account has resources of this app, and of another one."""
    create_key, names = account.client("kms").create_key, dict[str, str]()
    for name, found in {
        "OTHER": tags("another"),
        "OWN": tags(),
        "UNTAGGED": [],
        "SECOND-UNTAGGED": [],
    }.items():
        names[f"{name}-KEY"] = create_key(Tags=found)["KeyMetadata"]["KeyId"]
    for name, app in {"OTHER-API": "another", "OWN-API": "spotify-login"}.items():
        names[name] = account.client("apigateway").create_rest_api(name=app)["id"]
        account.client("logs").create_log_group(logGroupName=f"/aws/lambda/{app}-dev")
        account.client("ssm").put_parameter(Name=f"/{app}/dev/X", Value="x", Type="SecureString")
        account.client("dynamodb").create_table(
            TableName=f"{app}-users-dev",
            KeySchema=[{"AttributeName": "account_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "account_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    for name in (ROLE, "another-role"):
        account.client("iam").create_role(RoleName=name, **ASSUME)
    for name in (FUNCTION, "another-dev"):
        account.client("lambda").create_function(FunctionName=name, Code={"ZipFile": EMPTY_ZIP}, **CODE)
    held = {
        "deployer": policy("deployer"),
        "deployer-of-one-api": with_one_api(policy("deployer"), names["OWN-API"]),
        "deployer-of-a-new-key": policy("deployer", "new-key"),
        "operator": policy("operator"),
    }
    users = {name: account.user(name, document) for name, document in held.items()}

    def called(who: str, what: Call) -> Any:
        service, operation, parameters = what
        text = json.dumps(parameters)
        for name, found in names.items():
            text = text.replace(f'"{name}"', f'"{found}"')
        credentials = {name.lower(): value for name, value in users[who].items()}
        return getattr(account.client(service, REGION, **credentials), operation)(**json.loads(text))

    return called


def identify(what: object) -> str | None:
    return what[1] if isinstance(what, tuple) else None


DENIED = [
    *(("deployer", what) for what in KEYS + UNTAGGED + OTHERS),
    *(("deployer-of-one-api", what) for what in APIS),
    *(("deployer-of-a-new-key", what) for what in KEYS),
    *(
        ("operator", what)
        for what in KEYS + UNTAGGED + OTHERS + APIS + CHANGES
        if not what[1].startswith("get_r")
    ),
]
ALLOWED = [
    *(("operator", what) for what in OPERATIONS),
    *(("deployer-of-a-new-key", what) for what in UNTAGGED),
    *(("deployer-of-one-api", what) for what in CHANGES),
]


@pytest.mark.parametrize(("who", "what"), DENIED, ids=identify)
def test_a_policy_allows_nothing_that_its_holder_does_not_need(call: Caller, who: str, what: Call) -> None:
    with pytest.raises(ClientError, match="not authorized to perform"):
        call(who, what)


@pytest.mark.parametrize(("who", "what"), ALLOWED, ids=identify)
def test_a_policy_allows_what_its_holder_needs(call: Caller, who: str, what: Call) -> None:
    call(who, what)
