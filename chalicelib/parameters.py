"""Settings kept in SSM Parameter Store, read again every five minutes."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib import aws, log
from chalicelib.deadline import Deadline
from chalicelib.errors import ConfigurationError

FRESH = 300.0
"""Seconds for which values are used before they are read again."""

RETRY = 30.0
"""Seconds after which a failed refresh is tried again. `make rotate-key` waits longer than both together."""


READ_SECONDS = 6.5
"""The longest that a read takes: two attempts, well within the 10 s that Lambda allows an initialization."""


class Parameters:
    """The parameters below one path, by the last part of their names."""

    def __init__(self, path: str, client: Callable[[], Any]) -> None:
        """`client` returns a client of SSM. It is called within each call, because creating one can take a while."""
        self._path = path.rstrip("/") or "/"
        self._client = client
        self._values: Mapping[str, str] | None = None
        self._checked = (
            0.0  # epoch seconds: the monotonic clock stands still while Lambda freezes the process
        )
        self._lasts = FRESH

    def values(self, deadline: Deadline) -> Mapping[str, str]:
        """The parameters as they are, or were at the last read that succeeded.

        Raises:
            ConfigurationError: no read has succeeded yet. It names PARAMETER_PATH, or what AWS's client lacks.
        """
        if self._values is None or not 0 <= time.time() - self._checked < self._lasts:
            self._refresh(deadline)
        return self._values or {}

    def _refresh(self, deadline: Deadline) -> None:
        try:
            self._values = aws.call(self._read, deadline.within(READ_SECONDS), pauses=(0.05,))
            self._lasts = FRESH
        except (aws.CallFailed, ConfigurationError) as failure:
            reason = "parameters_unread" if self._values is None else "parameters_stale"
            detail = failure.code if isinstance(failure, aws.CallFailed) else failure.detail
            log.write(event="configuration", outcome="failed", reason=reason, detail=detail)
            if self._values is None:
                names = getattr(failure, "settings", ["PARAMETER_PATH"])
                raise ConfigurationError(*names, detail=detail) from None
            self._lasts = RETRY
        self._checked = time.time()

    def _read(self) -> Mapping[str, str]:
        pages = self._client().get_paginator("get_parameters_by_path")
        return {
            parameter["Name"].rpartition("/")[2]: parameter["Value"]
            for page in pages.paginate(Path=self._path, WithDecryption=True)
            for parameter in page["Parameters"]
        }
