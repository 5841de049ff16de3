"""The composition root: builds the parts from the settings, each once and only when it is needed."""

import gc
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from chalicelib import config as settings_of
from chalicelib import failure
from chalicelib.claims import Claims
from chalicelib.config import AWS_NAMES, NAMES, STORABLE, Config
from chalicelib.cookies import Seal
from chalicelib.deadline import ENCRYPTION_SECONDS, STORAGE_SECONDS, Deadline
from chalicelib.errors import ConfigurationError, KeyUnavailable, LoginLoops, LoginRequired
from chalicelib.login import Attempts, begun_at
from chalicelib.request import Request
from chalicelib.sessions import Sessions, User
from chalicelib.site.brand import SECRETS

if TYPE_CHECKING:
    from chalicelib.parameters import Parameters
    from chalicelib.profile import Profile
    from chalicelib.spotify import Spotify, Tokens
    from chalicelib.table import Table
    from chalicelib.tokens import Parts
    from chalicelib.transport import Transport
    from chalicelib.users import Users
    from chalicelib.vault import Memory, Vault


def prepare() -> None:
    """On Lambda, build every part before the first visitor comes; elsewhere, nothing.

    Lambda gives the initialization a whole core, and a request only a share set by its memory.
    Configuration errors surface on the first request that needs the setting.
    """
    if on_lambda():
        gc.disable()  # what is built here stays: collecting garbage in between takes a tenth of the time
        with suppress(ConfigurationError):
            config = _config(frozenset(settings(Deadline()).items()))
            _spotify(config, Deadline())
            _users(config, Deadline())
            _client("dynamodb", config.users_table)
            if config.tokens_kms_alias:
                from chalicelib import tokens  # noqa: F401 - loaded now, not while a visitor waits

                _client("kms", config.users_table)
        gc.freeze()
        gc.enable()


def on_lambda() -> bool:
    """Whether this is Lambda, whose runtime sets the name of the function."""
    return bool(os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))


def settings(deadline: Deadline) -> Mapping[str, str]:
    """The environment and, on Lambda, the parameters for what the environment does not supply.

    Raises:
        ConfigurationError: there are parameters, and they could not be read.
    """
    supplied = {
        name: os.environ[name] for name in (*NAMES, *AWS_NAMES, *SECRETS) if os.environ.get(name, "").strip()
    }
    path = os.environ.get("PARAMETER_PATH", "")
    if not (path and on_lambda()):
        return supplied
    stored = _parameters(path).values(deadline)
    return {**{name: stored[name] for name in (*STORABLE, *SECRETS) if name in stored}, **supplied}


def scope(request: Request) -> str:
    """The scopes that a login asks for, whether or not the settings are complete."""
    return settings_of.read(request.settings, "SPOTIFY_SCOPE")


def keeps_access(request: Request) -> bool:
    """Whether a login keeps access to the user's account, whether or not the settings are complete."""
    return bool(settings_of.read(request.settings, "TOKENS_KMS_ALIAS"))


def config(request: Request) -> Config:
    """The settings, complete.

    Raises:
        ConfigurationError: naming every setting at fault.
    """
    return _config(frozenset(request.settings.items()))


def spotify(request: Request) -> "Spotify":
    """The client of Spotify, which leaves enough of the request's time to store a login."""
    return _spotify(config(request), request.deadline)


def attempts(request: Request) -> Attempts:
    """The login attempts of the browser that sent the request."""
    return Attempts(request.jar, Seal(Attempts.PURPOSE, config(request).secret_keys))


def failure_seal(request: Request) -> Seal:
    """Signs the failures of callbacks."""
    return Seal(failure.PURPOSE, config(request).secret_keys)


def log_in(request: Request, profile: "Profile", tokens: "Tokens") -> tuple[Claims, str]:
    """Open a session and, with TOKENS_KMS_ALIAS, keep the tokens. Returns the session, and a note for the log.

    A login does not fail because its tokens could not be kept.

    Raises:
        UsersUnavailable: the users table did not respond; the user may have been stored.
    """
    complete = config(request)
    if not complete.tokens_kms_alias:
        return sessions(request).open(profile)
    vault = _vault(complete, request.deadline)
    try:
        sealed = vault.seal(profile.account_key, tokens)
    except (KeyUnavailable, ConfigurationError) as failure:
        session, note = sessions(request).open(profile, None)
        return session, f"access_not_kept {failure.detail} {note}".rstrip()
    opened = sessions(request).open(profile, sealed)
    vault.remember(profile.account_key, sealed, tokens)
    return opened


