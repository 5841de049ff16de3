"""Made-up artists and a made-up track, in the Web API's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

EXTENDED_ONLY = {"followers", "genres", "popularity"}
"""The fields of an artist that apps in development mode have not received since February 2026."""


def _item(kind: str, identifier: str, name: str) -> dict[str, Any]:
    return {
        "external_urls": {"spotify": f"https://open.spotify.com/{kind}/{identifier}"},
        "href": f"https://api.spotify.com/v1/{kind}s/{identifier}",
        "id": identifier,
        "name": name,
        "type": kind,
        "uri": f"spotify:{kind}:{identifier}",
    }


def _artist(identifier: str, name: str, genres: list[str], followers: int, popularity: int) -> dict[str, Any]:
    return {
        **_item("artist", identifier, name),
        "followers": {"href": None, "total": followers},
        "genres": genres,
        "images": [],
        "popularity": popularity,
    }


ARTISTS = (
    _artist("1unpa1d1nt3rns00000000", "The Unpaid Interns", ["office rock", "indie rock"], 52310, 61),
    _artist("2pr1nt3r0ut0fpap3r0000", "Printer Out of Paper", ["drone"], 8044, 47),
    _artist("3m1ldch3ddar0000000000", "Mild Cheddar", ["soft rock", "lounge"], 130277, 58),
    _artist("4l00s3cabl3s0000000000", "Loose Cables", [], 911, 23),
    _artist("5r3plyall0000000000000", "Reply All and the Regrets", ["soul"], 17, 4),
)

_ARTIST = _item("artist", ARTISTS[0]["id"], ARTISTS[0]["name"])
_ALBUM = {
    **_item("album", "6n0t1c3p3r10d000000000", "Notice Period"),
    "album_type": "album",
    "artists": [_ARTIST],
    "available_markets": ["DE", "SE", "US"],
    "images": [],
    "release_date": "2024-03-01",
    "release_date_precision": "day",
    "total_tracks": 9,
}
_TRACK = {
    **_item("track", "7c0ff331sc0ld000000000", "The Coffee Is Cold Again"),
    "album": _ALBUM,
    "artists": [_ARTIST],
    "available_markets": ["DE", "SE", "US"],
    "disc_number": 1,
    "duration_ms": 187000,
    "explicit": False,
    "external_ids": {"isrc": "XXA002400001"},
    "is_local": False,
    "popularity": 55,
    "preview_url": None,
    "track_number": 4,
}

PLAYING: dict[str, Any] = {
    "actions": {"disallows": {"resuming": True}},
    "context": {name: _ALBUM[name] for name in ("external_urls", "href", "type", "uri")},
    "currently_playing_type": "track",
    "is_playing": True,
    "item": _TRACK,
    "progress_ms": 42000,
    "timestamp": 1764000000000,
}
"""A track, as GET /v1/me/player/currently-playing returns it."""


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
