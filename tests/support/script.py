"""A server that sends prepared responses and records the requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.loopback import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@dataclass(frozen=True)
class ReceivedRequest:
    """A recorded request."""

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
        """Start the server; returns its URL."""
        return serve(self)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").title(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name == "CONTENT_TYPE"
        }
        body = environ["wsgi.input"].read(length).decode()
        self.requests.append(ReceivedRequest(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body))
        status, sent, content = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        start_response(f"{status} Reason", [*sent.items()])
        return self._chunks(content)

    @staticmethod
    def _chunks(content: bytes) -> Iterator[bytes]:
        yield from (content[start : start + 4096] for start in range(0, len(content), 4096))
