"""Failures of the token endpoint that a test has planned."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from flask import Response

from simulator.personas import HTML, JSON, RATE_TEXT


@dataclass(frozen=True)
class Failure:
    """A response in place of the ordinary one, or the ordinary one late."""

    status: HTTPStatus
    """200 without a body stands for the ordinary response."""
    body: str | None = None
    retry_after: str | None = None
    delay: float = 0
    """The pause before the response is sent, in seconds."""

    def respond(self, ordinary: Callable[[], Response]) -> Response:
        """Return the response after the pause. The effects of the ordinary one come before the pause."""
        try:
            return ordinary() if self.status == 200 and self.body is None else self._response()
        finally:
            time.sleep(self.delay)

    def _response(self) -> Response:
        body = self._default_body() if self.body is None else self.body
        response = Response(body, self.status, dict(HTML if self.status >= 500 else JSON))
        if self.retry_after is not None:
            response.headers["Retry-After"] = self.retry_after
        return response

    def _default_body(self) -> str:
        """An HTML page, as a gateway sends, or the JSON of the Web API."""
        if self.status >= 500:
            title = f"{self.status} {self.status.phrase}"
            return f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        message = RATE_TEXT if self.status == 429 else self.status.phrase
        return json.dumps({"error": {"status": self.status, "message": message}})


ORDINARY = Failure(HTTPStatus.OK)


class Failures:
    """The failures of the next refresh requests."""

    def __init__(self) -> None:
        self._planned: list[Failure] = []
        self._lock = threading.Lock()

    def plan(self, failure: Failure, times: int) -> None:
        """Plan a failure for the next refresh requests, in place of those planned before."""
        with self._lock:
            self._planned = [failure] * times

    def take(self) -> Failure | None:
        """The failure of this refresh request, if any."""
        with self._lock:
            return self._planned.pop() if self._planned else None
