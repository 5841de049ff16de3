"""API Gateway in front of the app in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        return invoke(event(path, headers, domain=self.domain, base=self.base))
