"""The users table of a stage, seen from outside its stack."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from deploy.account import Account, code
from deploy.stage import Stage


def describe(stage: Stage, account: Account) -> dict[str, Any]:
    """DynamoDB's description of it; {} if there is none."""
    try:
        return dict(account.client("dynamodb").describe_table(TableName=stage.table)["Table"])
    except ClientError as failure:
        if code(failure) == "ResourceNotFoundException":
            return {}
        raise


def delete(stage: Stage, account: Account) -> None:
    """Delete it with all that is stored, if it is there."""
    if describe(stage, account):
        dynamodb = account.client("dynamodb")
        dynamodb.update_table(TableName=stage.table, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=stage.table)
