"""The first event that a function receives after a cold start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.gateway import event
from tests.support.runtime import FunctionVisitor

Event = dict[str, Any]
Prepare = Callable[[FunctionVisitor], Event]

FIRST = event("/")
"""The request of a visitor without cookies."""


def callback(visitor: FunctionVisitor) -> Event:
    """The end of a login."""
    url = visitor.agree(visitor.begin())
    return event(url.removeprefix(visitor.home), _cookies(visitor))


def logged_in(visitor: FunctionVisitor, path: str = "/") -> Event:
    """A page that a logged-in visitor opens."""
    visitor.log_in()
    return event(path, _cookies(visitor))


def _cookies(visitor: FunctionVisitor) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())}


PREPARED: dict[str, Prepare] = {
    "/": lambda _: FIRST,
    "/login": lambda _: event("/login"),
    "/callback": callback,
    "/ logged in": logged_in,
}
"""Builds the first request after a cold start, using another instance of the same function."""
