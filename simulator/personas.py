"""The personas to log in as, and how Spotify responds to each of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask import Response, request

Profile = dict[str, Any]
Headers = Mapping[str, str]

JSON = {"Content-Type": "application/json; charset=utf-8"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
HTML = {"Content-Type": "text/html; charset=utf-8"}

PICTURES = "/_simulator/pictures/"
"""The path of the simulator's own pictures."""

NEEDS = {
    "country": "user-read-private",
    "explicit_content": "user-read-private",
    "product": "user-read-private",
    "email": "user-read-email",
}
"""The scope that each field requires."""


@dataclass(frozen=True)
class Reply:
    """A response of the Web API."""

    status: int
    headers: Headers
    body: str
    ends_consent: bool = False
    """Whether the user withdraws consent right after this response."""

    def response(self) -> Response:
        """The response in Flask's form."""
        return Response(self.body, self.status, dict(self.headers))


Me = Callable[[str, Collection[str]], Reply]
"""Returns the response of GET /v1/me for a user ID and the scopes that the user agreed to."""


@dataclass(frozen=True)
class Persona:
    """A choice on the consent page: a user, or a failure of Spotify."""

    name: str
    description: str
    user_id: str
    """The default ID. A different ID makes a different user of the same kind."""
    me: Me
    face: str = ""
    """The name of a person's picture on the consent page; empty for a failure."""
    calls: Me | None = None
    """The response to every other call; None if it is the one of GET /v1/me, unless that succeeds."""


def _shown(profile: Profile) -> Me:
    def me(user_id: str, scopes: Collection[str]) -> Reply:
        other = {**_user(user_id, user_id, f"account-of-{user_id}"), "images": profile["images"]}
        own = {**profile, **other} if user_id != profile["id"] else profile
        hidden = {field for field, scope in NEEDS.items() if scope not in scopes}
        shown = {field: value for field, value in own.items() if field not in hidden}
        if shown["images"]:
            url = request.host_url.rstrip("/") + PICTURES
            shown["images"] = [{**image, "url": url + image["url"]} for image in shown["images"]]
        return Reply(200, JSON, json.dumps(shown, ensure_ascii=False, indent=2))

    return me


def _user(user_id: str, name: str, account_id: str) -> Profile:
    """The profile of a user without a picture, as an app in development mode receives it."""
    return {
        "account_id": account_id,
        "display_name": name,
        "external_urls": {"spotify": f"https://open.spotify.com/user/{user_id}"},
        "href": f"https://api.spotify.com/v1/users/{user_id}",
        "id": user_id,
        "images": [],
        "type": "user",
        "uri": f"spotify:user:{user_id}",
    }


def _always(status: int, headers: Headers, body: str) -> Me:
    return lambda _user_id, _scopes: Reply(status, headers, body)


def _error(status: int, message: str, headers: Headers | None = None, **more: str) -> Me:
    error = {"status": status, "message": message, **more}
    return _always(status, {**JSON, **(headers or {})}, json.dumps({"error": error}))


def _after(seconds: float, then: Me) -> Me:
    def me(user_id: str, scopes: Collection[str]) -> Reply:
        time.sleep(seconds)
        return then(user_id, scopes)

    return me


def _withdrawn_after(then: Me) -> Me:
    return lambda user_id, scopes: replace(then(user_id, scopes), ends_consent=True)


PREMIUM: Profile = {
    **_user("pia.premium", "Pia Premium", "7h3pr3m1uml1573n3r0000"),
    "country": "SE",
    "email": "pia@example.com",
    "explicit_content": {"filter_enabled": False, "filter_locked": False},
    "followers": {"href": None, "total": 42},
    "images": [{"height": 300, "url": "pia.svg", "width": 300}],
    "product": "premium",
}
DEVELOPMENT = _user("31deva", "Deva Development", "d3v3l0pm3n7m0d3u53r000")
WITHDRAWN = _user("31wi", "Will Withdraw", "w17hdr4wnc0n53n7000000")
ODD: Profile = {
    "id": "<b>\"'&#?/%+ 🎧",
    "display_name": "</p><script>alert(1)</script> \u202eeht rewop fo gnis\u202c 👩‍🎤",
    "images": None,
    "followers": {"href": None, "total": 1.5},
    "product": "",
    "explicit_content": {"a": {"b": {"c": [{"d": [[[1e-9, -0.0, 12345678901234567890123]]]}]}}},
    "type": "user",
}

