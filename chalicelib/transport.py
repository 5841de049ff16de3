"""One HTTP request to Spotify and its response, within limits of time and size."""

import json
import re
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, NamedTuple

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from chalicelib.deadline import Deadline
from chalicelib.errors import SpotifyMalformed, SpotifyTimeout, SpotifyUnavailable, SpotifyUnreachable

CONNECT_SECONDS, READ_SECONDS = 3.0, 5.0
MOST_BYTES = 256 * 1024
"""The largest response that is read. Spotify's take a kilobyte or two."""

_ROOTS = Path(__file__).with_name("roots")
VERIFY = str(_ROOTS) if _ROOTS.exists() else True
"""What requests verifies Spotify's certificates with: its own CA bundle or, in a package, a folder of the same
certificates. From a folder, OpenSSL reads only the one that it needs; loading a bundle takes longer than a handshake.
"""


class Response(NamedTuple):
    """What Spotify sent back."""

    endpoint: str
    """The segment after /v1 or /api, such as `me`. Later segments can be the ID of a user or a playlist."""
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


class Transport:
    """Sends requests over connections that stay open between logins. It keeps nothing else of a login."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.verify = VERIFY
        # Use no proxies or .netrc from the environment, and send no cookie of one user in another's login.
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
        self._kept: set[str] = set()

    def send(self, method: str, url: str, deadline: Deadline, **parts: Any) -> Response:
        """Send one request. `parts` are requests' keyword arguments. Redirects are not followed.

        Raises:
            SpotifyUnreachable: no connection was made, or one from an earlier request was closed unanswered.
            SpotifyTimeout: there was no response, or only part of it, in time.
            SpotifyUnavailable: the connection broke.
            SpotifyMalformed: the response is too large.
        """
        host, endpoint = re.findall(r"^\w+://([^/?#]*)(?:/(?:v1|api)/([a-z-]+))?", url)[0]
        limited = deadline.within(CONNECT_SECONDS + READ_SECONDS)
        try:
            return limited.run(lambda: self._send(method, url, host, endpoint, parts))
        except (TimeoutError, requests.ReadTimeout, ReadTimeoutError):
            raise SpotifyTimeout(endpoint) from None
        except (requests.RequestException, HTTPError) as failure:
            raise self._broken(failure, host, endpoint) from None

    def _send(self, method: str, url: str, host: str, endpoint: str, parts: dict[str, Any]) -> Response:
        parts |= {"timeout": (CONNECT_SECONDS, READ_SECONDS), "allow_redirects": False, "stream": True}
        with self._session.request(method, url, **parts) as response:
            self._kept.discard(host)
            body = response.raw.read(MOST_BYTES + 1, decode_content=True)
            if len(body) > MOST_BYTES:
                raise SpotifyMalformed(f"{endpoint} size")
            if response.headers.get("Connection", "").lower() != "close":
                self._kept.add(host)
            retry_after = _seconds(response.headers.get("Retry-After", ""))
            return Response(endpoint, response.status_code, retry_after, body)

    def _broken(self, failure: Exception, host: str, endpoint: str) -> Exception:
        """The error for a request whose connection broke.

        A connection that was kept alive can be closed without notice, above all after Lambda has frozen the
        process. Then the request most likely did not arrive, and can be sent again (RFC 9112 §9.3.1). If
        it did arrive, Spotify rejects the second one, because a code works once.
        """
        if _has_cause(failure, NewConnectionError, ConnectTimeoutError):
            return SpotifyUnreachable(f"{endpoint} connect")
        if host in self._kept and _has_cause(failure, ConnectionError):
            self._kept.discard(host)
            return SpotifyUnreachable(f"{endpoint} connection closed")
        return SpotifyUnavailable(f"{endpoint} {type(failure).__name__}")


def _has_cause(failure: BaseException | None, *kinds: type[Exception]) -> bool:
    while failure and not isinstance(failure, kinds):
        failure = failure.__cause__ or failure.__context__
    return failure is not None


def _seconds(retry_after: str) -> int | None:
    """Retry-After as a small integer, a day at most; None for a missing or odd one (RFC 9110 §10.2.3)."""
    return min(int(retry_after), 86_400) if re.fullmatch(r"[0-9]{1,9}", retry_after) else None
