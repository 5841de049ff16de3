"""One item of the users table: read, conditional update, delete."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from chalicelib import aws
from chalicelib.deadline import Deadline
from chalicelib.errors import UsersUnavailable

Item = Mapping[str, Any]
"""Attributes as DynamoDB writes them, such as `{"login_id": {"S": "…"}}`."""


class Update(NamedTuple):
    """The clauses of an update expression, and its condition."""

    sets: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    adds: str = ""
    condition: str = ""

    @property
    def expression(self) -> str:
        """The update expression."""
        clauses = {"SET": self.sets, "REMOVE": self.removes, "ADD": [self.adds] if self.adds else []}
        return " ".join(f"{name} {', '.join(parts)}" for name, parts in clauses.items() if parts)


class Table:
    """Every call ends with the deadline.

    All methods raise UsersUnavailable if DynamoDB did not respond. What they write may have been written.
    """

    def __init__(self, client: Callable[[], Any], name: str, deadline: Deadline) -> None:
        """`client` is called within each call, because creating one can take a while."""
        self._client = client
        self._name = name
        self._deadline = deadline

    def read(self, account_key: str) -> Item:
        """The item of an account; {} if there is none. Strongly consistent."""
        where = self._where(account_key)
        _, item = self._call(lambda: self._client().get_item(**where, ConsistentRead=True).get("Item", {}))
        return item

    def update(
        self, account_key: str, update: Update, values: Callable[[], Mapping[str, Any]]
    ) -> tuple[bool, Item]:
        """Change an item. Returns whether the condition held, and the item as it is now; {} if there is none.

        `values` is called for each attempt, so that no random value is ever sent twice.
        """
        conditional = {"ConditionExpression": update.condition} if update.condition else {}
        parameters = {
            **self._where(account_key),
            **conditional,
            "UpdateExpression": update.expression,
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

        def send() -> Item:
            sent = {"ExpressionAttributeValues": values()}
            return dict(self._client().update_item(**parameters, **sent)["Attributes"])

        return self._call(send)

    def delete(self, account_key: str, condition: str, values: Mapping[str, Any]) -> bool:
        """Delete an item. Returns whether the condition held."""
        parameters = {"ConditionExpression": condition, "ExpressionAttributeValues": values}
        where = self._where(account_key)
        deleted, _ = self._call(lambda: self._client().delete_item(**where, **parameters))
        return deleted

    def _where(self, account_key: str) -> dict[str, Any]:
        return {"TableName": self._name, "Key": {"account_id": {"S": account_key}}}

    def _call(self, function: Callable[[], Item]) -> tuple[bool, Item]:
        try:
            return True, aws.call(function, self._deadline)
        except aws.CallFailed as failure:
            if failure.code == "ConditionalCheckFailedException":
                return False, failure.item
            raise UsersUnavailable(failure.code) from None
