"""API Gateway in front of the app in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from app import app
from tests.support.events import DOMAIN, STAGE_URL, event, reply_of
from tests.support.visitor import Reply, Visitor

__all__ = ["DOMAIN", "STAGE_URL", "GatewayVisitor", "event", "invoke", "reply_of"]


def invoke(sent: dict[str, Any]) -> Reply:
    return reply_of(app(sent, None))


@dataclass
class GatewayVisitor(Visitor):
    """A visitor who comes through API Gateway, by default at a stage's URL."""

    home: str = STAGE_URL
    domain: str = DOMAIN
    base: str = "/api"

    def send(self, path: str, headers: Mapping[str, str]) -> Reply:
        return invoke(event(path, headers, domain=self.domain, base=self.base, route=_route_of(path)))


def _route_of(path: str) -> str:
    """The route that API Gateway finds for a path: a literal one before one with parameters; "" if there is none."""
    segments = urlsplit(path).path.split("/")

    def fits(route: str) -> bool:
        pairs = [*zip(route.split("/"), segments, strict=False)]
        same = all(part == segment or part.startswith("{") for part, segment in pairs)
        return same and route.count("/") == len(segments) - 1

    return min(filter(fits, app.routes), key=lambda route: route.count("{"), default="")
