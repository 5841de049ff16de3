"""The log: one JSON line for each event that an operator may be asked about."""

import hashlib
import hmac
import json
import logging
import sys
import traceback
from datetime import UTC, datetime

LOGGER = logging.getLogger("spotify-login.events")
"""Its records are finished JSON lines. To send them elsewhere, add a handler."""

LOGGER.setLevel(logging.INFO)
LOGGER.propagate = False  # the root logger's handler on Lambda would put a prefix before the JSON
LOGGER.addHandler(logging.StreamHandler(sys.stdout))


def write(
    *,
    event: str,
    outcome: str,
    status: int | None = None,
    request_id: str = "",
    duration_ms: int = 0,
    reason: str = "",
    detail: str = "",
    settings: tuple[str, ...] = (),
    security: bool = False,
    source: str = "",
    session: str = "",
    error: str = "",
) -> None:
    """Write a line with the time and the fields that are given. None of them identifies a person.

    Args:
        event: `home`, `login`, `logout`, `configuration`, or the name of a route of your own.
        outcome: `begun`, `completed`, `refused` or `failed`.
        status: The HTTP status.
        request_id: The reference that an error page shows.
        duration_ms: Milliseconds from the request to the response.
        reason: A code of errors.py, or of parameters.py.
        detail: An endpoint and a status, or an AWS error code.
        settings: Names of settings that are missing or unusable.
        security: Whether it is a security event.
        source: Where a security event came from: see the function `source`.
        session: Whose login it was: see `pseudonym`.
        error: What went wrong, for a bug: see `origin_of`.
    """
    fields = {name: value for name, value in locals().items() if value or name == "duration_ms"}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    LOGGER.info(json.dumps({"time": now, **fields}))


def pseudonym(login_id: str) -> str:
    """A short hash of a login ID, by which the lines of one login can be found together."""
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
