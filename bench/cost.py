"""`make bench`: compare cold starts, warm requests and calls, on Lambda's own runtime client."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import report, share
from bench.figures import Figures
from deploy import PROJECT, bundle
from simulator.spotify import Application
from tests.support import chromium
from tests.support.counted import Cloud, cloud
from tests.support.gateway import STAGE_URL, event
from tests.support.runtime import Function, FunctionVisitor, function
from tests.support.world import SECRET_KEY

HERE = Path(__file__).parent
PICTURE = PROJECT / "docs" / "performance.png"

COLD_STARTS = 11
"""Starts for each route and memory size; the figures are medians."""
WARM_REQUESTS = 200
MEMORY_MB = (256, 512, 1769)


@dataclass(frozen=True)
class Package:
    """A function as it is deployed."""

    name: str
    task: Path
    zip_bytes: int
    environment: Mapping[str, str]

    @property
    def unpacked_bytes(self) -> int:
        """The size of the files in the zip."""
        return sum(path.stat().st_size for path in self.task.rglob("*") if path.is_file())


class Bench:
    """Runs packages with an emulated AWS and a simulated Spotify."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cloud = cloud(SECRET_KEY)

    def ours(self) -> Package:
        """The app of this repository, as built by `make package`."""
        return self._unzip("this app", bundle.package("dev", self._folder / "bundle"), self.cloud.environment)

    def plain(self) -> Package:
        """The plain Chalice app, as built by `chalice package`."""
        source = self._folder / "plain"
        shutil.copytree(HERE / "plain", source)
        pins = (PROJECT / "requirements/dev.txt").read_text(encoding="utf-8")
        wanted = [
            re.search(rf"^{name}==\S+", pins, re.MULTILINE) for name in ("boto3", "requests", "itsdangerous")
        ]
        (source / "requirements.txt").write_text("".join(f"{pin[0]}\n" for pin in wanted if pin))
        environment = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1"}
        command = [str(Path(sys.executable).with_name("chalice")), "package", "out"]
        subprocess.run(command, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)
        settings = {
            "SPOTIFY_CLIENT_ID": Application.client_id,
            "SPOTIFY_CLIENT_SECRET": Application.client_secret,
            "SPOTIFY_REDIRECT_URI": f"{STAGE_URL}/callback",
            "SECRET_KEY": SECRET_KEY,
        }
        return self._unzip(
            "plain Chalice", source / "out" / "deployment.zip", {**self.cloud.environment, **settings}
        )

    def empty(self) -> Package:
        """The empty function."""
        path = self._folder / "empty.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(HERE / "empty" / "app.py", "app.py")
        return self._unzip(report.BASE, path, {})

    def _unzip(self, name: str, path: Path, environment: Mapping[str, str]) -> Package:
        task = self._folder / "task" / name.replace(" ", "-")
        zipfile.ZipFile(path).extractall(task)
        return Package(name, task, path.stat().st_size, environment)

    @contextlib.contextmanager
    def start(self, package: Package) -> Iterator[Function]:
        """Start a package's function."""
        with function(package.task, package.environment, self._folder / "log") as started:
            yield started


def measure(bench: Bench, package: Package, shares: tuple[int, ...]) -> Figures:
    """Measure one package. `shares` are the memory sizes, in MB, for which cold waits are measured."""
    figures = Figures(package.zip_bytes / 1e6, package.unpacked_bytes / 1e6)
    with bench.start(package) as helper:
        if package.name == report.BASE:
            helper.invoke(event("/"))
            prepared: dict[str, Prepare] = {"/": lambda _: event("/")}
        else:
            _warm(bench.cloud, helper, figures)
            prepared = PREPARED
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


Event = dict[str, Any]
Prepare = Callable[[FunctionVisitor], Event]


def _cookies(visitor: FunctionVisitor) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())}


def _callback(visitor: FunctionVisitor) -> Event:
    url = visitor.agree(visitor.begin())
    return event(url.removeprefix(visitor.home), _cookies(visitor))


def _logged_in(visitor: FunctionVisitor) -> Event:
    visitor.log_in()
    return event("/", _cookies(visitor))


PREPARED: dict[str, Prepare] = {
    "/": lambda _: event("/"),
    "/login": lambda _: event("/login"),
    "/callback": _callback,
    "/ logged in": _logged_in,
}
"""Builds the first request after a cold start, using another instance of the same function."""


def _cold(bench: Bench, package: Package, memory_mb: int, request: Event) -> float:
    with share.group(memory_mb) as group, bench.start(package) as started:
        share.join(group, started.process.pid)
        started.invoke(request)
        wait = (started.init_seconds + started.answer_seconds) * 1000
        share.leave(started.process.pid)
        return wait


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
    if not refusal and chromium.PATH:
        report.plot(figures, PICTURE)
    elif not refusal:
        print(f"The chart was not drawn: {chromium.MISSING}.")


if __name__ == "__main__":
    main()
