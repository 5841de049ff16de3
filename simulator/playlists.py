"""The Web API's endpoints for playlists."""

from __future__ import annotations

from typing import Any

from flask import request

from simulator.calls import Call, Denied, body, number, paged
from simulator.library import Playlist, timestamp
from simulator.music import BY_URI, Item, item, page

READ = "playlist-read-private"
# The index of the scope that a playlist needs is whether it is private.
MODIFY = ("playlist-modify-public", "playlist-modify-private")
MOST = 100
"""The number of tracks that one request can add, and that one page can have."""


def create(call: Call) -> Any:
    """Create an empty playlist."""
    settings = {"description": "", "public": True, **body()}
    name, description, public = settings.get("name"), settings["description"], settings["public"]
    if not name:
        raise Denied(400, "Missing required field: name")
    if not (isinstance(name, str) and isinstance(description, str) and isinstance(public, bool)):
        raise Denied(400, "Error parsing JSON.")
    call.needs(MODIFY[not public])
    playlist = Playlist(call.grant.user_id, name, description, public)
    playlist.insert([], 0, 0)
    call.library.playlists[playlist.identifier] = playlist
    return _document(call, playlist), 201


def list_own(call: Call) -> Any:
    """Return the user's playlists, the newest first, without their tracks."""
    own = [one for one in call.library.playlists.values() if one.owner == call.grant.user_id]
    return paged([_document(call, one, complete=False) for one in reversed(own)])


def read(call: Call, identifier: str) -> Any:
    """Return a playlist. Only its owner sees its tracks."""
    return _document(call, _found(call, identifier))


def read_items(call: Call, identifier: str) -> Any:
    """Return the tracks of a playlist to its owner."""
    return paged(_items(call, _found(call, identifier, unless_own="Forbidden")), MOST)


def add_items(call: Call, identifier: str) -> Any:
    """Insert tracks at a position, by default at the end."""
    playlist, uris = _own(call, identifier), _uris(least=1)
    end = len(playlist.entries)
    position = number("position", end, 0) if "position" in request.args else body("uris").get("position", end)
    if not isinstance(position, int) or not 0 <= position <= end:
        raise Denied(400, "Index out of bounds.")
    playlist.insert(uris, position, position)
    return {"snapshot_id": playlist.snapshot}, 201


def replace_items(call: Call, identifier: str) -> Any:
    """Replace all tracks."""
    playlist = _own(call, identifier)
    playlist.insert(_uris(least=0), 0, len(playlist.entries))
    return {"snapshot_id": playlist.snapshot}


def _found(call: Call, identifier: str, *, unless_own: str = "") -> Playlist:
    """A playlist. Raises Denied if it does not exist, or with the text if there is one and it is another user's."""
    playlist = call.library.playlists.get(identifier)
    if playlist is None:
        raise Denied(404, "Resource not found")
    if unless_own and playlist.owner != call.grant.user_id:
        raise Denied(403, unless_own)
    return playlist


def _own(call: Call, identifier: str) -> Playlist:
    """A playlist that the app can change. Raises Denied if it cannot."""
    playlist = _found(call, identifier, unless_own="You cannot add tracks to a playlist you don't own.")
    call.needs(MODIFY[not playlist.public])
    return playlist


def _uris(least: int) -> list[str]:
    """The tracks in the query or, without any there, in the body. Raises Denied if there are not 1 to 100."""
    query = request.args.get("uris")
    uris = body("uris").get("uris") if query is None else [uri.strip() for uri in query.split(",") if uri]
    if not isinstance(uris, list) or len(uris) < least:
        raise Denied(400, "No uris provided")
    if len(uris) > MOST:
        raise Denied(400, f"You can add a maximum of {MOST} tracks per request.")
    for uri in uris:
        if not isinstance(uri, str) or uri not in BY_URI:
            raise Denied(400, f"Invalid track uri: {uri}")
    return uris


def _document(call: Call, playlist: Playlist, *, complete: bool = True) -> Item:
    """A playlist, with its first tracks or only their number. `items` was called `tracks` until February 2026."""
    url = f"{request.host_url}v1/playlists/{playlist.identifier}/items"
    items: Item = {"href": url, "total": len(playlist.entries)}
    if complete:
        items = page(_items(call, playlist), url, MOST, 0)
    names = ("items", "tracks") if call.extended else ("items",)
    own = playlist.owner == call.grant.user_id
    return item(
        "playlist",
        playlist.identifier,
        playlist.name,
        collaborative=False,
        description=playlist.description,
        images=[],
        owner=item("user", playlist.owner, display_name=playlist.owner),
        public=playlist.public,
        snapshot_id=playlist.snapshot,
        **(dict.fromkeys(names, items) if own else {}),
    )


def _items(call: Call, playlist: Playlist) -> list[Item]:
    """The tracks of a playlist. `item` was called `track` until February 2026."""
    by = item("user", playlist.owner)
    names = ("item", "track") if call.extended else ("item",)
    return [
        {"added_at": timestamp(at), "added_by": by, "is_local": False, **dict.fromkeys(names, BY_URI[uri])}
        for uri, at in playlist.entries
    ]
