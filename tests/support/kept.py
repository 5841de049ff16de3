"""Kept access, as an operator with the table and the key could see and change it."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.support.table import Table


class Kept:
    def __init__(self, table: Table, kms: Any, alias: str) -> None:
        self.table = table
        self.alias = alias
        self._kms = kms

    def item(self, account_key: str) -> dict[str, Any]:
        item = self.table.get(account_key)
        assert item is not None
        return item

    def change(self, account_key: str, **attributes: dict[str, Any] | None) -> None:
        """Change attributes of an item; None removes one."""
        changed = {**self.item(account_key), **attributes}
        self.table.put({name: value for name, value in changed.items() if value is not None})

    def read(self, account_key: str) -> dict[str, Any]:
        sealed = self.item(account_key)["tokens"]["B"]
        context = {"table": self.table.name}
        opened = self._kms.decrypt(CiphertextBlob=sealed, KeyId=self.alias, EncryptionContext=context)
        document: dict[str, Any] = json.loads(opened["Plaintext"])
        return document

    def write(self, account_key: str, **changes: Any) -> None:
        text, context = json.dumps({**self.read(account_key), **changes}), {"table": self.table.name}
        sealed = self._kms.encrypt(KeyId=self.alias, Plaintext=text, EncryptionContext=context)
        self.change(account_key, tokens={"B": sealed["CiphertextBlob"]})

    def age(self, account_key: str, seconds_left: int = -1) -> None:
        """Have a user's access token end soon, or long ago."""
        self.write(account_key, ends=int(time.time()) + seconds_left)
