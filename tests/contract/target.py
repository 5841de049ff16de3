"""The server that the contract is checked against, and what it sends."""

from __future__ import annotations

import base64
import html
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import pytest
import requests

from chalicelib.config import EVERY_SCOPE

CODE_VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CODE_CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
"""The example of RFC 7636 appendix B."""

_TOKEN = re.compile(r"(_token\W{1,8})([\w.~+/=-]{20,})")


@dataclass(frozen=True, repr=False)
class Reply:
    """A response, without the client secret and tokens, so that a failed test does not print them."""

    status: int
    content_type: str
    """The media type without parameters."""
    location: str
    """An absolute URL; empty without the header."""
    text: str
    access_token: str
    """The token in the body; empty if there is none."""

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object; {} for any other body."""
        try:
            document = json.loads(self.text)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def words(self) -> str:
        """The body on one line. HTML is reduced to its text, unless it has none."""
        markup = r"(?s)<(head|style|script)\b.*?</\1>|<[^>]*>"
        visible = html.unescape(re.sub(markup, " ", self.text)) if self.content_type == "text/html" else ""
        return " ".join((visible.strip() or self.text).split())

    def __repr__(self) -> str:
        location = f", Location: {self.location[:300]}" if self.location else ""
        body = self.words[:300] or "(no body)"
        return f"Spotify sent {self.status}, {self.content_type or 'no content type'}{location}: {body}"


@dataclass
class Target:
    """Spotify, or a server that behaves like it, as one registered app sees it."""

    accounts_url: str
    api_url: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    """A redirect URI that is registered for the app."""
    pause: float = 0
    """The time before each request but the first, in seconds."""
    sent: int = 0
    """The number of requests so far."""
    _secrets: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        self._secrets |= {self.client_secret, basic, quote(basic, safe="")}

    def request_token(self, form: Mapping[str, str], client: tuple[str, str] | None = None) -> Reply:
        """Send a token request, with the app's own ID and secret unless others are given."""
        auth = client or (self.client_id, self.client_secret)
        return self._send("POST", f"{self.accounts_url}/api/token", data=form, auth=auth, headers=_JSON)

    @cached_property
    def client_credentials_token(self) -> Reply:
        """The response to a request for a client-credentials token (RFC 6749 §4.4)."""
        return self.request_token({"grant_type": "client_credentials"})

    def request_profile(self, access_token: str = "") -> Reply:
        """Request the current user's profile; without a token, without the Authorization header."""
        bearer = {"Authorization": f"Bearer {access_token}"} if access_token else {}
        return self._send("GET", f"{self.api_url}/v1/me", headers={**_JSON, **bearer})

    def authorize(self, **changes: str | None) -> Reply:
        """Send the app's authorization request with some parameters changed, or left out if None."""
        query = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "scope": EVERY_SCOPE,
            "state": "a-state",
            "code_challenge": CODE_CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return self._send("GET", f"{self.accounts_url}/authorize", params=query)

    def owns(self, url: str) -> bool:
        """Whether a URL is at Spotify."""
        parts, own = urlsplit(url), urlsplit(self.accounts_url)
        at_spotify = parts.scheme == "https" and (parts.hostname or "").endswith(".spotify.com")
        return at_spotify or (parts.scheme, parts.netloc) == (own.scheme, own.netloc)

    def _send(self, method: str, url: str, **parts: Any) -> Reply:
        """Send a request. Ends the run if there is no response."""
        time.sleep(self.pause if self.sent else 0)
        self.sent += 1
        try:
            response = requests.request(method, url, timeout=10, allow_redirects=False, **parts)
        except requests.RequestException as failure:
            what = f"{url} did not respond ({type(failure).__name__})."
            pytest.exit(f"{what} Check the network connection, then run:\n\n    make contract", 2)
        return self._reply(response)

    def _reply(self, response: requests.Response) -> Reply:
        token = _TOKEN.search(response.text)
        self._secrets |= {token[2]} if token else set()
        location = response.headers.get("Location")
        return Reply(
            response.status_code,
            response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            urljoin(response.url, self._hide(location)) if location else "",
            self._hide(response.text),
            token[2] if token else "",
        )

    def _hide(self, text: str) -> str:
        """Replace the client secret and tokens."""
        for secret in self._secrets:
            text = text.replace(secret, "(hidden)")
        return _TOKEN.sub(r"\1(hidden)", text)


_JSON = {"Accept": "application/json"}
