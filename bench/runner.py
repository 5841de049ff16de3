"""Runs packages as Lambda does, with an emulated AWS and a simulated Spotify."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench import events, fork, share
from bench.packages import Package, Packages
from tests.support import tls
from tests.support.counted import cloud
from tests.support.runtime import PYTHON, Function, FunctionVisitor, function
from tests.support.world import SECRET_KEY


@dataclass(frozen=True)
class Subject:
    """A package that calls Spotify and AWS over plain HTTP, or over TLS."""

    package: Package
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.package.name}, TLS" if self.tls else self.package.name


class Bench:
    """Starts functions, and gives requests the share of a core that comes with `memory_mb`."""

    def __init__(self, folder: Path, memory_mb: int) -> None:
        """`memory_mb`: 0 if this machine cannot limit a process."""
        self.memory_mb = memory_mb
        self.cloud = cloud(SECRET_KEY, fork.ALIAS)
        self._logs = (folder / f"{number}.log" for number in count())
        self._tls = tls.serve(self.cloud, folder / "tls")
        self.packages = Packages(folder, self.cloud, self._tls)

    @contextlib.contextmanager
    def start(self, subject: Subject, python: Path = PYTHON, **environment: str) -> Iterator[Function]:
        """Start a function."""
        variables = {**subject.package.environment, **environment}
        if subject.tls:
            variables = self._tls.environment(variables)
        with function(subject.package.task, variables, next(self._logs), python=python) as started:
            yield started

    @contextlib.contextmanager
    def limited(self, started: Function) -> Iterator[None]:
        """Limit a function to its share of a core."""
        with share.limited(started.process.pid, self.memory_mb):
            yield

    def visitor(self, started: Function) -> FunctionVisitor:
        """A visitor of a function, with a new browser."""
        return FunctionVisitor(function=started, spotify=self.cloud.spotify_url)

    @staticmethod
    def send(started: Function, request: events.Event) -> int:
        """Send a request; returns its status."""
        return passed(started, int(started.invoke(request)["statusCode"]))


def passed(started: Function, status: int) -> int:
    """Return a status, unless it is that of an error page, with which the figures would be meaningless."""
    if status >= 400:
        sys.exit(f"The response was {status}. The log of the function:\n\n{started.log}")
    return status
