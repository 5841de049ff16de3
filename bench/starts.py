"""Cold starts of several functions in turn: the initialization, and the wait until the first response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bench import events
from bench.figures import Samples, noisy, progress, settled
from bench.runner import Bench, Subject
from tests.support.runtime import Function

ROUNDS = 7
"""Starts of each function for each route."""


@dataclass
class Starts:
    """The starts of one function with the same first request. Times in milliseconds."""

    init_cpu: Samples = field(default_factory=Samples)
    init_wall: Samples = field(default_factory=Samples)
    wait: Samples = field(default_factory=Samples)
    """Empty if requests could not be limited to a share of a core."""

    @property
    def spread(self) -> float:
        """The largest spread of the three."""
        return max(self.init_cpu.spread, self.init_wall.spread, self.wait.spread)


Group = dict[Subject, Starts]
"""The starts of all functions with the same first request. In each round, every function starts once."""


def measure(bench: Bench, subjects: Sequence[Subject], helpers: Mapping[str, Function]) -> dict[str, Group]:
    """Measure the group of each route. `helpers`, by the name of their app, prepare requests such as a callback.

    If a group is still noisy after its repetition, the machine is not quiet, and no other group is repeated.
    """
    groups: dict[str, Group] = {}
    for route in events.PREPARED if bench.memory_mb else ["/"]:
        repeats = not any(map(noisy, groups.values()))
        groups[route] = settled(partial(_group, bench, subjects, helpers, route), repeats=repeats)
    return groups


def _group(bench: Bench, subjects: Sequence[Subject], helpers: Mapping[str, Function], route: str) -> Group:
    group: Group = {subject: Starts() for subject in subjects}
    for number in range(ROUNDS):
        for subject, starts in group.items():
            progress(f"cold starts for {route}, round {number + 1} of {ROUNDS}: {subject}")
            helper = helpers.get(subject.package.app)
            request = events.PREPARED[route](bench.visitor(helper)) if helper else events.FIRST
            _start(bench, subject, request, starts)
    progress()
    return group


def _start(bench: Bench, subject: Subject, request: events.Event, starts: Starts) -> None:
    with bench.start(subject) as started:
        starts.init_cpu.append(started.init_cpu_seconds * 1000)
        starts.init_wall.append(started.init_seconds * 1000)
        if bench.memory_mb:
            with bench.limited(started):
                bench.send(started, request)
            starts.wait.append((started.init_seconds + started.answer_seconds) * 1000)


def initializations(groups: Mapping[str, Group], subject: Subject) -> Starts:
    """The initializations of a function in all groups."""
    found = Starts()
    for group in groups.values():
        found.init_cpu.extend(group[subject].init_cpu)
        found.init_wall.extend(group[subject].init_wall)
    return found


def worst(groups: Mapping[str, Group], subject: Subject) -> float:
    """The longest wait of a function, in milliseconds: the largest of the medians."""
    return max(group[subject].wait.median for group in groups.values())
