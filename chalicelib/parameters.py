"""Settings kept in SSM Parameter Store, read again every five minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import events
from chalicelib.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

CONNECT_SECONDS, READ_SECONDS, TRIES = 1.0, 2.0, 2
"""What a reading may take: with a pause between the tries, well within the 10 s of Lambda's init."""

FRESH = 300.0
"""Seconds for which values are used before they are read again; a key rotation waits for a little longer."""


class Parameters:
    """The parameters below one path, by the last part of their names."""

    def __init__(self, client: Callable[[], SSMClient], path: str) -> None:
        """`client` is called at the first reading."""
        self._client = client
        self._path = path.rstrip("/")
        self._values: Mapping[str, str] = {}
        self._read_at = 0.0  # epoch seconds: other clocks stand still while Lambda freezes the process
        self._lock = threading.Lock()

    def values(self) -> Mapping[str, str]:
        """What stands there now, or stood there at the last reading that worked.

        Raises:
            ConfigurationError: naming PARAMETER_PATH, where no reading has worked yet.
        """
        with self._lock:
            if not 0 <= time.time() - self._read_at <= FRESH:
                self._refresh()
            return self._values

    def _refresh(self) -> None:
        try:
            self._values = self._read()
        except (BotoCoreError, ClientError) as failure:
            reason = "parameters_stale" if self._read_at else "parameters_unread"
            error = (
                failure.response["Error"]["Code"]
                if isinstance(failure, ClientError)
                else type(failure).__name__
            )
            events.record("configuration", "failed", reason=reason, error=error)
            if not self._read_at:
                raise ConfigurationError("PARAMETER_PATH") from None
        self._read_at = time.time()

    def _read(self) -> Mapping[str, str]:
        pages = self._client().get_paginator("get_parameters_by_path")
        return {
            parameter["Name"].rpartition("/")[2]: parameter["Value"]
            for page in pages.paginate(Path=self._path, WithDecryption=True)
            for parameter in page["Parameters"]
        }
