"""Made-up artists, in the Web API's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

EXTENDED_ONLY = {"followers", "genres", "popularity"}
"""The fields of an artist that apps in development mode have not received since February 2026."""


def _artist(identifier: str, name: str, genres: list[str], followers: int, popularity: int) -> dict[str, Any]:
    return {
        "external_urls": {"spotify": f"https://open.spotify.com/artist/{identifier}"},
        "followers": {"href": None, "total": followers},
        "genres": genres,
        "href": f"https://api.spotify.com/v1/artists/{identifier}",
        "id": identifier,
        "images": [],
        "name": name,
        "popularity": popularity,
        "type": "artist",
        "uri": f"spotify:artist:{identifier}",
    }


ARTISTS = (
    _artist("1unpa1d1nt3rns00000000", "The Unpaid Interns", ["office rock", "indie rock"], 52310, 61),
    _artist("2pr1nt3r0ut0fpap3r0000", "Printer Out of Paper", ["drone"], 8044, 47),
    _artist("3m1ldch3ddar0000000000", "Mild Cheddar", ["soft rock", "lounge"], 130277, 58),
    _artist("4l00s3cabl3s0000000000", "Loose Cables", [], 911, 23),
    _artist("5r3plyall0000000000000", "Reply All and the Regrets", ["soul"], 17, 4),
)


def artists(*, extended: bool) -> list[dict[str, Any]]:
    """The artists, as an app in extended quota mode or in development mode receives them."""
    hidden = set() if extended else EXTENDED_ONLY
    return [{name: value for name, value in artist.items() if name not in hidden} for artist in ARTISTS]


def page(items: Sequence[Any], url: str, limit: int, offset: int) -> dict[str, Any]:
    """A page of a list, with links to the pages before and after it. The URL is that of the endpoint."""

    def link(start: int) -> str:
        return f"{url}?{urlencode({'limit': limit, 'offset': start})}"

    return {
        "href": link(offset),
        "items": items[offset : offset + limit],
        "limit": limit,
        "next": link(offset + limit) if offset + limit < len(items) else None,
        "offset": offset,
        "previous": link(max(offset - limit, 0)) if offset else None,
        "total": len(items),
    }
