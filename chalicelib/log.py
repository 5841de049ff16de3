"""The log: one JSON line for each event that an operator may be asked about."""

import hashlib
import hmac
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Required, TypedDict, Unpack

LOGGER = logging.getLogger("spotify-login.events")
"""Its records are finished JSON lines. To send them elsewhere, add a handler."""

LOGGER.setLevel(logging.INFO)
LOGGER.propagate = False  # the root logger's handler on Lambda would put a prefix before the JSON
LOGGER.addHandler(logging.StreamHandler(sys.stdout))

BUGS = logging.getLogger("spotify-login.bugs")
"""Its records hold tracebacks, which may quote personal data. Only `make run` prints them."""

BUGS.propagate = False
BUGS.addHandler(logging.NullHandler())


class Line(TypedDict, total=False):
    """What a line may hold besides the time. Nothing in it identifies a person."""

    event: Required[str]
    """`home`, `login`, `logout`, `configuration`, `access`, `request`, `ping`, or the name of a route of your own."""
    outcome: Required[str]
    """`begun`, `completed`, `refused` or `failed`."""
    status: int
    request_id: str
    """The reference that an error page shows."""
    duration_ms: int
    reason: str
    """A code of errors.py or parameters.py."""
    detail: str
    """The first part of an endpoint with a status or a cause, an OAuth or AWS error code, the name of an exception, the
    secondary step that failed, or `return_to_refused`.
    """
    settings: tuple[str, ...]
    """Names of settings that are missing or unusable."""
    security: bool
    source: str
    """Where a security event came from; see the function `source`."""
    session: str
    """Which login it was; see `pseudonym`."""
    error: str
    """What a bug was; see `origin_of`."""


def write(**line: Unpack[Line]) -> None:
    """Write a line, without the fields that are empty."""
    fields = {name: value for name, value in line.items() if value or name == "duration_ms"}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    LOGGER.info(json.dumps({"time": now, **fields}))


def bug(error: Exception) -> None:
    """Show a bug's traceback in the terminal of `make run`. On Lambda, this does nothing."""
    BUGS.error("A bug in the app:", exc_info=error)


def pseudonym(login_id: str) -> str:
    """A short hash of a login ID, by which the lines of one user can be found together until a logout."""
    return hashlib.sha256(login_id.encode()).hexdigest()[:12]


def source(ip_address: str, key: str) -> str:
    """A keyed hash of an IP address that changes daily: requests can be counted by it, not traced to anyone."""
    today = datetime.now(UTC).date().isoformat()
    return hmac.digest(key.encode(), f"{today} {ip_address}".encode(), "sha256").hex()[:12]


def origin_of(error: BaseException) -> str:
    """An exception as type, file and line. Its message is left out: it may quote personal data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place
