"""What the requests of one process share: parsed settings, AWS clients, connections to Spotify, access tokens."""

import gc
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from chalicelib.claims import Claims
from chalicelib.config import AWS_NAMES, NAMES, STORABLE, Config, Settings
from chalicelib.deadline import ENCRYPTION_SECONDS, STORAGE_SECONDS, Deadline
from chalicelib.errors import ConfigurationError
from chalicelib.site.brand import SECRETS

if TYPE_CHECKING:
    from chalicelib.aws import Clients
    from chalicelib.parameters import Parameters
    from chalicelib.spotify import Spotify
    from chalicelib.tokens import Parts
    from chalicelib.transport import Transport
    from chalicelib.users import Users
    from chalicelib.vault import Memory, Vault


class Process:
    """Builds each part when it is first needed. `web.App` has one instance; tests create others."""

    def __init__(self) -> None:
        self._settings = Settings({})
        self._clients: tuple[list[str | None], Clients] | None = None
        self._parameters: tuple[str, Parameters] | None = None

    def prepare(self) -> None:
        """On Lambda, build every part before the first visitor comes; elsewhere, nothing.

        Lambda gives the initialization a whole core, and a request only a share set by its memory.
        Configuration errors surface on the first request that needs the setting.
        """
        if on_lambda():
            gc.disable()  # what is built here stays: collecting garbage in between takes a tenth of the time
            with suppress(ConfigurationError):
                config = self.settings(Deadline()).complete
                self.spotify(config, Deadline())
                self.users(config, Deadline())
                self.client("dynamodb")
                if config.tokens_kms_alias:
                    from chalicelib import tokens  # noqa: F401 - loaded now, not while a visitor waits

                    self.client("kms")
            gc.freeze()
            gc.enable()

    def check(self) -> None:
        """Read the parameters, and use the table and the key as logins and logouts do, without changing anything.

        Raises:
            LoginError: one of them failed.
        """
        deadline = Deadline()
        config = self.settings(deadline).complete
        users, no_session = self.users(config, deadline), Claims("-", secrets.token_urlsafe(16), "-", 0, 0)
        users.find(no_session)
        users.end(no_session)
        users.forget(no_session)
        if config.tokens_kms_alias:
            from chalicelib.spotify import Tokens

            vault = self.vault(config, deadline)
            vault.open("-", vault.seal("-", Tokens("", "", "", 0)))

    def settings(self, deadline: Deadline) -> Settings:
        """The environment and, on Lambda, the parameters for what the environment does not supply.

        Raises:
            ConfigurationError: there are parameters, and they could not be read.
        """
        supplied = self._supplied(deadline)
        known = self._settings
        if supplied != known.supplied:
            known = self._settings = Settings(supplied)
        return known

    def _supplied(self, deadline: Deadline) -> Mapping[str, str]:
        supplied = {
            name: os.environ[name]
            for name in (*NAMES, *AWS_NAMES, *SECRETS)
            if os.environ.get(name, "").strip()
        }
        path = os.environ.get("PARAMETER_PATH", "")
        if not (path and on_lambda()):
            return supplied
        if self._parameters is None or self._parameters[0] != path:
            from chalicelib.parameters import Parameters

            self._parameters = path, Parameters(path, partial(self.client, "ssm"))
        stored = self._parameters[1].values(deadline)
        return {**{name: stored[name] for name in (*STORABLE, *SECRETS) if name in stored}, **supplied}

    def client(self, service: str) -> Any:
        """The client of an AWS service, for the endpoints and credentials in the environment.

        Raises:
            ConfigurationError: something in AWS's variables or files is missing or unusable.
        """
        environment = [os.environ.get(name) for name in AWS_NAMES]
        known = self._clients
        if known is None or known[0] != environment:
            from chalicelib.aws import Clients

            known = self._clients = environment, Clients()
        return known[1].get(service)

    def spotify(self, config: Config, deadline: Deadline) -> "Spotify":
        """A client of Spotify, which leaves enough of the time to encrypt and store what it returns."""
        from chalicelib.spotify import Spotify

        reserved = STORAGE_SECONDS + (ENCRYPTION_SECONDS if config.tokens_kms_alias else 0)
        return Spotify(config, self._transport, deadline.within(deadline.left() - reserved))

    def users(self, config: Config, deadline: Deadline) -> "Users":
        """The users table."""
        from chalicelib.users import Users

        return Users(partial(self.client, "dynamodb"), config.users_table, deadline, config.simulator)

    def vault(self, config: Config, deadline: Deadline) -> "Vault":
        """The encryption of tokens, which leaves enough of the time to store them."""
        from chalicelib.vault import Vault

        within = deadline.within(deadline.left() - STORAGE_SECONDS)
        return Vault(partial(self.client, "kms"), config, within, self.memory)

    def parts(self, config: Config, deadline: Deadline) -> "Parts":
        """What a refresh of an access token calls."""
        from chalicelib.table import Table
        from chalicelib.tokens import Parts

        table = Table(partial(self.client, "dynamodb"), config.users_table, deadline)
        return Parts(table, self.vault(config, deadline), self.spotify(config, deadline))

    @cached_property
    def memory(self) -> "Memory":
        """The access tokens that this process has decrypted."""
        from chalicelib.vault import Memory

        return Memory()

    @cached_property
    def _transport(self) -> "Transport":
        from chalicelib.transport import Transport

        return Transport()


def on_lambda() -> bool:
    """Whether this is Lambda, whose runtime sets the name of the function."""
    return bool(os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))