USER_LIST_TEXT = (
    "The user is not registered for this application. "
    "Please check your settings on https://developer.spotify.com/dashboard."
)
PREMIUM_TEXT = (
    "Active premium subscription required for the owner of the app. When the subscription status changes, "
    "it can take a few hours before requests are allowed again."
)
GATEWAY_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
RATE_TEXT = "API rate limit exceeded"

FACES = {"premium": "pia", "development": "deva", "odd": "odd"}
"""The pictures of the personas that are people. The others are failures and delays."""

CALLS = {"busy": _error(429, RATE_TEXT, {"Retry-After": "5"}), "failing": _always(503, HTML, GATEWAY_HTML)}
"""The responses of personas whose logins succeed, and whose later calls fail."""

PERSONAS: Mapping[str, Persona] = {
    slug: Persona(name, description, user_id, me, FACES.get(slug, ""), CALLS.get(slug))
    for slug, name, description, user_id, me in (
        ("premium", "Pia Premium", "A Premium subscriber with a complete profile", "pia.premium", _shown(PREMIUM)),
        ("development", "Deva Development", "As an app in development mode sees a user: no e-mail address, country or subscription", "31deva", _shown(DEVELOPMENT)),
        ("odd", "Odd characters", "HTML in the ID, emoji, right-to-left text, no picture", ODD["id"], _shown(ODD)),
        ("slow", "Slow", "Spotify takes three seconds to send the profile", "31deva", _after(3, _shown(DEVELOPMENT))),
        ("withdrawn", "Withdrawn consent", "The user logs in, but withdraws consent right afterwards: Spotify revokes the app's tokens", "31wi", _withdrawn_after(_shown(WITHDRAWN))),
        ("unlisted", "Not on the user list", "Spotify rejects the user, because the app's owner has not listed them (403)", "31un", _always(403, TEXT, USER_LIST_TEXT)),
        ("no-premium", "Owner without Premium", "Spotify rejects every user, because the app's owner has no Premium subscription (403)", "31no", _always(403, TEXT, PREMIUM_TEXT)),
        ("rate-limited", "Rate limited", "Spotify tells the app to wait for five seconds (429 with Retry-After)", "31ra", _error(429, RATE_TEXT, {"Retry-After": "5"})),
        ("rate-limited-hour", "Rate limited for an hour", "Spotify tells the app to wait for an hour (429 with Retry-After)", "31rh", _error(429, RATE_TEXT, {"Retry-After": "3600"})),
        ("busy", "Rate limited after the login", "The login works, but Spotify tells the app to wait for five seconds at every other call (429 with Retry-After)", "31bu", _shown(DEVELOPMENT)),
        ("failing", "Down after the login", "The login works, but Spotify fails with an HTML page at every other call (503)", "31fa", _shown(DEVELOPMENT)),
        ("quota", "Over quota", "The app has used up its quota (429 QUOTA_EXCEEDED without Retry-After)", "31qu", _error(429, "Too many requests", reason="QUOTA_EXCEEDED")),
        ("down", "Spotify down", "Spotify fails with an empty response (500)", "31do", _always(500, {}, "")),
        ("gateway", "Bad gateway", "Spotify fails with an HTML page (502)", "31ga", _always(502, HTML, GATEWAY_HTML)),
        ("hanging", "No response", "Spotify sends nothing for a minute", "31ha", _after(60, _always(500, {}, ""))),
        ("garbage", "Truncated profile", "Spotify sends only half of the profile's JSON (200)", "31gb", _always(200, JSON, '{"id": "31gb", "disp')),
    )
}  # fmt: skip
