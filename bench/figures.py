"""Repeated measurements: their median, their spread, and when to repeat them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from statistics import median, quantiles
from typing import Protocol, TypeVar

QUIET = 0.15
"""The largest spread of a figure on a quiet machine."""


class Samples(list[float]):
    """The repetitions of one measurement."""

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self)

    @property
    def spread(self) -> float:
        """The interquartile range, relative to the median; 0 without samples."""
        if not self:
            return 0.0
        low, middle, high = quantiles(self, n=4, method="inclusive")
        return (high - low) / middle

    def text(self, digits: int = 0) -> str:
        """The median and the spread; "" without samples."""
        return f"{self.median:.{digits}f} ({self.spread:.0%})" if self else ""


class Spread(Protocol):
    """Samples, or an object with several of them, whose largest spread counts."""

    @property
    def spread(self) -> float:
        """The spread, relative to the median."""


Key = TypeVar("Key", bound=Hashable)
Figure = TypeVar("Figure", bound=Spread)


def noisy(figures: Mapping[Key, Figure]) -> list[Key]:
    """The keys of the figures whose spread is larger than `QUIET`."""
    return [key for key, figure in figures.items() if figure.spread > QUIET]


def settled(measure: Callable[[], dict[Key, Figure]], *, repeats: bool = True) -> dict[Key, Figure]:
    """Measure figures that are compared with each other. If one is noisy and `repeats`, measure all again, once."""
    figures = measure()
    return measure() if repeats and noisy(figures) else figures


def progress(what: str = "") -> None:
    """Show in a terminal what is being measured, in place of the line before."""
    if sys.stderr.isatty():
        print(f"\r{what:99}", end="" if what else "\r", file=sys.stderr, flush=True)
