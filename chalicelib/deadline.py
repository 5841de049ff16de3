"""The time that one request may take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

SECONDS = 20.0
"""API Gateway gives up after 29 s, the function after 25 s; this leaves room to say what happened."""


@dataclass(frozen=True)
class Deadline:
    """A point in time, by a clock that nobody can set."""

    at: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def left(self) -> float:
        """Seconds until then; negative once it has passed."""
        return self.at - time.monotonic()
