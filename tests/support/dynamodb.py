"""DynamoDB with faults: the emulator over HTTP, with faults injected before or after a call."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.aws import create_table
from simulator.loopback import serve
from tests.support.faults import HANG_SECONDS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True)
class Fault:
    """A fault of one call."""

    status: int = 500
    code: str = "InternalServerError"
    applied: bool = False
    """Whether the call takes effect despite the fault."""
    hangs: bool = False
    """Whether no response arrives before the timeout."""
    body: bytes | None = None
    """The response body, if not DynamoDB's error document."""
    passes: bool = False
    """Whether this call succeeds, so that the next fault in the list hits the next call."""
    truncate_to: float | None = None
    """The share of a successful response's body that arrives. The headers, including the checksum, are complete."""


@dataclass
class FaultyDynamoDB:
    """Passes calls on to the emulator, except those that have a fault in `faults`, by operation."""

    app: WSGIApplication
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def serve(self, table: str) -> str:
        """Start the server with an empty users table; returns its URL."""
        url = serve(self)
        create_table(url, table)
        self.calls.clear()
        return url

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        operation = environ["HTTP_X_AMZ_TARGET"].partition(".")[2]
        self.calls.append(operation)
        pending = self.faults.get(operation, [])
        if not pending:
            return self.app(environ, start_response)
        fault = pending.pop(0)
        if fault.passes:
            return self.app(environ, start_response)
        if fault.truncate_to is not None:
            return self._truncated(environ, start_response, fault.truncate_to)
        if fault.applied:
            list(self.app(environ, _ignore))
        if fault.hangs:
            time.sleep(HANG_SECONDS)
        error = f'{{"__type": "com.amazonaws.dynamodb.v20120810#{fault.code}", "message": "injected"}}'
        start_response(f"{fault.status} Injected", [("Content-Type", "application/x-amz-json-1.0")])
        return [error.encode() if fault.body is None else fault.body]

    def _truncated(
        self, environ: WSGIEnvironment, start_response: StartResponse, share: float
    ) -> Iterable[bytes]:
        passed: list[Any] = []

        def keep(status: str, headers: list[tuple[str, str]], _: Any = None, /) -> Any:
            passed[:] = [status, [pair for pair in headers if pair[0].lower() != "content-length"]]

        body = b"".join(self.app(environ, keep))
        start_response(*passed)
        return [body[: int(len(body) * share)]]


def _ignore(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
    """Discard a status and headers."""
