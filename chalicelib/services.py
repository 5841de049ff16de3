"""The composition root: makes the parts from the settings, each once and only when it is needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from chalicelib.attempts import Attempts
from chalicelib.config import NAMES, Config
from chalicelib.cookies import Jar, Seal
from chalicelib.deadline import Deadline
from chalicelib.errors import ConfigurationError
from chalicelib.sessions import Sessions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ssm import SSMClient

    from chalicelib.parameters import Parameters
    from chalicelib.spotify import Spotify
    from chalicelib.users import Users


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


@lru_cache(maxsize=1)
def _spotify(config: Config) -> Spotify:
    from chalicelib.spotify import Spotify

    return Spotify(config.client_id, config.client_secret, config.accounts_url, config.api_url)


@lru_cache(maxsize=1)
def _users(table: str) -> Users:
    import boto3
    from botocore.config import Config as ClientConfig
    from botocore.exceptions import NoRegionError

    from chalicelib.users import CONNECT_SECONDS, READ_SECONDS, Users

    once = ClientConfig(
        connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 1}
    )
    logging.getLogger("botocore").setLevel(logging.INFO)  # at debug level it quotes what is stored
    try:
        client: DynamoDBClient = boto3.client("dynamodb", config=once)
    except NoRegionError:
        raise ConfigurationError("AWS_DEFAULT_REGION") from None
    return Users(client, table)


@lru_cache(maxsize=1)
def _parameters(path: str) -> Parameters:
    import boto3
    from botocore.config import Config as ClientConfig

    from chalicelib.parameters import Parameters

    def client() -> SSMClient:
        patient = ClientConfig(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3})
        return boto3.client("ssm", config=patient)

    return Parameters(client, path)
