"""Find every problem of a setup or a deployment, with its remedy. Changes nothing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping

import requests
from botocore.exceptions import ClientError

from chalicelib import config
from deploy import table
from deploy.account import Account, code
from deploy.api import Api
from deploy.secrets import FALLBACKS, GIVEN, KEY, Secret, Secrets
from deploy.stack import Stack
from deploy.stage import Problem, Stage, Stop

PARAMETERS = (*GIVEN, KEY, FALLBACKS)
"""The settings that the function reads from Parameter Store, unless its environment has them."""

OLDEST, NEWEST = (3, 11), (3, 14)
"""The Python versions that this app, Chalice and Lambda all support."""

SPOTIFY_ID = re.compile(r"[0-9a-f]{32}")


def before(stage: Stage, given: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems that can be found without AWS."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        yield Problem(
            f"Lambda would run the app on Python {version}, but it supports only 3.{OLDEST[1]} to 3.{NEWEST[1]}.",
            "Install the libraries again, with a supported Python:",
            f"make clean && make doctor STAGE={stage.name} PYTHON=python3.{NEWEST[1] - 1}",
        )
    for name in sorted(set(stage.variables) & {*PARAMETERS}):
        yield Problem(
            f"{name} is in .chalice/config.json, in plain text, and would override the stored parameter.",
            "Remove it from that file. Deploying stores it in Parameter Store, encrypted.",
        )
    resources = str(stage.policy())
    for what, needed in (
        ("table", f":table/{stage.table}'"),
        ("parameters", f":parameter{stage.parameter_path}/*'"),
    ):
        if needed not in resources:
            yield Problem(
                f".chalice/{stage.config['iam_policy_file']} does not allow access to the {what} in .chalice/config.json.",
                f"Use the same name in both files: {needed.strip(':').rstrip(chr(39))}.",
            )
    yield from _redirect_uri(given.get("SPOTIFY_REDIRECT_URI", ""))


def _redirect_uri(uri: str) -> Iterator[Problem]:
    name = "SPOTIFY_REDIRECT_URI"
    emulated = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    if name in config.faults({name: uri}) or (uri.startswith("http://") and not emulated):
        yield Problem(
            f"{name} is {uri}, but it must be an https URL that ends in /callback.",
            "Set it to https://your.domain/callback, or unset it to use the API's own URL.",
        )


def settings(stage: Stage, given: Mapping[str, str], stored: Mapping[str, Secret]) -> Iterator[Problem]:
    """Yield the problems of the Spotify app's settings and of the keys."""
    for name in ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"):
        value = given.get(name) or (stored[name].value if name in stored else "")
        if not value:
            yield Problem(
                f"{name} is set neither in the environment nor in Parameter Store.",
                "Deploying in a terminal asks for it. Or run this, and paste it from https://developer.spotify.com/dashboard:",
                f"read -rs {name} && export {name}",
            )
        elif not SPOTIFY_ID.fullmatch(value):
            yield Problem(
                f"{name} must be 32 characters of 0-9 and a-f.",
                "Copy it again from https://developer.spotify.com/dashboard.",
            )
    keys = {name: stored[name].value for name in (KEY, FALLBACKS) if name in stored}
    if set(keys) & {*config.faults(keys)}:
        yield Problem(
            "SECRET_KEY or one of SECRET_KEY_FALLBACKS is too weak, so sessions could be forged.",
            "Replace all keys. This logs out all users:",
            f"make rotate-key STAGE={stage.name} END_SESSIONS=yes",
        )
    for name, secret in stored.items():
        if secret.type != "SecureString":
            yield Problem(
                f"{stage.parameter_path}/{name} is stored in plain text.",
                "Delete it, and deploy again to store it encrypted:",
                f"aws ssm delete-parameter --name {stage.parameter_path}/{name}",
            )


def in_the_way(stage: Stage, account: Account) -> Iterator[Problem]:
    """Yield the resources with this stage's names that it did not create, and a record of another account."""
    try:
        Api(stage, account).resources()
    except Stop as stop:
        yield from stop.problems
    log = f"/aws/lambda/{stage.function}"
    groups = account.client("logs").describe_log_groups(logGroupNamePrefix=log)["logGroups"]
    if table.describe(stage, account) and not Stack(stage, account, "data").status:
        yield Problem(
            f"Table {stage.table} already exists, but stack {stage.stack('data')} did not create it.",
            "Choose another name in .chalice/. Or, if the table is this app's, delete it; users then log in again:",
            f"aws dynamodb delete-table --table-name {stage.table}",
        )
    if log in {group["logGroupName"] for group in groups} and not Stack(stage, account, "watch").status:
        yield Problem(
            f"Log group {log} already exists, but stack {stage.stack('watch')} did not create it.",
            "Delete it:",
            f"aws logs delete-log-group --log-group-name {log}",
        )


