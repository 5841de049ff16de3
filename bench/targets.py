"""The targets, and whether this run meets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.logins import COLD, WARM, Logins
from bench.markdown import table
from bench.packages import Packages
from bench.runner import Subject
from bench.starts import Group, initializations, worst

MEMORY_MB = 512
"""The memory size of .chalice/config.json, which the targets for waits apply to."""


@dataclass(frozen=True)
class Target:
    """A figure and its limit."""

    what: str
    value: float
    limit: float
    unit: str = ""
    is_least: bool = False
    """Whether the limit is the least that the value may be, not the most."""

    @property
    def is_met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value >= self.limit if self.is_least else self.value <= self.limit

    @property
    def row(self) -> list[str]:
        """The row of the table."""
        bound, digits = "at least" if self.is_least else "at most", 0 if self.unit else 2
        measured = f"{self.value:.{digits}f}{self.unit}"
        return [self.what, f"{bound} {self.limit:g}{self.unit}", measured, "met" if self.is_met else "missed"]


def of_starts(packages: Packages, groups: Mapping[str, Group]) -> list[Target]:
    """The targets for the initialization."""
    empty, precompiled, ours, over_tls = (
        initializations(groups, subject).init_cpu.median
        for subject in (
            Subject(packages.empty),
            Subject(packages.compiled),
            Subject(packages.ours),
            Subject(packages.ours, tls=True),
        )
    )
    return [
        Target("initialization, CPU, relative to plain Chalice precompiled", ours / precompiled, 0.65),
        Target("initialization, CPU, relative to the empty function", ours / empty, 4.8),
        Target("initialization, CPU that TLS adds", over_tls - ours, 15, " ms"),
    ]


def of_waits(
    packages: Packages, groups: Mapping[str, Group], logins: Mapping[tuple[Subject, str], Logins]
) -> list[Target]:
    """The targets for what visitors wait, over TLS with `MEMORY_MB`."""
    ours, certifi = (Subject(package, tls=True) for package in (packages.ours, packages.certifi))
    saved = worst(groups, certifi) - worst(groups, ours)
    return [
        Target(
            "worst cold wait over TLS, saved by the roots in the package", saved, 60, " ms", is_least=True
        ),
        Target("a warm login's part that is not Spotify's", logins[ours, WARM].share * 100, 12, " %"),
        Target("a cold login's part that is not Spotify's", logins[ours, COLD].own.median, 300, " ms"),
    ]


def rows(targets: list[Target]) -> str:
    """The table of targets."""
    return table(["target", "limit", "measured", ""], [target.row for target in targets])
