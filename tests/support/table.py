"""Direct access to the users table, as an operator has it."""

from __future__ import annotations

from typing import Any

import boto3

from deploy.table import DEFINITION

TABLE = "spotify-login-users-dev"


class Table:
    """Reads and changes the items of the users table with boto3."""

    name = TABLE

    def __init__(self, **client: Any) -> None:
        self._client = boto3.client("dynamodb", **client)

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
