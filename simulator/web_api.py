"""The endpoints of Spotify's Web API that the simulator supports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import Blueprint, jsonify, request
from werkzeug.exceptions import HTTPException

from simulator import playlists
from simulator.calls import Call, Denied, number, paged
from simulator.grants import Grant, Grants
from simulator.library import Library, now, timestamp
from simulator.music import ARTISTS, FIRST, TRACKS, Item, shown
from simulator.personas import PERSONAS


def _top(items: tuple[Item, ...]) -> Any:
    """Return the user's favorites of a time range."""
    time_range = request.args.get("time_range", "medium_term")
    if time_range not in FIRST:
        raise Denied(400, "Invalid time_range")
    first = FIRST[time_range]
    return paged([*items[first:], *items[:first]], time_range=time_range)


def _recently_played(call: Call) -> Any:
    """Return plays after or before a time. An empty page has no cursors, and only a full one links to the next."""
    if {"after", "before"} <= {*request.args}:
        raise Denied(400, "Only one of after and before can be specified")
    limit, after, before = number("limit", 20, 1, 50), number("after", 0, 0), number("before", 1 << 60, 0)
    found = [play for play in call.library.plays(call.grant.user_id) if after < play.at < before][:limit]
    cursors = {"after": str(found[0].at), "before": str(found[-1].at)} if found else None
    way = "after" if after else "before"
    link = f"{request.base_url}?{way}={cursors[way]}&limit={limit}" if cursors else None
    return {
        "cursors": cursors,
        "href": request.url,
        "items": [{"context": None, "played_at": timestamp(play.at), "track": play.track} for play in found],
        "limit": limit,
        "next": link if len(found) == limit else None,
    }


def _currently_playing(call: Call) -> Any:
    """Return what the user is playing; nothing (204) if nothing plays."""
    play = call.library.playing(call.grant.user_id)
    if play is None:
        return "", 204
    return {
        "actions": {"disallows": {"resuming": True}},
        "context": None,
        "currently_playing_type": "track",
        "is_playing": True,
        "item": play.track,
        "progress_ms": now() - play.at,
        "timestamp": play.at,
    }


ENDPOINTS: Mapping[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "GET /v1/me/top/artists": (lambda _call: _top(ARTISTS), ("user-top-read",)),
    "GET /v1/me/top/tracks": (lambda _call: _top(TRACKS), ("user-top-read",)),
    "GET /v1/me/player/recently-played": (_recently_played, ("user-read-recently-played",)),
    "GET /v1/me/player/currently-playing": (_currently_playing, ("user-read-currently-playing",)),
    "GET /v1/me/playlists": (playlists.list_own, (playlists.READ,)),
    "POST /v1/me/playlists": (playlists.create, playlists.MODIFY),
    "GET /v1/playlists/{id}": (playlists.read, ()),
    "GET /v1/playlists/{id}/items": (playlists.read_items, (playlists.READ,)),
    "POST /v1/playlists/{id}/items": (playlists.add_items, playlists.MODIFY),
    "PUT /v1/playlists/{id}/items": (playlists.replace_items, playlists.MODIFY),
}
"""The endpoints besides GET /v1/me: the view of each, and the scopes of which its calls need one."""


def create_web_api(grants: Grants, library: Library) -> Blueprint:
    """Create the endpoints under /v1, which need an access token."""
    api = Blueprint("web_api", __name__)

    @api.get("/v1/me")
    @api.get("/v1/me/")
    def me() -> Any:
        """Return the profile of the user who agreed to the token. spotipy and Tekore ask for it with the slash."""
        grant = _grant(grants)
        reply = PERSONAS[grant.persona].me(grant.user_id, grant.scope.split())
        if reply.ends_consent:
            grants.withdraw(lambda other: other is grant)
        return reply.response()

    for endpoint, (view, scopes) in ENDPOINTS.items():
        method, _, path = endpoint.partition(" ")
        respond = partial(_respond, grants, library, view, scopes)
        api.add_url_rule(path.replace("{id}", "<identifier>"), endpoint, respond, methods=[method])

    @api.errorhandler(Denied)
    def denied(error: Denied) -> Any:
        return jsonify(error={"status": error.status, "message": str(error)}), error.status

    @api.app_errorhandler(HTTPException)
    def unknown(error: HTTPException) -> Any:
        """Reject what is no endpoint of the simulator as Spotify does what is none of its own."""
        if not request.path.startswith("/v1/"):
            return error
        message = "Service not found" if error.code == 404 else error.name
        return denied(Denied(error.code or 500, message))

    return api


def _respond(
    grants: Grants, library: Library, view: Callable[..., Any], scopes: tuple[str, ...], **path: str
) -> Any:
    """Respond to a call, or fail as the persona does."""
    call = Call(_grant(grants), library)
    persona = PERSONAS[call.grant.persona]
    reply = (persona.calls or persona.me)(call.grant.user_id, ())
    if reply.status != 200:
        return reply.response()
    call.needs(*scopes)
    with library.lock:
        found = view(call, **path)
    document, status = found if isinstance(found, tuple) else (found, 200)
    body = shown(document, request.host_url.rstrip("/"), extended=call.extended)
    return (jsonify(body) if body else ""), status


def _grant(grants: Grants) -> Grant:
    """The grant of the request's access token. Raises Denied if the token is not valid."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if not value:
        raise Denied(401, "No token provided")
    grant, in_time = grants.of_token(value) if kind == "Bearer" else (None, False)
    if grant is None:
        raise Denied(401, "Invalid access token")
    if not in_time:
        raise Denied(401, "The access token expired")
    return grant
