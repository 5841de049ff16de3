"""The users table.

It outlives the function, so Chalice does not manage it. Only a table with this stage's tags is changed or deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deploy.account import Account
from deploy.resource import Attributes, Resource
from deploy.stage import Problem, Stage, Stop

DEFINITION: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "account_id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "account_id", "AttributeType": "S"}],
}
"""The table's key."""

SETTINGS: dict[str, Any] = {
    "SSESpecification": {"Enabled": True},
    "DeletionProtectionEnabled": True,
    "BillingMode": "PAY_PER_REQUEST",
}
"""Encrypted with a KMS key of the account, whose use can be audited; protected from deletion; paid for by request."""

EXPIRY: Any = {"AttributeName": "expires_at", "Enabled": True}

OTHERS = {"TimeToLiveSpecification": EXPIRY, "PointInTimeRecoveryEnabled": False}
"""Items expire. No backups, on purpose: they would keep erased users, and could restore ended sessions. A user's next
login creates the item.
"""

POLL = {"Delay": 2, "MaxAttempts": 300}
"""Seconds between two polls, and their number: ten minutes in all."""


class Table(Resource):
    """The users table of a stage."""

    KIND, SURVIVES = "Table", True

    def __init__(self, stage: Stage, account: Account) -> None:
        super().__init__(stage.table, "deploy/table.py", {**SETTINGS, **OTHERS})
        self._tags = [{"Key": key, "Value": value} for key, value in stage.tags.items()]
        self._dynamodb = account.client("dynamodb")

    def describe(self) -> dict[str, Any]:
        """DynamoDB's description of the table; {} if it does not exist or is being deleted.

        Raises:
            Stop: its tags or its key are not this stage's.
        """
        try:
            found = self._dynamodb.describe_table(TableName=self.name)["Table"]
        except self._dynamodb.exceptions.ResourceNotFoundException:
            return {}
        if found["TableStatus"] == "DELETING":
            return {}
        if found["TableStatus"] == "CREATING":  # its tags cannot be read yet
            self._wait("table_exists")
        tags = self._dynamodb.list_tags_of_resource(ResourceArn=found["TableArn"])["Tags"]
        if found["KeySchema"] != DEFINITION["KeySchema"] or any(tag not in tags for tag in self._tags):
            what = f"{self} is not this stage's: it has other tags or another key."
            raise Stop(
                Problem(what, "Change USERS_TABLE in .chalice/config.json, and the name in the policy file.")
            )
        return dict(found)

    def read(self) -> Attributes | None:
        """The settings that are declared."""
        if not (found := self.describe()):
            return None
        expiry = self._dynamodb.describe_time_to_live(TableName=self.name)["TimeToLiveDescription"]
        expires = expiry["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}
        backups = self._dynamodb.describe_continuous_backups(TableName=self.name)
        recovery = backups["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        encrypted = found.get("SSEDescription", {}).get("Status") in {"ENABLED", "UPDATING"}
        return {
            "SSESpecification": {"Enabled": encrypted},
            "DeletionProtectionEnabled": found.get("DeletionProtectionEnabled"),
            "BillingMode": found.get("BillingModeSummary", {}).get("BillingMode"),
            "TimeToLiveSpecification": {"AttributeName": expiry.get("AttributeName"), "Enabled": expires},
            "PointInTimeRecoveryEnabled": recovery.get("PointInTimeRecoveryStatus") == "ENABLED",
        }

    def create(self) -> None:
        """Create the table, after one of the same name that is being deleted is gone."""
        self._wait("table_not_exists")
        self._dynamodb.create_table(TableName=self.name, Tags=self._tags, **DEFINITION, **SETTINGS)
        self._wait("table_exists")

    def change(self, names: Iterable[str]) -> None:
        """Set the settings of these names, and wait for each change."""
        self._wait("table_exists")
        for name in names:
            if name in SETTINGS:
                self._dynamodb.update_table(TableName=self.name, **{name: SETTINGS[name]})
                self._wait("table_exists")
            elif name == "TimeToLiveSpecification":
                self._dynamodb.update_time_to_live(TableName=self.name, TimeToLiveSpecification=EXPIRY)
            else:
                recovery = {"PointInTimeRecoverySpecification": {name: OTHERS[name]}}
                self._dynamodb.update_continuous_backups(TableName=self.name, **recovery)

    def delete(self) -> None:
        """Delete the table with all its items, if it exists, and wait until it is gone."""
        if self.describe():
            self._wait("table_exists")
            self._dynamodb.update_table(TableName=self.name, DeletionProtectionEnabled=False)
            self._wait("table_exists")
            self._dynamodb.delete_table(TableName=self.name)
        self._wait("table_not_exists")

    def existing(self) -> list[str]:
        """The table, if it exists."""
        return [f"{self}, with all its items"] if self.describe() else []

    def _wait(self, state: str) -> None:
        self._dynamodb.get_waiter(state).wait(TableName=self.name, WaiterConfig=POLL)
