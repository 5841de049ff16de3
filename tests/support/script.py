"""A server that sends prepared responses and records the requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from werkzeug import Request

from simulator.loopback import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class ReceivedRequest(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: str


@dataclass
class Script:
    """Responds to each request with the next of `responses`; the last one repeats."""

    responses: list[tuple[int, dict[str, str], bytes]]
    requests: list[ReceivedRequest] = field(default_factory=list)

    def serve(self) -> str:
        return serve(self)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = Request(environ)
        body = asked.get_data(as_text=True)
        self.requests.append(ReceivedRequest(asked.method, asked.path, dict(asked.headers), body))
        status, sent, content = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        start_response(f"{status} Reason", [*sent.items()])
        return (content[start : start + 4096] for start in range(0, len(content), 4096))