def log_out(request: Request) -> Claims | None:
    """Erase the user, clear the cookie, forget the access token. Returns the session, if it was live until now.

    Raises:
        UsersUnavailable: the users table did not respond, though it may have erased the user; the cookie stays.
    """
    browser = sessions(request)
    claimed = browser.claimed()
    try:
        return browser.close()
    finally:
        if claimed and config(request).tokens_kms_alias:
            _memory().forget(claimed.account_key)


def sessions(request: Request) -> Sessions:
    """The session of the browser that sent the request. Without a cookie, no setting is needed."""
    return Sessions(
        request.jar,
        lambda: Seal(Sessions.PURPOSE, config(request).secret_keys),
        lambda: _users(config(request), request.deadline),
        request.deadline,
    )


def current_user(request: Request) -> User | None:
    """The logged-in user, or None.

    Raises:
        UsersUnavailable: the users table did not respond.
    """
    return sessions(request).current_user()


def has_logged_in(request: Request, *, since: str) -> bool:
    """Whether the user is logged in by a login that finished after the attempt with this state began.

    Raises:
        UsersUnavailable: the users table did not respond.
    """
    claimed = sessions(request).claimed()
    newer = claimed is not None and claimed.login_time >= begun_at(since)
    return newer and current_user(request) is not None


def require_user(request: Request) -> User:
    """The logged-in user. A visitor who is not logged in is sent to log in, and returns to this page.

    Raises:
        LoginRequired: no one is logged in. A navigation is redirected to /login; anything else gets this error.
        LoginLoops: two recent logins returned here without a session.
        UsersUnavailable: the users table did not respond.
    """
    user = current_user(request)
    if user is None:
        raise LoginLoops if attempts(request).loops(request.path_and_query) else LoginRequired
    return user


def access_token(user: User, scope: str = "", *, rejected: str = "") -> str:
    """An access token of a logged-in user, for calls to Spotify's Web API, valid for a minute or more.

    `scope` is one that the call needs. `rejected` is a token that Spotify has rejected with 401: it is refreshed,
    at most once for each request. If the user has withdrawn consent, that ends the access.

    Raises:
        AccessEnded: the user must log in again to give access, or has not granted the scope.
        AccessDelayed: the token must be refreshed, but that failed, or another request is still doing it.
        LoginRequired: the user has logged out in the meantime.
        ConfigurationError: TOKENS_KMS_ALIAS is not set, or no login asks for the scope.
        KeyUnavailable, UsersUnavailable, ClientRefused: KMS, DynamoDB or the client secret failed.
    """
    complete = _config(frozenset(settings(user.deadline).items()))
    if not complete.tokens_kms_alias:
        raise ConfigurationError("TOKENS_KMS_ALIAS")
    if scope and scope not in complete.scope.split():
        raise ConfigurationError("SPOTIFY_SCOPE")
    from chalicelib.tokens import KeptAccess

    return KeptAccess(partial(_parts, complete), user, scope, rejected).token()


def _parts(config: Config, deadline: Deadline) -> "Parts":
    from chalicelib.tokens import Parts

    return Parts(_table(config, deadline), _vault(config, deadline), _spotify(config, deadline))


def _spotify(config: Config, deadline: Deadline) -> "Spotify":
    """A client of Spotify, which leaves enough of the time to encrypt and store what it returns."""
    from chalicelib.spotify import Spotify

    reserved = STORAGE_SECONDS + (ENCRYPTION_SECONDS if config.tokens_kms_alias else 0)
    return Spotify(config, _transport(), deadline.within(deadline.left() - reserved))


def _users(config: Config, deadline: Deadline) -> "Users":
    from chalicelib.users import Users

    client = partial(_client, "dynamodb", config.users_table)
    return Users(client, config.users_table, deadline, config.simulator)


def _table(config: Config, deadline: Deadline) -> "Table":
    from chalicelib.table import Table

    return Table(partial(_client, "dynamodb", config.users_table), config.users_table, deadline)


def _vault(config: Config, deadline: Deadline) -> "Vault":
    """The encryption of tokens, which leaves enough of the time to store them."""
    from chalicelib.vault import Vault

    client = partial(_client, "kms", config.users_table)
    return Vault(client, config, deadline.within(deadline.left() - STORAGE_SECONDS), _memory())


@lru_cache(maxsize=1)
def _memory() -> "Memory":
    from chalicelib.vault import Memory

    return Memory()


@lru_cache(maxsize=1)
def _config(settings: frozenset[tuple[str, str]]) -> Config:
    return Config(dict(settings))


@lru_cache(maxsize=1)
def _transport() -> "Transport":
    from chalicelib.transport import Transport

    return Transport()


@lru_cache(maxsize=2)
def _client(service: str, _table: str) -> Any:
    from chalicelib import aws

    return aws.client(service)


@lru_cache(maxsize=1)
def _parameters(path: str) -> "Parameters":
    from chalicelib.parameters import Parameters

    return Parameters(path)
