"""The composition root: makes the parts from the settings, each once and only when it is needed."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from chalicelib.attempts import Attempts
from chalicelib.config import EVERY_SCOPE, NAMES, Config
from chalicelib.cookies import Jar, Seal
from chalicelib.deadline import Deadline
from chalicelib.errors import ConfigurationError
from chalicelib.request import Request
from chalicelib.sessions import Sessions, User

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ssm import SSMClient

    from chalicelib.parameters import Parameters
    from chalicelib.spotify import Spotify
    from chalicelib.users import Users


def prepare() -> None:
    """On Lambda, make every part before the first visitor comes; elsewhere, nothing.

    Lambda gives the initialization a whole core, and a request only what its memory buys of one. What is
    wrong with the settings is said to the visitor who needs them.
    """
    if on_lambda():
        gc.disable()  # what is made here stays: looking for garbage in it is a tenth of the time
        with suppress(ConfigurationError):
            spotify()
            users()
        gc.freeze()
        gc.enable()


def settings() -> Mapping[str, str]:
    """The environment and, on Lambda, the parameters for what the environment does not supply.

    Raises:
        ConfigurationError: there are parameters and they cannot be read.
    """
    supplied = {name: os.environ[name] for name in NAMES if os.environ.get(name, "").strip()}
    path = os.environ.get("PARAMETER_PATH", "")
    if not (path and on_lambda()):
        return supplied
    stored = _parameters(path).values()
    return {**{name: stored[name] for name in NAMES if name in stored}, **supplied}


def redirect_uri() -> str:
    """The setting that overrides the derived redirect URI, or ""."""
    return settings().get("SPOTIFY_REDIRECT_URI", "").strip()


def scope() -> str:
    """The scopes that a login asks for, whether or not the settings are complete."""
    return settings().get("SPOTIFY_SCOPE", "").strip() or EVERY_SCOPE


def on_lambda() -> bool:
    """Whether this is Lambda: its runtime sets the name of the function."""
    return bool(os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))


def config() -> Config:
    """The settings, complete.

    Raises:
        ConfigurationError: naming every setting at fault.
    """
    return Config.from_mapping(settings())


def spotify() -> Spotify:
    """The client of Spotify, with its connections."""
    return _spotify(config())


def users() -> Users:
    """The users table."""
    return _users(config().users_table)


def attempts(jar: Jar) -> Attempts:
    """The login attempts of the browser whose cookies these are."""
    return Attempts(jar, Seal(Attempts.PURPOSE, config().secret_keys))


def sessions(jar: Jar, deadline: Deadline) -> Sessions:
    """The session of the browser whose cookies these are. Where it has none, nothing need be configured."""
    return Sessions(jar, lambda: Seal(Sessions.PURPOSE, config().secret_keys), users, deadline)


def current_user(request: Request) -> User | None:
    """Who is logged in, or None.

    Raises:
        UsersUnavailable: the users table does not answer.
    """
    return sessions(request.jar, request.deadline).current_user()


@lru_cache(maxsize=1)
def _spotify(config: Config) -> Spotify:
    from chalicelib.spotify import Spotify

    return Spotify(config.client_id, config.client_secret, config.accounts_url, config.api_url)


@lru_cache(maxsize=1)
def _users(table: str) -> Users:
    from chalicelib.users import CONNECT_SECONDS, READ_SECONDS, Users

    client: DynamoDBClient = _client("dynamodb", CONNECT_SECONDS, READ_SECONDS, tries=1)
    return Users(client, table)


@lru_cache(maxsize=1)
def _parameters(path: str) -> Parameters:
    from chalicelib.parameters import CONNECT_SECONDS, READ_SECONDS, TRIES, Parameters

    def client() -> SSMClient:
        ssm: SSMClient = _client("ssm", CONNECT_SECONDS, READ_SECONDS, tries=TRIES)
        return ssm

    return Parameters(client, path)


_making = threading.Lock()
"""botocore's sessions are not made for threads; its clients are."""


def _client(service: str, connect_seconds: float, read_seconds: float, tries: int) -> Any:
    from botocore.config import Config as ClientConfig
    from botocore.exceptions import NoRegionError

    logging.getLogger("botocore").setLevel(logging.WARNING)  # at debug level it quotes what is stored
    config = ClientConfig(
        connect_timeout=connect_seconds, read_timeout=read_seconds, retries={"total_max_attempts": tries}
    )
    with _making:
        try:
            return _session().create_client(service, config=config)
        except NoRegionError:
            raise ConfigurationError("AWS_DEFAULT_REGION") from None


@lru_cache(maxsize=1)
def _session() -> Session:
    from botocore.session import Session

    return Session()
