"""The policy of those who deploy: enough for every command, and nothing else."""

from __future__ import annotations

import json
import shutil

from deploy import PROJECT
from tests.support.deployment import Emulator

TABLE = "spotify-login-users-dev"
ROLE = "spotify-login-dev-api_handler"
ELSEWHERE = {
    "dynamodb:TagResource",
    "iam:PassRole",
    "kms:TagResource",
    "lambda:TagResource",
    "logs:FilterLogEvents",
}
"""Actions that AWS, unlike the emulator, requires for tags or a role; the last one is for `aws logs tail`."""


def test_the_deployers_policy_allows_every_command_and_has_no_unused_action(account: Emulator) -> None:
    policy = json.loads((PROJECT / "deploy" / "deployer-policy.json").read_text())
    account.environment = account.user("deployer", policy)
    account.keep_access("dev", "alias/spotify-login-dev")
    account.commit()
    for arguments in (
        ("doctor", "dev"),
        ("deploy", "dev"),
        ("doctor", "dev"),
        ("rotate-key", "dev", "--end-sessions", "yes"),
    ):
        done = account.deploy(*arguments)
        assert done.returncode == 0, done.stdout
    shutil.rmtree(account.checkout / ".git")  # the commit's tag is removed
    account.client("iam").attach_role_policy(
        RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess"
    )
    recovery = {"PointInTimeRecoveryEnabled": True}
    account.client("dynamodb").update_continuous_backups(
        TableName=TABLE, PointInTimeRecoverySpecification=recovery
    )
    (key,) = account.client("kms").list_keys()["Keys"]
    account.client("kms").schedule_key_deletion(KeyId=key["KeyId"])
    assert "--policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess" in account.deploy("deploy", "dev").stdout
    done = account.deploy("destroy", "dev", "--table", TABLE)
    assert done.returncode == 0, done.stdout
    called = set((account.checkout.parent / "actions").read_text().split())
    statements = policy["Statement"]
    allowed = {action for statement in statements for action in listed(statement["Action"])}
    assert allowed - called == ELSEWHERE
    for statement in statements:
        for resource in listed(statement["Resource"]):
            limits = f"{resource} {statement.get('Condition')}"
            assert resource == "*" or "spotify-login" in limits or "/restapis" in resource


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
