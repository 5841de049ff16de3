"""One request to Spotify and its answer, within time and size."""

from __future__ import annotations

import json
import re
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError
from urllib3.util.ssl_ import create_urllib3_context

from chalicelib.deadline import Deadline
from chalicelib.errors import SpotifyNonsense, SpotifyTimeout, SpotifyUnavailable, SpotifyUnreachable

CONNECT_SECONDS, READ_SECONDS = 3.0, 5.0
MOST_BYTES = 256 * 1024
"""An answer is a kilobyte or two; a larger one than this is refused while it is read."""


class Answer(NamedTuple):
    """What Spotify sent back."""

    endpoint: str
    status: int
    retry_after: int | None
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; {} for any other body."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def __str__(self) -> str:
        return f"{self.endpoint} {self.status}"


class _Trust(HTTPAdapter):
    """Reads whom to trust once. requests does so for every connection, which takes longer than the rest of it."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        context = create_urllib3_context()
        context.load_verify_locations(certifi.where())
        super().init_poolmanager(*args, ssl_context=context, **more)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Add nothing to what the context checks."""


class Wire:
    """Keeps connections alive, and nothing else, from one visitor's login to the next."""

    def __init__(self, *, tls: bool = True) -> None:
        """`tls`: get ready for https now; otherwise it is done when it is needed."""
        self._session = requests.Session()
        if tls:
            self._session.mount("https://", _Trust())
        # No proxies and no .netrc from the environment, and no cookie of one visitor in the login of another.
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})

    def send(self, method: str, url: str, deadline: Deadline, **parts: Any) -> Answer:
        """Send a request of these `parts` (requests' keywords), once. Redirects are answers.

        Raises:
            SpotifyUnreachable: no connection was made, so nothing was sent.
            SpotifyTimeout: no answer, or not all of it, in time.
            SpotifyUnavailable: the connection broke.
            SpotifyNonsense: the answer is too large.
        """
        endpoint = url.rpartition("/")[2]
        left = deadline.left()
        if left <= 0:
            raise SpotifyTimeout(f"{endpoint} deadline")
        timeout = (min(CONNECT_SECONDS, left), min(READ_SECONDS, left))
        try:
            with self._session.request(
                method, url, timeout=timeout, allow_redirects=False, stream=True, **parts
            ) as response:
                body = _read(response, endpoint, deadline)
                retry_after = _seconds(response.headers.get("Retry-After", ""))
                return Answer(endpoint, response.status_code, retry_after, body)
        except (requests.ReadTimeout, ReadTimeoutError):
            raise SpotifyTimeout(f"{endpoint} read") from None
        except requests.ConnectTimeout:
            raise SpotifyUnreachable(f"{endpoint} connect") from None
        except (requests.RequestException, HTTPError) as failure:
            reason = getattr(failure.args[0], "reason", None) if failure.args else None
            if isinstance(reason, NewConnectionError):
                raise SpotifyUnreachable(f"{endpoint} connect") from None
            raise SpotifyUnavailable(f"{endpoint} {type(failure).__name__}") from None


def _read(response: requests.Response, endpoint: str, deadline: Deadline) -> bytes:
    """The body, as far as size and time allow; read as it comes, so that a dripping one runs out of time."""
    body = b""
    while chunk := response.raw.read1(MOST_BYTES, decode_content=True):
        body += chunk
        if len(body) > MOST_BYTES:
            raise SpotifyNonsense(f"{endpoint} size")
        if deadline.left() <= 0:
            raise SpotifyTimeout(f"{endpoint} deadline")
    return body


def _seconds(retry_after: str) -> int | None:
    """Retry-After as a small integer, a day at most; None for a missing or odd one (RFC 9110 §10.2.3)."""
    return min(int(retry_after), 86_400) if re.fullmatch(r"[0-9]{1,9}", retry_after) else None
