"""A call of the Web API by an app, and what its endpoints read from the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import request

from simulator.grants import Grant
from simulator.library import Library
from simulator.music import Item, page


class Denied(Exception):
    """A request that the Web API rejects."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Call:
    """A request with a valid access token."""

    grant: Grant
    library: Library

    @property
    def extended(self) -> bool:
        """Whether the app is in extended quota mode, and not in development mode."""
        return self.grant.persona != "development"

    def needs(self, *scopes: str) -> None:
        """Raise Denied if the user agreed to none of the scopes. An endpoint without any is open to all users."""
        if scopes and not {*scopes} & {*self.grant.scope.split()}:
            raise Denied(403, "Insufficient client scope")


def number(name: str, default: int, least: int, most: int = 1 << 60) -> int:
    """A number in the query. Raises Denied if it is not a number, or is out of range."""
    text = request.args.get(name, str(default))
    found = int(text) if text.isdecimal() and len(text) < 20 else -1
    if not least <= found <= most:
        raise Denied(400, f"Invalid {name}")
    return found


def paged(items: Sequence[Any], most: int = 50, **query: str) -> Item:
    """The page of a list that the query asks for with `limit` and `offset`."""
    return page(items, request.base_url, number("limit", 20, 1, most), number("offset", 0, 0), **query)


def body(name: str = "") -> dict[str, Any]:
    """The JSON object in the body, or {}. Raises Denied for other bodies, except a list of what has the name."""
    document = request.get_json(force=True, silent=True) if request.get_data() else {}
    if name and isinstance(document, list):
        return {name: document}
    if not isinstance(document, dict):
        raise Denied(400, "Error parsing JSON.")
    return document
