"""The endpoints of Spotify's Web API that the simulator supports."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from simulator import music
from simulator.grants import Grant, Grants
from simulator.personas import PERSONAS


class Denied(Exception):
    """A request that the Web API rejects."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def create_web_api(grants: Grants) -> Blueprint:
    """Create the endpoints under /v1, which need an access token."""
    api = Blueprint("web_api", __name__, url_prefix="/v1")

    @api.get("/me")
    @api.get("/me/")
    def me() -> Any:
        """Return the profile of the user who agreed to the token. spotipy and Tekore ask for it with the slash."""
        grant = _grant(grants)
        reply = PERSONAS[grant.persona].me(grant.user_id, grant.scope.split())
        if reply.ends_consent:
            grants.withdraw(lambda other: other is grant)
        return Response(reply.body, reply.status, dict(reply.headers))

    @api.get("/me/top/artists")
    def top_artists() -> Any:
        """Return the user's favorite artists, which are the same for everyone."""
        grant = _grant(grants, "user-top-read")
        limit, offset = _number("limit", 20, 1, 50), _number("offset", 0, 0)
        found = music.artists(extended=grant.persona != "development")
        return jsonify(music.page(found, request.base_url, limit, offset))

    @api.errorhandler(Denied)
    def denied(error: Denied) -> Any:
        return jsonify(error={"status": error.status, "message": str(error)}), error.status

    @api.app_errorhandler(404)
    @api.app_errorhandler(405)
    def unknown(error: HTTPException) -> Any:
        """Reject an endpoint that the simulator lacks as Spotify does one that it lacks."""
        return denied(Denied(404, "Service not found")) if request.path.startswith("/v1/") else error

    return api


def _grant(grants: Grants, scope: str = "") -> Grant:
    """The grant of the request's access token.

    Raises:
        Denied: if the token is not valid, or lacks the scope.
    """
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if not value:
        raise Denied(401, "No token provided")
    grant, in_time = grants.of_token(value) if kind == "Bearer" else (None, False)
    if grant is None:
        raise Denied(401, "Invalid access token")
    if not in_time:
        raise Denied(401, "The access token expired")
    if scope and scope not in grant.scope.split():
        raise Denied(403, "Insufficient client scope")
    return grant


def _number(name: str, default: int, least: int, most: int | None = None) -> int:
    """A number in the query.

    Raises:
        Denied: if it is not a number, or is out of range.
    """
    text = request.args.get(name, str(default))
    number = int(text) if text.isdecimal() else -1
    if number < least or (most is not None and number > most):
        raise Denied(400, f"Invalid {name}")
    return number
