"""The settings: their names, their defaults, and what makes one unusable. Only the standard library is used."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from chalicelib.errors import ConfigurationError

EVERY_SCOPE = (
    "playlist-modify-private playlist-modify-public playlist-read-collaborative playlist-read-private "
    "ugc-image-upload user-follow-modify user-follow-read user-library-modify user-library-read "
    "user-modify-playback-state user-read-currently-playing user-read-email user-read-playback-position "
    "user-read-playback-state user-read-private user-read-recently-played user-top-read"
)
"""The 17 scopes of Spotify's Web API. Spotify rejects a login that asks for one it does not know."""

NO_SCOPE = "none"
"""The value of SPOTIFY_SCOPE with which a login asks for no scope. Blank means missing, as for every setting."""

ACCOUNTS_URL = "https://accounts.spotify.com"
API_URL = "https://api.spotify.com"

LOOPBACK = r"(?:127\.0\.0\.1|localhost|\[::1\])"
PORT = r"(?::(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?"
DOMAIN = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
BASE_PATH = r"(?:/(?!\.\.?(?:/|$))[\w.~$+!*'()-]+)*"
"""Patterns of what may stand in a URL of the app's own (RFC 3986 §3.2.2, §3.2.3, §3.3)."""

_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.1 and A.2
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 §3.3
_TABLE = re.compile(r"[a-zA-Z0-9_.-]{3,255}")  # DynamoDB's naming rules
_ALIAS = re.compile(r"|alias/(?!aws/)[a-zA-Z0-9_/-]{1,250}")  # KMS's, where `aws/` is reserved for AWS
_REDIRECT_URI = re.compile(
    rf"(https://{DOMAIN}(?!:443/){PORT}|http://{LOOPBACK}(?!:80/){PORT})({BASE_PATH})/callback", re.ASCII
)
_SIMULATOR = re.compile(rf"http://{LOOPBACK}{PORT}", re.ASCII)
_ORIGIN = re.compile(rf"https://{DOMAIN}(?!:443$){PORT}|http://{LOOPBACK}(?!:80$){PORT}", re.ASCII)
_NO_NAME = re.compile(
    r"https://(localhost|(.*\.)?(\d+|0x[0-9a-f]*))(:\d+)?"
)  # this machine, or an IPv4 address
_ENDPOINT = re.compile(rf"|https?://(\[[0-9a-f:]+\]|[^\s/:\[\]]+){PORT}(/\S*)?", re.IGNORECASE)


def split(separated: str) -> list[str]:
    """The entries of a setting that is a list, such as SECRET_KEY_FALLBACKS; blank ones are dropped."""
    return [entry.strip() for entry in separated.split(",") if entry.strip()]


def is_strong(key: str) -> bool:
    """Whether a key can sign: 32 bytes of UTF-8 or more (RFC 2104 §3: not less than the hash's output),
    not one word repeated, and no comma, which separates fallbacks.
    """
    try:
        return len(key.encode()) >= 32 and len(set(key)) >= 8 and "," not in key
    except UnicodeEncodeError:  # an environment variable that is not UTF-8
        return False


def _is_url_of(spotify: str) -> Callable[[str], bool]:
    """Accept Spotify's own URL, or a simulator on this machine, which can never serve visitors."""
    return lambda url: url == spotify or _SIMULATOR.fullmatch(url) is not None


def _is_origin(text: str) -> bool:
    """Whether a browser can send this as the origin of a page that is the same site as the app."""
    return _ORIGIN.fullmatch(text) is not None and not _NO_NAME.fullmatch(text)


_CHECKS: Mapping[str, Callable[[str], object]] = {
    "SPOTIFY_CLIENT_ID": _VSCHAR.fullmatch,
    "SPOTIFY_CLIENT_SECRET": _VSCHAR.fullmatch,
    "SPOTIFY_REDIRECT_URI": lambda value: not value or _REDIRECT_URI.fullmatch(value),
    "SPOTIFY_SCOPE": lambda value: (
        not value or (_SCOPE.fullmatch(value) and NO_SCOPE not in value.lower().split())
    ),
    "SECRET_KEY": is_strong,
    "SECRET_KEY_FALLBACKS": lambda value: all(map(is_strong, split(value))),
    "FRONTEND_ORIGINS": lambda value: all(map(_is_origin, split(value))),
    "USERS_TABLE": _TABLE.fullmatch,
    "TOKENS_KMS_ALIAS": _ALIAS.fullmatch,
    "SPOTIFY_ACCOUNTS_URL": _is_url_of(ACCOUNTS_URL),
    "SPOTIFY_API_URL": _is_url_of(API_URL),
}
_DEFAULTS = {"SPOTIFY_SCOPE": EVERY_SCOPE, "SPOTIFY_ACCOUNTS_URL": ACCOUNTS_URL, "SPOTIFY_API_URL": API_URL}

NAMES = tuple(_CHECKS)
"""Every setting of the app's own."""

STORABLE = tuple(name for name in NAMES if name != "TOKENS_KMS_ALIAS")
"""The settings that can be parameters. The key's permission and the AWS client are deployed with the alias."""

CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_KMS")
AWS_NAMES = (*CREDENTIALS, *ENDPOINTS)
"""Those of AWS's own variables that are checked before a visitor is sent to Spotify; botocore uses them."""


class Config:
    """Settings that passed every check."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Read the settings by their names.

        Raises:
            ConfigurationError: naming every setting that is missing or unusable.
        """
        if wrong := faults(settings):
            raise ConfigurationError(*wrong)
        self.client_id = read(settings, "SPOTIFY_CLIENT_ID")
        self.client_secret = read(settings, "SPOTIFY_CLIENT_SECRET")
        self.scope = read(settings, "SPOTIFY_SCOPE")
        self.secret_keys = (*split(read(settings, "SECRET_KEY_FALLBACKS")), read(settings, "SECRET_KEY"))
        """Oldest first, as itsdangerous expects them: the last one signs, all of them verify."""
        self.users_table = read(settings, "USERS_TABLE")
        self.tokens_kms_alias = read(settings, "TOKENS_KMS_ALIAS")
        """The KMS key that encrypts kept tokens, by its alias; empty where none are kept."""
        self.accounts_url = read(settings, "SPOTIFY_ACCOUNTS_URL")
        self.api_url = read(settings, "SPOTIFY_API_URL")
        self.simulator = Settings(settings).simulator


class Settings:
    """The settings that are supplied, complete or not. Each is parsed once."""

    def __init__(self, supplied: Mapping[str, str]) -> None:
        """`supplied` are those that are not blank, by their names."""
        self.supplied = supplied

    @cached_property
    def complete(self) -> Config:
        """All settings.

        Raises:
            ConfigurationError: naming every setting that is missing or unusable.
        """
        return Config(self.supplied)

    @cached_property
    def scope(self) -> str:
        """The scopes that a login asks for."""
        return read(self.supplied, "SPOTIFY_SCOPE")

    @cached_property
    def keeps_access(self) -> bool:
        """Whether a login keeps access to the user's account."""
        return bool(read(self.supplied, "TOKENS_KMS_ALIAS"))

    @cached_property
    def own_address(self) -> Sequence[str]:
        """Origin and base path of SPOTIFY_REDIRECT_URI; empty where the app derives its own address.

        Raises:
            ConfigurationError: it is unusable. All other faults are named with it.
        """
        uri = read(self.supplied, "SPOTIFY_REDIRECT_URI")
        parts = _REDIRECT_URI.fullmatch(uri)
        if uri and not parts:
            raise ConfigurationError(*faults(self.supplied))
        return parts.groups() if parts else ()

    @cached_property
    def simulator(self) -> str:
        """The origin of the simulator that SPOTIFY_API_URL names, which serves its own pictures; "" with Spotify."""
        url = read(self.supplied, "SPOTIFY_API_URL")
        return url if _SIMULATOR.fullmatch(url) else ""

    def frontends(self, own_origin: str) -> Sequence[str]:
        """The origins of FRONTEND_ORIGINS.

        Raises:
            ConfigurationError: they are not usable together with the app's own. All other faults are named with it.
        """
        listed = read(self.supplied, "FRONTEND_ORIGINS")
        if not are_usable(listed, own_origin):
            raise ConfigurationError(*sorted({*faults(self.supplied), "FRONTEND_ORIGINS"}))
        return split(listed)

    def secret(self, name: str) -> str:
        """A secret of the site, which `SECRETS` in its brand.py names.

        Raises:
            ConfigurationError: it is missing.
        """
        if name not in self.supplied:
            raise ConfigurationError(name)
        return self.supplied[name]


def faults(settings: Mapping[str, str]) -> list[str]:
    """The names of all settings that are missing or unusable, sorted."""
    wrong = {name for name in NAMES if not _CHECKS[name](read(settings, name))}
    wrong |= {name for name in ENDPOINTS if not _ENDPOINT.fullmatch(settings.get(name, ""))}
    key_id, key = CREDENTIALS  # botocore ignores the second without the first
    return sorted(wrong | {key} if read(settings, key_id) and not read(settings, key) else wrong)


def are_usable(listed: str, own_origin: str) -> bool:
    """Whether a list of front ends suits the app's own origin: another origin, and on loopback the same host."""
    origins = split(listed)
    own_host = re.sub(r":\d+$", "", own_origin)
    strange = (re.sub(r":\d+$", "", origin) != own_host for origin in origins if origin.startswith("http:"))
    return all(map(_is_origin, origins)) and own_origin not in origins and not any(strange)


def read(settings: Mapping[str, str], name: str) -> str:
    """A setting without white space around it; its default, or "", where it is missing or blank.

    A scope of `NO_SCOPE` is "". The scheme and the host of a URL are lowered (RFC 3986 §6.2.2.1).
    """
    value = settings.get(name, "").strip() or _DEFAULTS.get(name, "")
    if (name, value) == ("SPOTIFY_SCOPE", NO_SCOPE):
        return ""
    if not name.endswith(("_URI", "_URL")):
        return value
    lowered = re.sub(r"^\w+://[^/]*", lambda origin: origin[0].lower(), value)
    return lowered.rstrip("/") if name.endswith("_URL") else lowered
