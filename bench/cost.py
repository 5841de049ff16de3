"""`make bench`: compare cold starts, logins, warm requests and calls, on Lambda's own runtime client."""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import access, chart, logins, report, share, starts, targets, versions, warm
from bench.figures import noisy, progress
from bench.packages import Package
from bench.runner import Bench, Subject


@dataclass(frozen=True)
class Run:
    """What one run has measured. `logins` is empty if requests could not be limited to a share of a core."""

    bench: Bench
    packages: tuple[Package, ...]
    starts: dict[str, starts.Group]
    warm: dict[Subject, warm.Warm]
    logins: dict[tuple[Subject, str], logins.Logins]
    versions: dict[str, versions.Initializations]
    access: tuple[access.Side, access.Side]

    def tables(self) -> str:
        """All tables."""
        memory_mb = self.bench.memory_mb
        parts = [
            report.initialization(self.packages, self.starts, self.warm),
            report.waits(self.packages, self.starts, memory_mb),
            report.whole_logins(self.logins),
            report.requests(self.warm),
            report.versions(self.versions),
            access.table(*self.access, memory_mb),
            targets.rows(self.targets()),
        ]
        return "\n\n".join(part for part in parts if part)

    def targets(self) -> list[targets.Target]:
        """The targets that this run can check."""
        found = targets.of_starts(self.bench.packages, self.starts)
        if self.bench.memory_mb == targets.MEMORY_MB:
            found += targets.of_waits(self.bench.packages, self.starts, self.logins)
        return found

    def noisy(self) -> list[str]:
        """The noisy figures. Most of them were measured twice, and were noisy both times."""
        return [
            *(
                f"cold {route} of {subject}"
                for route, group in self.starts.items()
                for subject in noisy(group)
            ),
            *(f"{kind} login of {subject}" for subject, kind in noisy(self.logins)),
            *(f"initialization on Python {version}" for version in noisy(self.versions)),
        ]


def measure(bench: Bench, folder: Path) -> Run:
    """Build the packages and measure everything, one after the other."""
    progress("building the packages")
    pythons, built = versions.runtimes(), bench.packages
    packages = (built.empty, built.libraries, built.plain, built.compiled, built.ours, built.certifi)
    keeping = built.keeping
    http = [Subject(package) for package in packages[:-1]]
    over_tls = [Subject(package, tls=True) for package in packages[2:]]
    with ExitStack() as stack:
        helpers = {
            Subject(package, tls): stack.enter_context(bench.start(Subject(package, tls)))
            for tls in (False, True)
            for package in (built.plain, built.ours)
        }
        requests = warm.measure(bench, helpers)
        by_app = {subject.package.app: helper for subject, helper in helpers.items() if not subject.tls}
        groups = starts.measure(bench, [*http, *over_tls], by_app)
    whole = logins.measure(bench, over_tls[1:3]) if bench.memory_mb else {}
    found = versions.measure(bench, folder / "versions", pythons)
    return Run(bench, packages, groups, requests, whole, found, access.measure(bench, built.ours, keeping))


def summary(run: Run) -> str:
    """The tables, and whether the machine was quiet."""
    loud = run.noisy()
    verdict = (
        f"The machine was not quiet: the spread was above 15 % for {'; '.join(loud)}."
        if loud
        else "The machine was quiet: no spread was above 15 %."
    )
    return f"Figures are medians, with the interquartile range in percent.\n\n{run.tables()}\n\n{verdict}"


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--memory", type=int, default=targets.MEMORY_MB, help="the function's memory in MB")
    memory_mb, refusal, began = parser.parse_args().memory, share.refusal(), time.monotonic()
    print("This takes five to eight minutes on two cores, the longer the busier they are.\n", flush=True)
    if refusal:
        memory_mb = 0
        print(f"Cold waits and logins are skipped: no control group could be created ({refusal}).")
        print("To measure them, run as root on Linux.\n")
    with tempfile.TemporaryDirectory() as folder:
        run = measure(Bench(Path(folder), memory_mb), Path(folder))
        print(summary(run))
    if memory_mb:
        chart.save(run.starts, memory_mb)
    print(f"\nIt took {(time.monotonic() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
