"""Made-up artists and tracks, in the Web API's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from simulator.personas import PICTURES

Item = dict[str, Any]

EXTENDED_ONLY = {"available_markets", "followers", "genres", "popularity"}
"""The fields that apps in development mode have not received since February 2026."""

FIRST = {"short_term": 2, "medium_term": 0, "long_term": 1}
"""The index of the favorite artist or track by time range. Users have the same favorites."""


def item(kind: str, identifier: str, name: str | None = None, **more: Any) -> Item:
    """What Spotify sends of everything that has an ID, and more of it. A user in a playlist has no name."""
    quoted = quote(identifier, safe="")
    return {
        "external_urls": {"spotify": f"https://open.spotify.com/{kind}/{quoted}"},
        "href": f"https://api.spotify.com/v1/{kind}s/{quoted}",
        "id": identifier,
        **({"name": name} if name else {}),
        "type": kind,
        "uri": f"spotify:{kind}:{quoted}",
        **more,
    }


def _artist(number: int, name: str, genres: list[str], followers: int, popularity: int) -> Item:
    return item(
        "artist",
        f"{number}artist".ljust(22, "0"),
        name,
        followers={"href": None, "total": followers},
        genres=genres,
        images=_images(number),
        popularity=popularity,
    )


def _images(number: int) -> list[Item]:
    """The three sizes of a picture. Their URLs are paths of the simulator."""
    url = f"{PICTURES}cover-{number}.svg"
    return [{"url": url, "height": size, "width": size} for size in (640, 300, 64)]


def _track(number: int, artist: Item, name: str) -> Item:
    """A track that was released as a single."""
    common: Item = {
        "artists": [item("artist", artist["id"], artist["name"])],
        "available_markets": ["DE", "SE", "US"],
    }
    album = item(
        "album",
        f"{number}album".ljust(22, "0"),
        name,
        album_type="single",
        images=_images(number),
        release_date=f"{2010 + number}-04-01",
        release_date_precision="day",
        total_tracks=1,
        **common,
    )
    return item(
        "track",
        f"{number}track".ljust(22, "0"),
        name,
        album=album,
        disc_number=1,
        duration_ms=150_000 + 7_000 * number,
        explicit=False,
        external_ids={"isrc": f"ZZSIM26{number:05}"},
        is_local=False,
        popularity=artist["popularity"],
        preview_url=None,
        track_number=1,
        **common,
    )


ARTISTS = (
    _artist(1, "The Unpaid Interns", ["office rock", "indie rock"], 52310, 61),
    _artist(2, "Printer Out of Paper", ["drone"], 8044, 47),
    _artist(3, "Mild Cheddar", ["soft rock", "lounge"], 130277, 58),
    _artist(4, "Loose Cables", [], 911, 23),
    _artist(5, "Reply All and the Regrets", ["soul"], 17, 4),
)
_NAMES = """
Coffee for Twelve, Load Letter, Room Temperature, It Was Plugged In, Please Disregard,
Great Opportunity, Out of Cyan, Rind, Spaghetti, Per My Last Email
"""
TRACKS = tuple(_track(n, ARTISTS[n % 5], name.strip()) for n, name in enumerate(_NAMES.split(",")))
BY_URI = {track["uri"]: track for track in TRACKS}


def shown(value: Any, origin: str, *, extended: bool) -> Any:
    """What an app receives: some fields only in extended quota mode. `origin` is the simulator's, for pictures."""
    if isinstance(value, list):
        return [shown(one, origin, extended=extended) for one in value]
    if not isinstance(value, dict):
        return value
    if "height" in value:
        return {**value, "url": origin + value["url"]}
    names = value if extended else [name for name in value if name not in EXTENDED_ONLY]
    return {name: shown(value[name], origin, extended=extended) for name in names}


def page(items: Sequence[Any], url: str, limit: int, offset: int, **query: str) -> Item:
    """A page of a list, with links to the pages before and after it. The URL is that of the endpoint."""

    def link(start: int) -> str:
        return f"{url}?{urlencode({**query, 'limit': limit, 'offset': start})}"

    return {
        "href": link(offset),
        "items": list(items[offset : offset + limit]),
        "limit": limit,
        "next": link(offset + limit) if offset + limit < len(items) else None,
        "offset": offset,
        "previous": link(max(offset - limit, 0)) if offset else None,
        "total": len(items),
    }
