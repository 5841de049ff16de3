"""DynamoDB with faults: the emulator over HTTP, with troubles that are put before or after a call."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.dynamodb import create_table
from simulator.loopback import serve
from tests.support.faults import LONG

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True)
class Fault:
    """A trouble of one call."""

    status: int = 500
    code: str = "InternalServerError"
    happened: bool = False
    """Whether the call is carried out all the same."""
    hangs: bool = False
    """Whether the answer never comes."""
    body: bytes | None = None
    """What comes instead of DynamoDB's error document."""
    passes: bool = False
    """Whether the call is carried out as if there were no fault, which is then kept for the next one."""
    cut: float | None = None
    """The share of a good response that arrives; its headers, the checksum among them, are whole."""


@dataclass
class FaultyDynamoDB:
    """Hands calls on to the emulator, but for the next `faults` of an operation."""

    app: WSGIApplication
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def serve(self, table: str) -> str:
        """Serve it with an empty users table; returns the URL."""
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
        if fault.cut is not None:
            return self._truncated(environ, start_response, fault.cut)
        if fault.happened:
            list(self.app(environ, _ignore))
        if fault.hangs:
            time.sleep(LONG)
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
    """Take a status and headers that nobody gets."""
