"""The KMS key that encrypts the tokens of a stage that keeps access.

It outlives the function, like the table. Only a key with this stage's tags is used, changed or deleted. A stage without
TOKENS_KMS_ALIAS has no key.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from deploy.account import Account
from deploy.resource import Attributes, Resource
from deploy.stage import Problem, Stage, Stop

DEFINITION = {"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT"}
"""No automatic rotation: it costs more each year, and adds little here, because tokens last 30 days at most."""

DELETION_DAYS = 7
"""The shortest period that KMS accepts."""

NEW_KEY_SECONDS = 60.0
"""How long CreateAlias is retried while it cannot find a new key: KMS is eventually consistent."""

NOT_OURS = ("AccessDeniedException", "NotFoundException")
"""Errors of reading a key that is not this stage's, or no longer exists."""


class Key(Resource):
    """The KMS key of a stage, by its alias."""

    KIND, SURVIVES = "Key", True

    def __init__(self, stage: Stage, account: Account) -> None:
        super().__init__(stage.alias, "deploy/key.py", {"KeyState": "Enabled"})
        self._description = f"Encrypts the Spotify tokens in table {stage.table}"
        self._tags = [{"TagKey": key, "TagValue": value} for key, value in stage.tags.items()]
        self._kms = account.client("kms")

    def describe(self) -> dict[str, Any]:
        """KMS's description of the key that has the alias; {} if there is none.

        Raises:
            Stop: its tags are not this stage's, or it is not for symmetric encryption.
        """
        try:
            found = self._kms.describe_key(KeyId=self.name)["KeyMetadata"]
        except self._kms.exceptions.NotFoundException:
            return {}
        if not self._is_own(found["KeyId"]) or any(found[name] != DEFINITION[name] for name in DEFINITION):
            what = f"{self} is not this stage's: it has other tags, or is not for symmetric encryption."
            raise Stop(Problem(what, "Change TOKENS_KMS_ALIAS in .chalice/config.json."))
        return dict(found)

    def read(self) -> Attributes | None:
        """The state of the key."""
        found = self.describe()
        return {"KeyState": found["KeyState"]} if found else None

    def create(self) -> None:
        """Create the key, unless an earlier command did, and its alias, as soon as KMS finds the key."""
        definition: dict[str, Any] = {**DEFINITION, "Description": self._description, "Tags": self._tags}
        key = self._unnamed() or self._kms.create_key(**definition)["KeyMetadata"]
        end = time.monotonic() + NEW_KEY_SECONDS
        while True:
            try:
                self._kms.create_alias(AliasName=self.name, TargetKeyId=key["KeyId"])
            except self._kms.exceptions.NotFoundException:
                if time.monotonic() > end:
                    raise
                time.sleep(1)
            else:
                return

    def change(self, names: Iterable[str]) -> None:  # noqa: ARG002 - the state is the only attribute
        """Enable the key."""
        found = self.describe()
        if found["KeyState"] == "PendingDeletion":
            self._kms.cancel_key_deletion(KeyId=found["KeyId"])
        self._kms.enable_key(KeyId=found["KeyId"])

    def delete(self) -> None:
        """Schedule the deletion of the key, if it exists, and delete its alias."""
        if found := self.describe() or self._unnamed():
            if found["KeyState"] != "PendingDeletion":
                self._kms.schedule_key_deletion(KeyId=found["KeyId"], PendingWindowInDays=DELETION_DAYS)
            if self.describe():
                self._kms.delete_alias(AliasName=self.name)

    def existing(self) -> list[str]:
        """The key, if it exists, and what its deletion means."""
        if not (found := self.describe() or self._unnamed()):
            return []
        restore = f"aws kms cancel-key-deletion --key-id {found['KeyId']}"
        after = "After that, the tokens in copies and backups of the table cannot be decrypted"
        return [f"{self}, after {DELETION_DAYS} days. To restore it until then:\n      {restore}\n  {after}"]

    def _unnamed(self) -> dict[str, Any]:
        """An enabled key of this stage without the alias: a run was interrupted, or the alias was changed."""
        pages = self._kms.get_paginator("list_keys").paginate()
        for key in (key for page in pages for key in page["Keys"]):
            try:
                if self._is_own(key["KeyId"]):
                    found = self._kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
                    if found["KeyState"] == "Enabled":
                        return dict(found)
            except ClientError as failure:
                if failure.response["Error"]["Code"] not in NOT_OURS:
                    raise
        return {}

    def _is_own(self, key_id: str) -> bool:
        tags = self._kms.list_resource_tags(KeyId=key_id)["Tags"]
        return all(tag in tags for tag in self._tags)
