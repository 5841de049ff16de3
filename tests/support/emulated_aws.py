"""An emulated AWS (ministack), with fixes that `make deploy` needs. Runs on .emulator's Python.

It is the emulation for deployments: ministack executes functions, behind API Gateway, and enforces IAM policies, which
moto, in tests/support/cloud.py, does not. This module adds

- the statuses of a table that is being created, updated or deleted;
- functions that are ready at once, as Chalice polls them every five seconds, and that wait 5 ms for a log line, not 50;
- API Gateway's limit on DeleteRestApi, with a shorter period;
- ImportRestApi, which ministack handles as CreateRestApi, and PutRestApi. APIs get numbered IDs, so that a URL is
  known before its API exists. Patches with an empty value (Chalice's "no compression") are dropped.
- a kill of the sender, or a refusal, at the call that the file `interruption` names;
- the right actions for GetAccountSettings and the concurrency of functions, and a file `actions` with the access key and
  the action of each call;
- the rule that the type of a parameter cannot be changed;
- the resources of calls that name them in the request's body, which IAM policies name;
- KMS: the key of a call that names its alias, both resources of a call that creates or deletes an alias, the condition
  key kms:ResourceAliases, and the policy variable ${aws:PrincipalAccount}. CreateAlias does not find a new key at once,
  and a key that is pending deletion rejects changes.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.core.responses import get_account_id, get_region
from ministack.services import apigateway_v1 as gateway
from ministack.services import dynamodb, kms, lambda_svc, ssm

Response = tuple[int, dict[str, str], bytes]
Handler = Callable[[dict[str, Any]], Response]

numbers = itertools.count(1)
stock_request = gateway.handle_request
stock_action = iam_actions.extract_iam_action
stock_arn = iam_actions.extract_resource_arn
stock_enforce = iam_evaluator.enforce
stock_conditions_met = iam_evaluator._conditions_met
stock_condition_key = iam_evaluator._resolve_condition_key
stock_describe = dynamodb._describe_table
stock_create_key = kms._create_key
stock_put_parameter = ssm._put_parameter

CHANGE_SECONDS = 1.0
busy: dict[tuple[str, str, str], tuple[float, str, dict[str, Any]]] = {}
"""When the last change of a table ends, its status until then, and its description."""

DELETION_SECONDS = 2.0
deleted: dict[tuple[str, str], float] = {}
"""When the next REST API can be deleted, by account and region."""

NEW_KEY_SECONDS = 1.0
found_from: dict[str, float] = {}
"""When CreateAlias finds a key, by its ID."""

calls: Counter[str] = Counter()
"""The number of calls, by access key."""

targets: dict[str, str] = {}
"""The key of the last call that created or deleted an alias, by the ARN of the alias."""


async def handle_request(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Response:
    parts = path.strip("/").split("/")
    imported = ""
    if parts == ["restapis"] and method == "POST" and "mode" in query:
        imported = gateway._import_rest_api(
            json.loads(body), {"tags": {"ms-custom-id": f"api{next(numbers)}"}}
        )
    elif len(parts) == 2 and parts[0] == "restapis" and method == "PUT":
        imported = put_rest_api(parts[1], json.loads(body))
    elif len(parts) == 2 and parts[0] == "restapis" and method == "PATCH":
        wanted = [change for change in json.loads(body)["patchOperations"] if change["value"] != ""]
        body = json.dumps({"patchOperations": wanted}).encode()
    elif len(parts) == 2 and parts[0] == "restapis" and method == "DELETE":
        place = get_account_id(), get_region()
        if deleted.get(place, 0.0) > time.monotonic():
            return error(429, "TooManyRequestsException", "Too Many Requests")
        deleted[place] = time.monotonic() + DELETION_SECONDS
    response: Response = (
        gateway._get_rest_api(imported)
        if imported
        else await stock_request(method, path, headers, body, query)
    )
    return response


def put_rest_api(api_id: str, document: dict[str, Any]) -> str:
    (root,) = [part for part in gateway._resources[api_id].values() if part["path"] == "/"]
    root["resourceMethods"] = {}
    gateway._resources[api_id] = {root["id"]: root}
    for path, item in document["paths"].items():
        gateway._import_path_item(api_id, path, item)
    return api_id


def error(status: int, code: str, message: str) -> Response:
    """An error of a service that speaks JSON."""
    body = json.dumps({"__type": code, "message": message}).encode()
    return status, {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": code}, body


def changing(stock: Handler, status: str) -> Handler:
    """Make a change to a table take time, during which the table cannot be changed again."""

    def handler(data: dict[str, Any]) -> Response:
        place = get_account_id(), get_region(), data["TableName"]
        if busy.get(place, (0.0, "", {}))[0] > time.monotonic():
            return error(400, "ResourceInUseException", "Attempt to change a resource which is still in use")
        response = stock(data)
        if response[0] == 200:
            description = json.loads(response[2])["TableDescription"]
            busy[place] = time.monotonic() + CHANGE_SECONDS, status, description
        return response

    return handler


def describe_table(data: dict[str, Any]) -> Response:
    until, status, description = busy.get((get_account_id(), get_region(), data["TableName"]), (0.0, "", {}))
    if until < time.monotonic():
        unchanged: Response = stock_describe(data)
        return unchanged
    table = description if status == "DELETING" else json.loads(stock_describe(data)[2])["Table"]
    return (
        200,
        {"Content-Type": "application/x-amz-json-1.0"},
        json.dumps({"Table": {**table, "TableStatus": status}}).encode(),
    )


NAMED = {
    ("dynamodb", "ResourceArn"): "{}",
    ("lambda", "FunctionName"): "arn:aws:lambda:{region}:{account}:function:{}",
    ("ssm", "Path"): "arn:aws:ssm:{region}:{account}:parameter{}",
}
"""The resource of a call, by the service and the parameter that names it."""


def extract_resource_arn(
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query: dict[str, Any],
    region: str,
    account: str,
) -> str:
    """The resource of a call. Of several alarms, it is the first one."""
    parameters = json.loads(body) if body.startswith(b"{") else {}
    if service == "kms" and (arn := key_arn(parameters, region, account)):
        return arn
    for (of, name), arn in NAMED.items():
        if of == service and name in parameters:
            return arn.format(parameters[name], region=region, account=account)
    alarm = re.search(rb"AlarmNames.*?([a-z]+-login-[\w-]+)", body, re.DOTALL)  # in CBOR
    if service == "monitoring" and alarm:
        return f"arn:aws:cloudwatch:{region}:{account}:alarm:{alarm[1].decode()}"
    return str(stock_arn(service, method, path, headers, body, query, region, account))


def key_arn(parameters: dict[str, Any], region: str, account: str) -> str:
    """The ARN of an alias that is created or deleted, or else of the key that a call names; "" if there is none."""
    alias = parameters.get("AliasName", "")
    key = kms._resolve_key(parameters.get("KeyId") or parameters.get("TargetKeyId") or alias) or {"Arn": ""}
    if not alias:
        return str(key["Arn"])
    arn = f"arn:aws:kms:{region}:{account}:{alias}"
    targets[arn] = key["Arn"]
    return arn


def interrupted(access_key: str) -> bool:
    """Whether this call is to be refused. The file `interruption` has an access key, the number of a call, and, if its
    sender is to be killed instead, the ID of its process group.
    """
    calls[access_key] += 1
    path = Path("interruption")
    key, number, pid = path.read_text(encoding="utf-8").split() if path.exists() else ("", "0", "0")
    if (key, int(number)) != (access_key, calls[access_key]):
        return False
    if int(pid):
        os.killpg(int(pid), signal.SIGKILL)
    return not int(pid)


def enforce(access_key: str, action: str, service: str, region: str, **rest: Any) -> Any:
    """Whether a call is denied. For an alias, the call needs permission on its key, too."""
    with Path("actions").open("a", encoding="utf-8") as file:
        file.write(f"{access_key} {action}\n")
    action = "emulator:Refuse" if interrupted(access_key) else action
    denied = stock_enforce(access_key, action, service, region, **rest)
    key = targets.get(rest.get("resource_arn", ""))
    if not denied and key and action in {"kms:CreateAlias", "kms:DeleteAlias"}:
        return stock_enforce(access_key, action, service, region, **{**rest, "resource_arn": key})
    return denied


def conditions_met(conditions: dict[str, Any], context: Any) -> bool:
    text = json.dumps(conditions).replace("${aws:PrincipalAccount}", context.principal_account)
    return bool(stock_conditions_met(json.loads(text), context))


def condition_key(name: str, context: Any) -> Any:
    if name.lower() != "kms:resourcealiases":
        return stock_condition_key(name, context)
    key = context.resource_arn.rpartition("/")[2]
    return [arn.rpartition(":")[2] for arn, target in kms._aliases.items() if target == key] or None


def create_key(data: dict[str, Any]) -> Response:
    response: Response = stock_create_key(data)
    found_from[json.loads(response[2])["KeyMetadata"]["KeyId"]] = time.monotonic() + NEW_KEY_SECONDS
    return response


def changing_key(stock: Handler) -> Handler:
    """Reject a change to a key that is pending deletion, and an alias for a new key."""

    def handler(data: dict[str, Any]) -> Response:
        key = kms._resolve_key(data.get("KeyId") or data["TargetKeyId"])
        if key and key["KeyState"] == "PendingDeletion":
            return error(400, "KMSInvalidStateException", f"{key['Arn']} is pending deletion.")
        if key and "TargetKeyId" in data and found_from.get(key["KeyId"], 0.0) > time.monotonic():
            return error(400, "NotFoundException", f"Key '{key['Arn']}' does not exist")
        return stock(data)

    return handler


def put_parameter(data: dict[str, Any]) -> Response:
    known = ssm._parameters.get(data["Name"])
    if known and known["Type"] != data.get("Type", known["Type"]):
        return error(400, "HierarchyTypeMismatchException", "The type of a parameter cannot be changed.")
    response: Response = stock_put_parameter(data)
    return response


def extract_iam_action(service: str, method: str, path: str, *rest: Any) -> str | None:
    if path.endswith("/account-settings"):
        return "lambda:GetAccountSettings"
    if path.endswith("/concurrency"):
        return f"lambda:{method.title()}FunctionConcurrency"
    action: str | None = stock_action(service, method, path, *rest)
    return action


iam_actions.extract_iam_action = extract_iam_action
iam_actions.extract_resource_arn = extract_resource_arn
iam_evaluator.enforce = enforce
iam_evaluator._conditions_met = conditions_met
iam_evaluator._resolve_condition_key = condition_key
kms._create_key = create_key
ssm._put_parameter = put_parameter
kms._create_alias = changing_key(kms._create_alias)
kms._enable_key = changing_key(kms._enable_key)
kms._schedule_key_deletion = changing_key(kms._schedule_key_deletion)
dynamodb._create_table = changing(dynamodb._create_table, "CREATING")
dynamodb._update_table = changing(dynamodb._update_table, "UPDATING")
dynamodb._delete_table = changing(dynamodb._delete_table, "DELETING")
dynamodb._describe_table = describe_table
gateway.handle_request = handle_request
lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (0.005, 0.005, 0.25)
lambda_svc._LAMBDA_STATE_TRANSITION_DELAY = 0.0
app.main()
