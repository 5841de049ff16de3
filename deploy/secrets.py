"""A stage's secrets in SSM Parameter Store, and how the key is changed without anybody noticing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from chalicelib.config import split_keys
from deploy.account import Account, code
from deploy.stage import Problem, Stage, Stop

KEY, FALLBACKS = "SECRET_KEY", "SECRET_KEY_FALLBACKS"
GIVEN = ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET", "SPOTIFY_REDIRECT_URI", "SPOTIFY_SCOPE")
"""What is taken from the environment of `make deploy`, where it stands there."""

KNOWN_EVERYWHERE = 370.0
"""Seconds until every instance knows what was written, also one whose first read of it fails.

An instance reads again after five minutes, and a failed read again after 30 seconds.
"""

MOST_FALLBACKS = 8


class Secret(NamedTuple):
    """A parameter's value, its type, and when it was written."""

    value: str
    type: str
    written: datetime


class Secrets:
    """The parameters below one stage's path."""

    def __init__(self, stage: Stage, account: Account) -> None:
        self._path = stage.parameter_path
        self._stage = stage.name
        self._ssm = account.client("ssm")

    def read(self) -> dict[str, Secret]:
        """All of them, by the last part of their names."""
        pages = self._ssm.get_paginator("get_parameters_by_path").paginate(
            Path=self._path, WithDecryption=True
        )
        return {
            parameter["Name"].rpartition("/")[2]: Secret(
                parameter["Value"], parameter["Type"], parameter["LastModifiedDate"]
            )
            for page in pages
            for parameter in page["Parameters"]
        }

    def write(self, name: str, value: str) -> None:
        """Write one, encrypted. It is in force everywhere within five minutes."""
        self._ssm.put_parameter(Name=f"{self._path}/{name}", Value=value, Type="SecureString", Overwrite=True)

    def delete(self, name: str) -> None:
        """Delete one, if it is there."""
        try:
            self._ssm.delete_parameter(Name=f"{self._path}/{name}")
        except ClientError as failure:
            if code(failure) != "ParameterNotFound":
                raise

    def delete_all(self) -> None:
        """Delete every one."""
        for name in self.read():
            self.delete(name)

    def store(self, given: dict[str, str]) -> Iterator[str]:
        """Write what is given and not there yet, and a key if there is none; yields the names written."""
        stored = self.read()
        wanted = given if KEY in stored else {**given, KEY: new_key()}
        for name, value in wanted.items():
            if name not in stored or stored[name].value != value:
                self.write(name, value)
                yield name

    def rotate(self, say: Callable[[str], Any] = print, sleep: Callable[[float], Any] = time.sleep) -> None:
        """Make a new key the one that signs, and keep the old one as a fallback. Nobody is logged out.

        The new key is first a fallback, and signs only when every instance knows it. What has been done
        stands in the parameters themselves: broken off at any point, the next call goes on from there.

        Raises:
            Stop: there is no key yet.
        """
        stored = self.read()
        if KEY not in stored:
            raise Stop(
                Problem(
                    f"{self._path}/{KEY} is not there.",
                    f"make deploy STAGE={self._stage} makes the first one.",
                )
            )
        key = stored[KEY].value
        fallbacks = split_keys(stored[FALLBACKS].value) if FALLBACKS in stored else []
        if fallbacks[:1] == [key]:  # broken off before the last step
            self._finish(fallbacks)
            say("The rotation that was broken off is complete.")
            return
        if fallbacks[1:2] == [key]:  # broken off while waiting
            since = (datetime.now(UTC) - stored[FALLBACKS].written).total_seconds()
            say("Going on with the rotation that was broken off.")
        else:
            fallbacks = [new_key(), key, *fallbacks][: MOST_FALLBACKS + 1]
            self.write(FALLBACKS, ",".join(fallbacks))
            since = 0.0
        left = max(0.0, KNOWN_EVERYWHERE - since)
        if left:
            say(
                f"A new key is accepted. In {left:.0f} s, when every instance knows it, it will sign; break off if you like."
            )
            sleep(left)
        self.write(KEY, fallbacks[0])
        self._finish(fallbacks)
        say("The new key signs. The old one is still accepted, so nobody is logged out.")

    def end_sessions(self) -> None:
        """Make a new key, and accept no other: everybody is logged out, within five minutes."""
        self.delete(FALLBACKS)
        self.write(KEY, new_key())

    def _finish(self, fallbacks: list[str]) -> None:
        self.write(FALLBACKS, ",".join(fallbacks[1:]))


def new_key() -> str:
    """48 random bytes, as 64 characters."""
    return secrets.token_urlsafe(48)
