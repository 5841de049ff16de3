"""A stage's secrets in SSM Parameter Store, and the rotation of the key that signs cookies.

Chalice would put them into the function's environment variables, in plain text, from a file.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from chalicelib.config import split
from deploy.account import Account
from deploy.stage import Problem, Stage, Stop

KEY, FALLBACKS = "SECRET_KEY", "SECRET_KEY_FALLBACKS"
GIVEN = (
    "SPOTIFY_CLIENT_ID",
    "SPOTIFY_CLIENT_SECRET",
    "SPOTIFY_REDIRECT_URI",
    "SPOTIFY_SCOPE",
    "FRONTEND_ORIGINS",
)
"""The settings that `make deploy` stores if its environment has them."""

KNOWN_EVERYWHERE = 370.0
"""Seconds until every instance has read a new value, even one whose first attempt fails.

An instance reads again after five minutes, and retries a failed read after 30 seconds.
"""

MOST_FALLBACKS = 8


class Secrets:
    """The parameters below a stage's path."""

    def __init__(self, stage: Stage, account: Account) -> None:
        self._path = stage.parameter_path
        self._stage = stage.name
        self._ssm = account.client("ssm")

    def read(self) -> dict[str, str]:
        """The values of all parameters, by the last part of their names."""
        return {name: parameter["Value"] for name, parameter in self._read().items()}

    def written(self, name: str) -> datetime:
        """The time of the last change of a parameter."""
        return cast(datetime, self._read()[name]["LastModifiedDate"])

    def write(self, name: str, value: str) -> None:
        """Store a parameter, encrypted. Every instance uses it within `KNOWN_EVERYWHERE` seconds."""
        self._ssm.put_parameter(Name=f"{self._path}/{name}", Value=value, Type="SecureString", Overwrite=True)

    def existing(self) -> list[str]:
        """All parameters, such as `parameter /spotify-login/prod/SECRET_KEY`."""
        return [f"parameter {self._path}/{name}" for name in self.read()]

    def delete(self, *names: str) -> None:
        """Delete the parameters of these names, if they exist; all, if no name is given."""
        for name in names or self.read():
            with suppress(self._ssm.exceptions.ParameterNotFound):
                self._ssm.delete_parameter(Name=f"{self._path}/{name}")

    def store(self, given: dict[str, str]) -> Iterator[str]:
        """Store new and changed values, and a key if there is none; yields the names of what it stored."""
        stored = self.read()
        wanted = given if KEY in stored else {**given, KEY: new_key()}
        for name, value in wanted.items():
            if name not in stored or stored[name] != value:
                self.write(name, value)
                yield name

    def rotate(self, say: Callable[[str], Any] = print, sleep: Callable[[float], Any] = time.sleep) -> None:
        """Create a new signing key, and keep the old one as a fallback. All users stay logged in.

        The new key is a fallback at first, and signs only when every instance has read it. The parameters show
        how far a rotation got: after an interruption, the next call continues it.

        Raises:
            Stop: there is no key yet, or another command replaced the keys meanwhile.
        """
        stored = self._existing_key()
        key = stored[KEY]
        fallbacks = split(stored[FALLBACKS]) if FALLBACKS in stored else []
        if fallbacks[:1] == [key]:  # interrupted before the last step
            self._finish(fallbacks)
            say("The interrupted rotation is complete.")
            return
        if fallbacks[1:2] == [key]:  # interrupted while waiting
            since = (datetime.now(UTC) - self.written(FALLBACKS)).total_seconds()
            say("Continuing the interrupted rotation.")
        else:
            fallbacks = [new_key(), key, *fallbacks][: MOST_FALLBACKS + 1]
            self.write(FALLBACKS, ",".join(fallbacks))
            since = 0.0
        left = max(0.0, KNOWN_EVERYWHERE - since)
        if left:
            say(
                f"The new key is accepted. It will be used in {left:.0f} s, when every instance has read it.\n"
                f"You can interrupt this, and continue later:\n    make rotate-key STAGE={self._stage}"
            )
            sleep(left)
        if split(self.read().get(FALLBACKS, "")) != fallbacks:
            raise Stop(
                Problem(
                    "The keys were replaced meanwhile, so this rotation ends.",
                    "Check them:",
                    f"make doctor STAGE={self._stage}",
                )
            )
        self.write(KEY, fallbacks[0])
        self._finish(fallbacks)
        say("The new key is in use. The old key is still accepted, so all users stay logged in.")

    def end_sessions(self) -> None:
        """Replace all keys with a new one. All users are logged out within `KNOWN_EVERYWHERE` seconds."""
        self._existing_key()
        self.delete(FALLBACKS)
        self.write(KEY, new_key())

    def _existing_key(self) -> dict[str, str]:
        stored = self.read()
        if KEY not in stored:
            create = f"make deploy STAGE={self._stage}"
            raise Stop(Problem(f"{self._path}/{KEY} does not exist.", "Deploying creates it:", create))
        return stored

    def _read(self) -> dict[str, Any]:
        pages = self._ssm.get_paginator("get_parameters_by_path").paginate(
            Path=self._path, WithDecryption=True
        )
        return {found["Name"].rpartition("/")[2]: found for page in pages for found in page["Parameters"]}

    def _finish(self, fallbacks: list[str]) -> None:
        self.write(FALLBACKS, ",".join(fallbacks[1:]))


def new_key() -> str:
    """A random key: 48 bytes, as 64 characters."""
    return secrets.token_urlsafe(48)