def deployed(stage: Stage, account: Account) -> Iterator[Problem]:
    """Yield the problems of a deployed stage; none if it is not deployed."""
    api = Api(stage, account)
    again = ("Deploy again:", f"make deploy STAGE={stage.name}")
    if not api.record.exists() and not Stack(stage, account, "watch").status:
        return
    for template in ("data", "watch"):
        status = Stack(stage, account, template).status
        if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}:
            state = f"is in state {status}" if status else "does not exist"
            yield Problem(f"Stack {stage.stack(template)} {state}.", *again)
    yield from _table(stage, account)
    stored = Secrets(stage, account).read()
    if KEY not in stored:
        yield Problem(f"{stage.parameter_path}/{KEY} does not exist, so users cannot log in.", *again)
    if "rest_api" not in api.resources():
        yield Problem(
            f"Chalice's record .chalice/deployed/{api.record.name} is missing or incomplete.",
            "Deploy again, which rebuilds it from AWS:",
            f"make deploy STAGE={stage.name}",
        )
        return
    yield from _function(stage, account)
    try:
        limits = api.limits
    except ClientError as failure:
        yield Problem(f"The API in Chalice's record could not be read: {code(failure)}.", *again)
        return
    if any(limits.get(path) != wanted for path, wanted in stage.throttling.items()):
        yield Problem("API Gateway's request limits differ from .chalice/config.json.", *again)
    yield from _responses(stage, address(api, stored))


def address(api: Api, stored: Mapping[str, Secret]) -> str:
    """The app's URL: that of its redirect URI, if one is set, and else the API's own."""
    if "SPOTIFY_REDIRECT_URI" in stored:
        return stored["SPOTIFY_REDIRECT_URI"].value.removesuffix("/callback")
    return api.url


def _table(stage: Stage, account: Account) -> Iterator[Problem]:
    found = table.describe(stage, account)
    again = (
        "Delete the deployment, and deploy again. This changes the API's URL and logs out all users:",
        f"make destroy STAGE={stage.name} TABLE={stage.table} && make deploy STAGE={stage.name}",
    )
    if not found:
        yield Problem(f"Table {stage.table} does not exist.", *again)
        return
    defined = table.definition()
    if found["KeySchema"] != defined["KeySchema"]:
        yield Problem(f"Table {stage.table} has a key other than account_id.", *again)
    described = account.client("dynamodb").describe_time_to_live(TableName=stage.table)
    lifetime = described["TimeToLiveDescription"]
    expiry = defined["TimeToLiveSpecification"]["AttributeName"]
    enabled = lifetime["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}
    if lifetime.get("AttributeName") != expiry or not enabled:
        yield Problem(
            f"Table {stage.table} does not delete expired items: its time to live is not {expiry}.",
            "Turn it on:",
            f"aws dynamodb update-time-to-live --table-name {stage.table} "
            f"--time-to-live-specification Enabled=true,AttributeName={expiry}",
        )
    if not found.get("SSEDescription"):
        yield Problem(
            f"Table {stage.table} is encrypted with a key that AWS owns, so its use cannot be audited.",
            "Switch to a KMS key of this account:",
            f"aws dynamodb update-table --table-name {stage.table} --sse-specification Enabled=true",
        )
    if not found.get("DeletionProtectionEnabled"):
        yield Problem(
            f"Table {stage.table} has no deletion protection.",
            "Turn it on:",
            f"aws dynamodb update-table --table-name {stage.table} --deletion-protection-enabled",
        )


def _function(stage: Stage, account: Account) -> Iterator[Problem]:
    again = ("Deploy again:", f"make deploy STAGE={stage.name}")
    iam = account.client("iam")
    try:
        names = iam.list_role_policies(RoleName=stage.role)["PolicyNames"]
        inline = [
            iam.get_role_policy(RoleName=stage.role, PolicyName=name)["PolicyDocument"] for name in names
        ]
        attached = iam.list_attached_role_policies(RoleName=stage.role)["AttachedPolicies"]
        function = account.client("lambda").get_function_configuration(FunctionName=stage.function)
    except ClientError as failure:
        yield Problem(f"Function {stage.function} or its role could not be read: {code(failure)}.", *again)
        return
    if inline != [stage.policy()]:
        policy_file = f".chalice/{stage.config['iam_policy_file']}"
        yield Problem(f"The permissions of role {stage.role} differ from {policy_file}.", *again)
    for policy in attached:
        yield Problem(
            f"Role {stage.role} has more permissions than it needs: {policy['PolicyName']} is attached to it.",
            "Detach it:",
            f"aws iam detach-role-policy --role-name {stage.role} --policy-arn {policy['PolicyArn']}",
        )
    variables = function.get("Environment", {}).get("Variables", {})
    for name in sorted(set(variables) & {*PARAMETERS}):
        yield Problem(f"{name} is in the function's environment, and overrides the stored parameter.", *again)


def _responses(stage: Stage, url: str) -> Iterator[Problem]:
    log = f"aws logs tail /aws/lambda/{stage.function} --since 10m"
    try:
        home = requests.get(f"{url}/", timeout=30, allow_redirects=False)
        login = requests.get(f"{url}/login", timeout=30, allow_redirects=False)
    except requests.RequestException as failure:
        yield Problem(
            f"{url}/ could not be reached: {type(failure).__name__}.",
            "Check that its host name points to the API.",
        )
        return
    if home.status_code != requests.codes.ok or "User ID:" not in home.text:
        yield Problem(
            f"{url}/ is not the app's home page (status {home.status_code}).",
            "Check that its host name points to the API. If it does, see the log:",
            log,
        )
    elif login.status_code != requests.codes.temporary_redirect:
        yield Problem(
            f"{url}/login does not redirect to Spotify (status {login.status_code}).",
            "Find the setting at fault in the log:",
            log,
        )
