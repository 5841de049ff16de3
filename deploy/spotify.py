"""Ask Spotify whether it accepts the app's credentials and redirect URI, without a user.

If they are wrong, Spotify shows visitors its own error page. AWS cannot detect this.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from typing import Any

import requests

from chalicelib import config
from deploy.stage import Problem

DASHBOARD = "https://developer.spotify.com/dashboard"


def credentials(client_id: str, client_secret: str) -> Iterator[Problem]:
    """Yield a problem unless Spotify issues the app a token (RFC 6749 §4.4)."""
    reply = _send(
        "POST", "/api/token", data={"grant_type": "client_credentials"}, auth=(client_id, client_secret)
    )
    if isinstance(reply, str) or reply.status_code >= requests.codes.too_many:
        yield _unknown("the client ID and secret", reply)
    elif reply.status_code != requests.codes.ok:
        paste = (
            "read -r SPOTIFY_CLIENT_ID && read -rs SPOTIFY_CLIENT_SECRET && export SPOTIFY_CLIENT_{ID,SECRET}"
        )
        what = f"Spotify rejects the client ID {client_id} with this secret: {_text(reply)}"
        yield Problem(what, f"Copy both again from {DASHBOARD}, and paste them here:", paste)


def authorization(client_id: str, redirect_uri: str, scope: str) -> Iterator[Problem]:
    """Yield a note unless Spotify's authorization page accepts the redirect URI and the scopes."""
    query = {"client_id": client_id, "response_type": "code", "redirect_uri": redirect_uri, "scope": scope}
    reply = _send("GET", "/authorize", params=query)
    if isinstance(reply, str) or reply.status_code >= requests.codes.too_many:
        yield _unknown("the redirect URI", reply)
    elif not reply.is_redirect:
        text = _text(reply)
        if "scope" in text.lower():
            yield Problem(
                f"Spotify rejects SPOTIFY_SCOPE: {text}", "Set it to scopes that Spotify documents."
            )
            return
        what = f"Spotify does not accept logins yet: {text}"
        yield Problem(what, f"Register exactly this redirect URI at {DASHBOARD}:", redirect_uri, stops=False)


def _send(method: str, path: str, **parts: Any) -> requests.Response | str:
    """Spotify's response; the type of the failure if there is none."""
    url = config.read(os.environ, "SPOTIFY_ACCOUNTS_URL") + path
    try:
        return requests.request(method, url, timeout=10, allow_redirects=False, **parts)
    except requests.RequestException as failure:
        return type(failure).__name__


def _unknown(what: str, reply: requests.Response | str) -> Problem:
    why = reply if isinstance(reply, str) else f"status {reply.status_code}"
    remedy = f"{'Check your connection' if isinstance(reply, str) else 'Wait a minute'}, and run this command again."
    return Problem(f"Could not check {what} with Spotify ({why}).", remedy, stops=False)


def _text(reply: requests.Response) -> str:
    """The text of a response, on one line, without markup, at most 200 characters."""
    words = re.sub(r"(?s)<(head|style)\b.*?</\1>|<[^>]*>", " ", reply.text)
    return " ".join(html.unescape(words).split())[:200]
