"""`make bench`: compare cold starts, warm requests and calls, on Lambda's own runtime client."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import access, events, report, share
from bench.figures import Figures
from bench.packages import Bench, Package
from deploy import PROJECT
from tests.support import chromium
from tests.support.counted import Cloud
from tests.support.gateway import event
from tests.support.runtime import Function, FunctionVisitor

PICTURE = PROJECT / "docs" / "performance.png"

COLD_STARTS = 11
"""Starts for each route and memory size; the figures are medians."""
WARM_REQUESTS = 200
MEMORY_MB = (256, 512, 1769)


def measure(bench: Bench, package: Package, shares: tuple[int, ...]) -> Figures:
    """Measure one package. `shares` are the memory sizes, in MB, for which cold waits are measured."""
    figures = Figures(package.zip_bytes / 1e6, package.unpacked_bytes / 1e6)
    with bench.start(package) as helper:
        if package.name == report.BASE:
            helper.invoke(event("/"))
            prepared: dict[str, events.Prepare] = {"/": lambda _: event("/")}
        else:
            _warm(bench.cloud, helper, figures)
            prepared = events.PREPARED
        figures.peak_rss = helper.peak_rss_mb
        for _ in range(COLD_STARTS):
            with bench.start(package) as started:
                figures.init_cpu.append(started.init_cpu_seconds * 1000)
                figures.init_wall.append(started.init_seconds * 1000)
        for memory_mb in shares:
            for route, prepare in prepared.items():
                print(
                    f"\r{package.name}: cold starts for {route} at {memory_mb} MB" + " " * 20,
                    end="",
                    flush=True,
                )
                waits = [
                    _cold(bench, package, memory_mb, prepare(FunctionVisitor(function=helper)))
                    for _ in range(COLD_STARTS)
                ]
                figures.cold[f"{memory_mb} {route}"] = statistics.median(waits)
    print("\r" + " " * 79 + "\r", end="")
    return figures


def _cold(bench: Bench, package: Package, memory_mb: int, request: events.Event) -> float:
    with bench.start(package) as started, share.limited(started.process.pid, memory_mb):
        started.invoke(request)
        return (started.init_seconds + started.answer_seconds) * 1000


def _warm(cloud: Cloud, helper: Function, figures: Figures) -> None:
    """Repeat one visit, and record the CPU time and the calls of each request."""
    spent: dict[str, list[float]] = {}
    opened: dict[str, list[int]] = {}

    def step(route: str, act: Callable[[], Any]) -> Any:
        cloud.forget()
        before = helper.cpu_seconds
        result = act()
        spent.setdefault(route, []).append((helper.cpu_seconds - before) * 1000)
        figures.calls[route] = [*cloud.spotify.calls, *cloud.aws.calls]
        opened.setdefault(route, []).append(cloud.spotify.opened + cloud.aws.opened)
        return result

    for _ in range(WARM_REQUESTS):
        visitor = FunctionVisitor(function=helper)
        step("/", visitor.see_id)
        at_spotify = step("/login", visitor.begin)
        callback = visitor.agree(at_spotify)
        step("/callback", partial(visitor.get, callback))
        if step("/ logged in", visitor.see_id) != "pia.premium":
            sys.exit(
                "The login failed, so the figures would be meaningless. Find the cause with:\n\n    make test"
            )
        step("/logout", partial(visitor.get, "/logout"))
    figures.warm = {route: statistics.median(times) for route, times in spent.items()}
    figures.opened = {route: statistics.mean(counts) for route, counts in opened.items()}


def main() -> None:
    """Measure, print the tables and draw the chart of cold waits."""
    refusal = share.refusal()
    if refusal:
        print(
            f"Cold waits are skipped: no control group could be created ({refusal}). To measure them, run as root on Linux."
        )
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        packages = (bench.empty(), bench.plain(), bench.ours())
        shares = () if refusal else MEMORY_MB
        figures = {package.name: measure(bench, package, shares) for package in packages}
        print(report.tables(figures))
        print("\n" + access.table(*access.measure(bench, packages[-1], bench.keeping())))
    if not refusal and chromium.PATH:
        report.plot(figures, PICTURE)
    elif not refusal:
        print(f"The chart was not drawn: {chromium.MISSING}.")


if __name__ == "__main__":
    main()
