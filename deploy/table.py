"""The users table of a stage, accessed without its CloudFormation stack."""

from __future__ import annotations

from typing import Any

import yaml
from botocore.exceptions import ClientError

from deploy import PROJECT
from deploy.account import Account, code
from deploy.stage import Stage


class _Template(yaml.SafeLoader):  # type: ignore[misc]
    """Reads CloudFormation's tags, such as !Ref, as plain text."""


_Template.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


def definition() -> dict[str, Any]:
    """The users table as data.yaml defines it: keys, billing, time to live, by DynamoDB's names."""
    template = yaml.load((PROJECT / "deploy" / "data.yaml").read_text(encoding="utf-8"), _Template)  # noqa: S506 - a SafeLoader
    return dict(template["Resources"]["Users"]["Properties"])


def describe(stage: Stage, account: Account) -> dict[str, Any]:
    """DynamoDB's description of the table; {} if it does not exist."""
    try:
        return dict(account.client("dynamodb").describe_table(TableName=stage.table)["Table"])
    except ClientError as failure:
        if code(failure) == "ResourceNotFoundException":
            return {}
        raise


def delete(stage: Stage, account: Account) -> None:
    """Delete the table with all its items, if it exists."""
    if describe(stage, account):
        dynamodb = account.client("dynamodb")
        dynamodb.update_table(TableName=stage.table, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=stage.table)
