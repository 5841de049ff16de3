"""Endpoints that Spotify does not have. Tests use them to count requests and trigger events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Blueprint, abort, jsonify, request

from simulator.failures import Failure, Failures
from simulator.grants import Grant, Grants
from simulator.library import Library
from simulator.music import BY_URI
from simulator.pictures import picture


def create_controls(grants: Grants, failures: Failures, library: Library, asked: list[str]) -> Blueprint:
    """Create the endpoints under /_simulator. `asked` names the endpoint of each request so far."""
    controls = Blueprint("controls", __name__, url_prefix="/_simulator")
    controls.add_url_rule("/pictures/<name>.svg", view_func=picture)

    @controls.before_request
    def reject_web_pages() -> None:
        """Reject a POST by a browser: any page can send a form to a server on this machine."""
        names = {name for name, _ in request.headers}
        by_browser = "Origin" in names or any(name.startswith("Sec-Fetch-") for name in names)
        if request.method == "POST" and by_browser:
            abort(403)

    @controls.get("/asked")
    def counts() -> Any:
        """Return the number of requests that each endpoint has received."""
        return jsonify(Counter(asked))

    @controls.get("/refreshes")
    def refreshes() -> Any:
        """Return the number of successful refreshes by user ID."""
        return jsonify(grants.refreshes())

    @controls.post("/revoke")
    def revoke() -> Any:
        """Withdraw a user's consent."""
        grants.withdraw(_belongs_to(request.form["user_id"]))
        return "", 204

    @controls.post("/expire")
    def expire() -> Any:
        """Expire the access tokens of a user, or of all users."""
        grants.expire(_belongs_to(request.form.get("user_id")))
        return "", 204

    @controls.post("/play")
    def play() -> Any:
        """Begin to play a track as a user, or stop if the URI is not one of a track."""
        with library.lock:
            library.play(request.form["user_id"], BY_URI.get(request.form["uri"]))
        return "", 204

    @controls.post("/fail")
    def fail() -> Any:
        """Plan failures for the next refresh requests."""
        try:
            failures.plan(_planned_failure(), int(request.form.get("times", "1")))
        except ValueError as error:
            abort(400, str(error))
        return "", 204

    return controls


def _belongs_to(user_id: str | None) -> Callable[[Grant], bool]:
    return lambda grant: user_id in (None, grant.user_id)


def _planned_failure() -> Failure:
    """The failure that the form describes.

    Raises:
        ValueError: if a field is not valid.
    """
    form = request.form
    delay = float(form.get("delay", "0"))
    if not 0 <= delay <= 60:
        raise ValueError(f"{delay} is not a valid delay")
    return Failure(HTTPStatus(int(form["status"])), form.get("body"), form.get("retry_after"), delay)
