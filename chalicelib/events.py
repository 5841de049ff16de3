"""The log: one JSON line for everything that an operator may be asked about."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("spotify-login.events")
"""Its records are finished lines. Whoever wants them elsewhere gives it another handler."""

LOGGER.setLevel(logging.INFO)
LOGGER.propagate = False  # Lambda's own handler, on the root logger, would put a prefix before the JSON
LOGGER.addHandler(logging.StreamHandler(sys.stdout))


def record(event: str, outcome: str, **fields: Any) -> None:
    """Write one line: `time` (UTC), `event`, `outcome` and whatever else is not None.

    Never hand it a code, state, token, key, cookie, name, e-mail address or id of a person.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    known = {name: value for name, value in fields.items() if value not in (None, "", ())}
    LOGGER.info(json.dumps({"time": now, "event": event, "outcome": outcome, **known}))


def pseudonym(login_id: str) -> str:
    """A short name by which lines of one session can be put together, and nothing else."""
    return hashlib.sha256(login_id.encode()).hexdigest()[:12]


def origin_of(error: BaseException) -> str:
    """An exception as type, file and line: never its message, which may quote what it was about."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + place
