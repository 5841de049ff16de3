"""Direct access to the users table, as an operator has it."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from deploy.stage import Stage
from deploy.table import DEFINITION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE = Stage.load("dev").variables["USERS_TABLE"]


@cache
def client(endpoint_url: str | None, **arguments: Any) -> DynamoDBClient:
    """A client, shared by the tests of a process: creating one takes longer than most tests."""
    return boto3.client("dynamodb", endpoint_url=endpoint_url, **arguments)


class Table:
    def __init__(self, **arguments: Any) -> None:
        self.name = os.environ.get("USERS_TABLE", TABLE)
        self._client = client(**{"endpoint_url": os.environ.get("AWS_ENDPOINT_URL"), **arguments})

    def create(self) -> None:
        self._client.create_table(TableName=self.name, BillingMode="PAY_PER_REQUEST", **DEFINITION)

    def items(self) -> list[dict[str, Any]]:
        return self._client.scan(TableName=self.name, ConsistentRead=True)["Items"]

    def get(self, account_key: str) -> dict[str, Any] | None:
        key = {"account_id": {"S": account_key}}
        return self._client.get_item(TableName=self.name, Key=key, ConsistentRead=True).get("Item")

    def put(self, item: dict[str, Any]) -> None:
        self._client.put_item(TableName=self.name, Item=item)

    def delete(self, account_key: str) -> None:
        self._client.delete_item(TableName=self.name, Key={"account_id": {"S": account_key}})

    def clear(self) -> None:
        """Delete all items, in batches of the size that DynamoDB allows."""
        keys = [{"Key": {"account_id": item["account_id"]}} for item in self.items()]
        for start in range(0, len(keys), 25):
            deletions: list[Any] = [{"DeleteRequest": key} for key in keys[start : start + 25]]
            self._client.batch_write_item(RequestItems={self.name: deletions})
