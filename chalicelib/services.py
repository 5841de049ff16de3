"""The composition root: builds the parts from the settings, each once and only when it is needed."""

import gc
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from chalicelib import config as settings_of
from chalicelib.config import AWS_NAMES, NAMES, Config
from chalicelib.cookies import Seal
from chalicelib.deadline import STORAGE_SECONDS, Deadline
from chalicelib.errors import ConfigurationError, LoginLoops, LoginRequired
from chalicelib.login import Attempts
from chalicelib.request import Request
from chalicelib.sessions import Sessions, User

if TYPE_CHECKING:
    from chalicelib.parameters import Parameters
    from chalicelib.spotify import Spotify
    from chalicelib.transport import Transport
    from chalicelib.users import Users


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
    supplied = {name: os.environ[name] for name in (*NAMES, *AWS_NAMES) if os.environ.get(name, "").strip()}
    path = os.environ.get("PARAMETER_PATH", "")
    if not (path and on_lambda()):
        return supplied
    stored = _parameters(path).values(deadline)
    return {**{name: stored[name] for name in NAMES if name in stored}, **supplied}


def scope(request: Request) -> str:
    """The scopes that a login asks for, whether or not the settings are complete."""
    return settings_of.read(request.settings, "SPOTIFY_SCOPE")


def config(request: Request) -> Config:
    """The settings, complete.

    Raises:
        ConfigurationError: naming every setting at fault.
    """
    return _config(frozenset(request.settings.items()))


def spotify(request: Request) -> "Spotify":
    """The client of Spotify, which leaves enough of the request's time to store a login."""
    return _spotify(config(request), request.deadline.within(request.deadline.left() - STORAGE_SECONDS))


def attempts(request: Request) -> Attempts:
    """The login attempts of the browser that sent the request."""
    return Attempts(request.jar, Seal(Attempts.PURPOSE, config(request).secret_keys))


def sessions(request: Request) -> Sessions:
    """The session of the browser that sent the request. Without a cookie, no setting is needed."""
    return Sessions(
        request.jar,
        lambda: Seal(Sessions.PURPOSE, config(request).secret_keys),
        lambda: _users(config(request), request.deadline),
    )


def current_user(request: Request) -> User | None:
    """The logged-in user, or None.

    Raises:
        UsersUnavailable: the users table did not respond.
    """
    return sessions(request).current_user()


def require_user(request: Request) -> User:
    """The logged-in user. A visitor who is not logged in is sent to log in, and returns to this page.

    Raises:
        LoginRequired: no one is logged in. A navigation is redirected to /login; anything else gets this error.
        LoginLoops: two recent logins returned here without a session.
        UsersUnavailable: the users table did not respond.
    """
    user = current_user(request)
    if user is None:
        request.return_to = request.path_and_query
        raise LoginLoops if attempts(request).loops(request.return_to) else LoginRequired
    return user


def _spotify(config: Config, deadline: Deadline) -> "Spotify":
    from chalicelib.spotify import Spotify

    return Spotify(config, _transport(tls=config.accounts_url.startswith("https:")), deadline)


def _users(config: Config, deadline: Deadline) -> "Users":
    from chalicelib.users import Users

    return Users(partial(_client, "dynamodb", config.users_table), config.users_table, deadline)


@lru_cache(maxsize=1)
def _config(settings: frozenset[tuple[str, str]]) -> Config:
    return Config(dict(settings))


@lru_cache(maxsize=1)
def _transport(*, tls: bool) -> "Transport":
    from chalicelib.transport import Transport

    return Transport(tls=tls)


@lru_cache(maxsize=1)
def _client(service: str, _table: str) -> Any:
    from chalicelib import aws

    return aws.client(service)


@lru_cache(maxsize=1)
def _parameters(path: str) -> "Parameters":
    from chalicelib.parameters import Parameters

    return Parameters(path)
