"""The figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.logins import LATENCY, Logins
from bench.markdown import table
from bench.packages import EMPTY, Package
from bench.runner import Subject
from bench.starts import Group, Starts, initializations
from bench.versions import VERSIONS, Initializations
from bench.warm import Requests, Warm

OVER = {False: "", True: ", over TLS"}


def initialization(
    packages: Sequence[Package], groups: Mapping[str, Group], warm: Mapping[Subject, Warm]
) -> str:
    """The initialization of each package, its memory and its size."""
    first = next(iter(groups.values()))
    starts = {subject: initializations(groups, subject) for subject in first}
    base = next(one.init_cpu.median for subject, one in starts.items() if subject.package.name == EMPTY)

    def cells(text: Callable[[Starts], str], *, tls: bool) -> list[str]:
        found = {subject.package: one for subject, one in starts.items() if subject.tls is tls}
        return [text(found[package]) if package in found else "" for package in packages]

    peaks = {subject.package: f"{one.peak_rss_mb:.0f}" for subject, one in warm.items() if subject.tls}
    sizes = [
        f"{one.zip_bytes / 1e6:.1f} / {one.unpacked_bytes / 1e6:.1f}" if one.zip_bytes else ""
        for one in packages
    ]
    rows = [
        [
            "CPU, relative to the empty function",
            *cells(lambda one: f"{one.init_cpu.median / base:.1f}x", tls=False),
        ],
        ["CPU, ms", *cells(lambda one: one.init_cpu.text(), tls=False)],
        ["wall, ms", *cells(lambda one: one.init_wall.text(), tls=False)],
        ["CPU, ms, over TLS", *cells(lambda one: one.init_cpu.text(), tls=True)],
        ["wall, ms, over TLS", *cells(lambda one: one.init_wall.text(), tls=True)],
        ["peak memory, MB, over TLS", *(peaks.get(package, "") for package in packages)],
        ["zip / unpacked, MB", *sizes],
    ]
    return table(["initialization", *(package.name for package in packages)], rows)


def waits(packages: Sequence[Package], groups: Mapping[str, Group], memory_mb: int) -> str:
    """The time until the first response of each package, for each route."""

    def cell(group: Group, package: Package, *, tls: bool) -> str:
        starts = group.get(Subject(package, tls))
        return starts.wait.text() if starts else ""

    rows = [
        [f"{route}{over}", *(cell(group, package, tls=tls) for package in packages)]
        for tls, over in OVER.items()
        for route, group in groups.items()
    ]
    head = [f"cold wait at {memory_mb} MB, ms", *(package.name for package in packages)]
    return table(head, rows) if memory_mb else ""


def requests(warm: Mapping[Subject, Warm]) -> str:
    """The CPU time of warm requests, their calls, and the connections and handshakes for these."""
    tables: dict[str, Callable[[Requests], str]] = {
        "CPU ms": lambda one: one.cpu.text(1),
        "calls": lambda one: " or ".join(sorted(one.calls)),
        "connections opened and TLS handshakes": lambda one: one.connections,
    }
    routes = list(next(iter(warm.values())).routes)
    return "\n\n".join(
        table(
            [f"warm request, {what}", *map(str, warm)],
            [[route, *(text(one.routes[route]) for one in warm.values())] for route in routes],
        )
        for what, text in tables.items()
    )


def whole_logins(logins: Mapping[tuple[Subject, str], Logins]) -> str:
    """The waits of whole logins, and Spotify's part in them."""
    rows = [
        [
            f"{kind}, {subject}",
            one.total.text(),
            f"{one.spotify:.0f}",
            one.own.text(),
            f"{one.share:.0%}",
        ]
        for (subject, kind), one in sorted(logins.items(), key=lambda item: item[0][1])
    ]
    head = [f"whole login, Spotify takes {LATENCY * 1000:.0f} ms per call", "total, ms", "Spotify, ms"]
    return table([*head, "the rest, ms", "the rest, percent"], rows)


def versions(found: Mapping[str, Initializations]) -> str:
    """The initialization with each version of Python, and the versions that are missing."""
    rows = [[version, one.cpu.text(), one.wall.text()] for version, one in found.items()]
    missing = [version for version in VERSIONS if version not in found]
    absent = f"\n\nNot on PATH, so not measured: Python {', '.join(missing)}." if missing else ""
    return table(["this app, over TLS, on Python", "CPU, ms", "wall, ms"], rows) + absent
