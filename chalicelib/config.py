"""The settings: complete or refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chalicelib.errors import ConfigurationError

EVERY_SCOPE = (
    "playlist-modify-private playlist-modify-public playlist-read-collaborative playlist-read-private "
    "ugc-image-upload user-follow-modify user-follow-read user-library-modify user-library-read "
    "user-modify-playback-state user-read-currently-playing user-read-email user-read-playback-position "
    "user-read-playback-state user-read-private user-read-recently-played user-top-read"
)
"""The 17 scopes of Spotify's Web API. One that Spotify does not know makes it refuse the whole login."""

ACCOUNTS_URL = "https://accounts.spotify.com"
API_URL = "https://api.spotify.com"

NAMES = (
    "SPOTIFY_CLIENT_ID",
    "SPOTIFY_CLIENT_SECRET",
    "SPOTIFY_REDIRECT_URI",
    "SPOTIFY_SCOPE",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "USERS_TABLE",
    "SPOTIFY_ACCOUNTS_URL",
    "SPOTIFY_API_URL",
)
"""Every setting that is read; whatever else stands beside them is not."""

_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.1 and A.2
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 §3.3
_LOOPBACK_URL = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:[1-9]\d{0,4})?/?", re.ASCII)
_TABLE = re.compile(r"[a-zA-Z0-9_.-]{3,255}")  # DynamoDB's naming rules


@dataclass(frozen=True)
class Config:
    """Settings that passed every test. Secrets stay out of the repr, and so out of logs."""

    client_id: str
    client_secret: str = field(repr=False)
    scope: str
    secret_keys: tuple[str, ...] = field(repr=False)
    """Oldest first, as itsdangerous wants them: the last one signs, all of them verify."""
    users_table: str
    accounts_url: str
    api_url: str

    @classmethod
    def from_mapping(cls, settings: Mapping[str, str]) -> Config:
        """Read the settings by their names in `NAMES`; a blank one counts as missing.

        Raises:
            ConfigurationError: naming every setting at fault, all at once.
        """
        wrong: list[str] = []

        def read(name: str, accept: Callable[[str], object], default: str = "") -> str:
            value = settings.get(name, "").strip() or default
            if not accept(value):
                wrong.append(name)
            return value

        config = cls(
            client_id=read("SPOTIFY_CLIENT_ID", _VSCHAR.fullmatch),
            client_secret=read("SPOTIFY_CLIENT_SECRET", _VSCHAR.fullmatch),
            scope=read("SPOTIFY_SCOPE", _SCOPE.fullmatch, EVERY_SCOPE),
            secret_keys=(
                *_keys(read("SECRET_KEY_FALLBACKS", lambda value: all(map(_is_strong, _keys(value))))),
                read("SECRET_KEY", _is_strong),
            ),
            users_table=read("USERS_TABLE", _TABLE.fullmatch),
            accounts_url=read("SPOTIFY_ACCOUNTS_URL", _is_url_of(ACCOUNTS_URL), ACCOUNTS_URL).rstrip("/"),
            api_url=read("SPOTIFY_API_URL", _is_url_of(API_URL), API_URL).rstrip("/"),
        )
        if wrong:
            raise ConfigurationError(*sorted(wrong))
        return config


def _keys(separated: str) -> list[str]:
    return [key.strip() for key in separated.split(",") if key.strip()]


def _is_strong(key: str) -> bool:
    """32 bytes or more (RFC 2104 §3: not less than the hash's output), not one word over and over, no comma.

    A comma separates fallbacks: with one in it a key could not be rotated.
    """
    return len(key.encode(errors="replace")) >= 32 and len(set(key)) >= 8 and "," not in key


def _is_url_of(spotify: str) -> Callable[[str], bool]:
    """Accept Spotify's own URL, or a simulator's on this machine: it can never serve visitors."""
    return lambda url: url.rstrip("/") == spotify or _LOOPBACK_URL.fullmatch(url) is not None
