"""A stage's secrets in SSM Parameter Store, and the rotation of the key that signs cookies.

With Chalice alone, they would be plain text in a file and in the function's environment variables.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from chalicelib.config import split
from deploy.account import Account
from deploy.resource import Attributes, Resource
from deploy.stage import Problem, Stage, Stop

KEY, FALLBACKS = "SECRET_KEY", "SECRET_KEY_FALLBACKS"
GIVEN = (
    "SPOTIFY_CLIENT_ID",
    "SPOTIFY_CLIENT_SECRET",
    "SPOTIFY_REDIRECT_URI",
    "SPOTIFY_SCOPE",
    "FRONTEND_ORIGINS",
)
"""The settings that `make deploy` stores if its environment has them. The first two must be stored."""

REQUIRED = (*GIVEN[:2], KEY)

ENCRYPTED = "SecureString"

KNOWN_EVERYWHERE = 370.0
"""Seconds until every instance has read a new value, even one whose first attempt fails.

An instance reads again after five minutes, and retries a failed read after 30 seconds.
"""

MOST_FALLBACKS = 8


class Secrets(Resource):
    """The parameters below a stage's path."""

    KIND, STEP = "Parameters", "settings"

    def __init__(self, stage: Stage, account: Account) -> None:
        super().__init__(stage.parameter_path, "deploy/secrets.py", dict.fromkeys(REQUIRED, ENCRYPTED))
        self._stage = stage.name
        self._ssm = account.client("ssm")

    def values(self) -> dict[str, str]:
        """The values of all parameters, by the last part of their names."""
        return {name: parameter["Value"] for name, parameter in self._read().items()}

    def written(self, name: str) -> datetime:
        """The time of the last change of a parameter."""
        return cast(datetime, self._read()[name]["LastModifiedDate"])

    def write(self, name: str, value: str) -> None:
        """Store a parameter, encrypted. Every instance uses it within `KNOWN_EVERYWHERE` seconds."""
        self._ssm.put_parameter(Name=f"{self.name}/{name}", Value=value, Type=ENCRYPTED, Overwrite=True)

    def store(self, given: Mapping[str, str]) -> Iterator[str]:
        """Store values that are new or changed, and delete those that are empty; yields the names of both."""
        stored = self._read()
        for name, value in given.items():
            if not value and name in stored:
                self._delete(name)
                yield name
            elif value and (name not in stored or stored[name]["Value"] != value):
                self._encrypt(name, value, stored)
                yield name

    def read(self) -> Attributes | None:
        """The types of the required parameters, and of others that are not encrypted."""
        types = {name: parameter["Type"] for name, parameter in self._read().items()}
        return {name: of for name, of in types.items() if name in REQUIRED or of != ENCRYPTED} or None

    def create(self) -> None:
        """Create a signing key. Only the owner knows the other required ones."""
        self.write(KEY, new_key())

    def change(self, names: Iterable[str]) -> None:
        """Create a signing key if there is none, and encrypt what is not."""
        stored = self._read()
        for name in names:
            if name in stored:
                self._encrypt(name, stored[name]["Value"], stored)
            elif name == KEY:
                self.create()

    def existing(self) -> list[str]:
        """All parameters, such as `Parameter /spotify-login/prod/SECRET_KEY`."""
        return [f"Parameter {self.name}/{name}" for name in self.values()]

    def delete(self) -> None:
        """Delete all parameters."""
        for name in self.values():
            self._delete(name)

    def _encrypt(self, name: str, value: str, stored: Mapping[str, Any]) -> None:
        """Store a parameter.

        Parameter Store cannot change the type of a parameter, so one that is not encrypted is deleted first:
        https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
        """
        if name in stored and stored[name]["Type"] != ENCRYPTED:
            self._delete(name)
        self.write(name, value)

    def _delete(self, name: str) -> None:
        with suppress(self._ssm.exceptions.ParameterNotFound):
            self._ssm.delete_parameter(Name=f"{self.name}/{name}")

    def _sentence(self, name: str, found: object, wanted: object) -> str:  # noqa: ARG002 - always encrypted
        if found:
            return f"{self.name}/{name} is a {found}, which is not encrypted"
        return f"{self.name}/{name} does not exist, so users cannot log in"

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
        if split(self.values().get(FALLBACKS, "")) != fallbacks:
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
        self._delete(FALLBACKS)
        self.write(KEY, new_key())

    def _existing_key(self) -> dict[str, str]:
        stored = self.values()
        if KEY not in stored:
            what = f"{self.name}/{KEY} does not exist in this region and account."
            remedy = "Check both, and what is deployed there:"
            raise Stop(Problem(what, remedy, f"make doctor STAGE={self._stage}"))
        return stored

    def _read(self) -> dict[str, Any]:
        pages = self._ssm.get_paginator("get_parameters_by_path").paginate(
            Path=self.name, WithDecryption=True
        )
        return {found["Name"].rpartition("/")[2]: found for page in pages for found in page["Parameters"]}

    def _finish(self, fallbacks: list[str]) -> None:
        self.write(FALLBACKS, ",".join(fallbacks[1:]))


def new_key() -> str:
    """A random key: 48 bytes, as 64 characters."""
    return secrets.token_urlsafe(48)
