"""What is wrong with a set-up, all at once, each with its remedy. Changes nothing."""

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
"""What the function reads from Parameter Store, unless its environment has it."""

OLDEST, NEWEST = (3, 11), (3, 14)
"""The versions of Python that this app, Chalice and Lambda all know."""

SPOTIFY_ID = re.compile(r"[0-9a-f]{32}")


def before(stage: Stage, given: Mapping[str, str]) -> Iterator[Problem]:
    """What would stop a deployment, and can be seen on this machine."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        yield Problem(
            f"Lambda would run this under Python {version}, which it is not tested with.",
            f"make clean, then with PYTHON=python{NEWEST[0]}.{NEWEST[1] - 1}, say.",
        )
    for name in sorted(set(stage.variables) & {*PARAMETERS}):
        yield Problem(
            f"{name} stands in .chalice/config.json, in plain text, and would hide the parameter.",
            "Take it out there; make deploy keeps it in Parameter Store.",
        )
    resources = str(stage.policy())
    for what, needed in (
        ("table", f":table/{stage.table}'"),
        ("parameters", f":parameter{stage.parameter_path}/*'"),
    ):
        if needed not in resources:
            yield Problem(
                f".chalice/{stage.config['iam_policy_file']} does not allow the {what} that .chalice/config.json names.",
                f"Make both name the same: {needed.strip(':').rstrip(chr(39))}.",
            )
    yield from _redirect_uri(given.get("SPOTIFY_REDIRECT_URI", ""))


def _redirect_uri(uri: str) -> Iterator[Problem]:
    name = "SPOTIFY_REDIRECT_URI"
    if name in config.faults({name: uri}):
        yield Problem(
            f"{name} is {uri}, which the app cannot use.",
            "Set it to https://your.domain/callback, or unset it to use the API's own address.",
        )
    elif uri.startswith("http://") and not os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        yield Problem(
            f"{name} is {uri}, but visitors of AWS come by https.",
            "Set it to https://your.domain/callback, or unset it to use the API's own address.",
        )


def settings(given: Mapping[str, str], stored: Mapping[str, Secret]) -> Iterator[Problem]:
    """What is missing of, or odd about, the Spotify application and the keys."""
    for name in ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"):
        value = given.get(name) or (stored[name].value if name in stored else "")
        if not value:
            yield Problem(
                f"{name} is neither in the environment nor in Parameter Store.",
                f"export {name}=… from https://developer.spotify.com/dashboard, or let make deploy ask for it.",
            )
        elif not SPOTIFY_ID.fullmatch(value):
            yield Problem(
                f"{name} does not look like Spotify's: 32 characters of 0-9 and a-f.",
                "Copy it again from https://developer.spotify.com/dashboard.",
            )
    keys = {name: stored[name].value for name in (KEY, FALLBACKS) if name in stored}
    if set(keys) & {*config.faults(keys)}:
        yield Problem(
            "SECRET_KEY or one of SECRET_KEY_FALLBACKS is too weak: a session could be forged.",
            "make rotate-key END_SESSIONS=yes makes a strong one, and forgets these.",
        )
    for name, secret in stored.items():
        if secret.type != "SecureString":
            yield Problem(
                f"The parameter {name} is stored in plain text.",
                "Delete it; make deploy stores it encrypted.",
            )


def in_the_way(stage: Stage, account: Account) -> Iterator[Problem]:
    """What is in the account, under our names, that we have not made."""
    try:
        Api(stage, account).resources()
    except Stop as stop:
        yield from stop.problems
    log = f"/aws/lambda/{stage.function}"
    groups = account.client("logs").describe_log_groups(logGroupNamePrefix=log)["logGroups"]
    if table.describe(stage, account) and not Stack(stage, account, "data").status:
        yield Problem(
            f"There is a table {stage.table} already, and no stack {stage.stack('data')} that made it.",
            "Give another name in .chalice/; or delete it, as logins rebuild it: "
            f"aws dynamodb delete-table --table-name {stage.table}",
        )
    if log in {group["logGroupName"] for group in groups} and not Stack(stage, account, "watch").status:
        yield Problem(
            f"There is a log group {log} already, and no stack {stage.stack('watch')} that made it.",
            f"Delete it: aws logs delete-log-group --log-group-name {log}",
        )


def deployed(stage: Stage, account: Account) -> Iterator[Problem]:
    """What is wrong with a deployed stage. Nothing is, if there is no such stage."""
    api = Api(stage, account)
    again = f"make deploy STAGE={stage.name} puts it right."
    if not api.record.exists() and not Stack(stage, account, "watch").status:
        return
    for template in ("data", "watch"):
        status = Stack(stage, account, template).status
        if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}:
            yield Problem(
                f"The stack {stage.stack(template)} is in {status or 'no state: it is not there'}.", again
            )
    yield from _table(stage, account)
    stored = Secrets(stage, account).read()
    if KEY not in stored:
        yield Problem(f"{stage.parameter_path}/{KEY} is not there, so nobody can log in.", again)
    if "rest_api" not in api.resources():
        yield Problem(
            f"Chalice's record of {stage.name} is lost, or its deployment is half made: .chalice/deployed/{api.record.name}.",
            f"make deploy STAGE={stage.name} finds again what there is, and goes on.",
        )
        return
    yield from _function(stage, account)
    try:
        limits = api.limits
    except ClientError as failure:
        yield Problem(f"The API of Chalice's record is not to be had: {code(failure)}.", again)
        return
    if any(limits.get(path) != wanted for path, wanted in stage.throttling.items()):
        yield Problem("API Gateway does not limit requests as .chalice/config.json says.", again)
    yield from _answers(stage, address(api, stored))


def address(api: Api, stored: Mapping[str, Secret]) -> str:
    """Where the app is: at its redirect URI's, if one is set, else at the API's own."""
    if "SPOTIFY_REDIRECT_URI" in stored:
        return stored["SPOTIFY_REDIRECT_URI"].value.removesuffix("/callback")
    return api.url


def _table(stage: Stage, account: Account) -> Iterator[Problem]:
    found = table.describe(stage, account)
    again = f"make destroy STAGE={stage.name} TABLE={stage.table}, then make deploy STAGE={stage.name}; people log in again."
    if not found:
        yield Problem(f"The table {stage.table} is not there.", again)
        return
    defined = table.definition()
    if found["KeySchema"] != defined["KeySchema"]:
        yield Problem(f"The key of the table {stage.table} is not account_id alone.", again)
    lifetime = account.client("dynamodb").describe_time_to_live(TableName=stage.table)[
        "TimeToLiveDescription"
    ]
    expiry = defined["TimeToLiveSpecification"]["AttributeName"]
    if lifetime.get("AttributeName") != expiry or lifetime["TimeToLiveStatus"] not in {
        "ENABLED",
        "ENABLING",
    }:
        yield Problem(
            f"Nothing erases itself in the table {stage.table}: its time to live is not {expiry}.",
            f"aws dynamodb update-time-to-live --table-name {stage.table} "
            f"--time-to-live-specification Enabled=true,AttributeName={expiry}",
        )
    if not found.get("SSEDescription"):
        yield Problem(
            f"The table {stage.table} is not encrypted by a key of yours that can be audited.",
            f"aws dynamodb update-table --table-name {stage.table} --sse-specification Enabled=true",
        )
    if not found.get("DeletionProtectionEnabled"):
        yield Problem(
            f"Anybody's slip can delete the table {stage.table}.",
            f"aws dynamodb update-table --table-name {stage.table} --deletion-protection-enabled",
        )


def _function(stage: Stage, account: Account) -> Iterator[Problem]:
    again = f"make deploy STAGE={stage.name} puts it right."
    iam = account.client("iam")
    try:
        names = iam.list_role_policies(RoleName=stage.role)["PolicyNames"]
        inline = [
            iam.get_role_policy(RoleName=stage.role, PolicyName=name)["PolicyDocument"] for name in names
        ]
        attached = iam.list_attached_role_policies(RoleName=stage.role)["AttachedPolicies"]
        function = account.client("lambda").get_function_configuration(FunctionName=stage.function)
    except ClientError as failure:
        yield Problem(f"The function {stage.function} or its role is gone: {code(failure)}.", again)
        return
    if inline != [stage.policy()]:
        yield Problem(
            f"The role {stage.role} may do something else than .chalice/{stage.config['iam_policy_file']} says.",
            again,
        )
    for policy in attached:
        yield Problem(
            f"The role {stage.role} has {policy['PolicyName']} attached, and may do more than it should.",
            f"aws iam detach-role-policy --role-name {stage.role} --policy-arn {policy['PolicyArn']}",
        )
    variables = function.get("Environment", {}).get("Variables", {})
    for name in sorted(set(variables) & {*PARAMETERS}):
        yield Problem(
            f"The function's environment has {name}, in plain text, and it hides the parameter.", again
        )


def _answers(stage: Stage, url: str) -> Iterator[Problem]:
    logs = f"aws logs tail /aws/lambda/{stage.function} --since 10m"
    try:
        home = requests.get(f"{url}/", timeout=30, allow_redirects=False)
        login = requests.get(f"{url}/login", timeout=30, allow_redirects=False)
    except requests.RequestException as failure:
        yield Problem(
            f"Nothing answers at {url}: {type(failure).__name__}.",
            "Is that the address that leads to the API?",
        )
        return
    if home.status_code != requests.codes.ok or "User ID:" not in home.text:
        yield Problem(
            f"{url}/ is not the home page (status {home.status_code}).",
            f"If it is the app that answers: {logs}",
        )
    elif login.status_code != requests.codes.temporary_redirect:
        yield Problem(
            f"Nobody can log in at {url}/login (status {login.status_code}).",
            f"The log names what is missing: {logs}",
        )
