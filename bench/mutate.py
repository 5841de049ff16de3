"""`make mutate`: remove each guard in turn. At least one test that docs/security.md names for it must fail."""

from __future__ import annotations

import argparse
import os
import queue
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.mutants import MUTANTS, Mutant
from deploy import PROJECT
from tests.support import fork

ORDER = ("unit", "contract", "faults", "integration", "browser", "deployment")
"""The folders of tests, fast ones first."""


def main() -> int:
    """Print each guard and the test that failed without it. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("rows", nargs="*", help="rows of docs/security.md, such as A1 C7; default: all")
    rows = parser.parse_args().rows
    mutants = [mutant for mutant in MUTANTS if not rows or mutant.row in rows]
    promises, files, workers = promised(), written(), os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        trees: queue.Queue[Path] = queue.Queue()
        for worker in range(workers):
            trees.put(fork.copy(Path(folder, str(worker))))

        def verdict(mutant: Mutant) -> str:
            tree = trees.get()
            test = fallen(tree, mutant, promises[mutant.row], files)
            trees.put(tree)
            return test

        survivors = 0
        for mutant, test in zip(mutants, pool.map(verdict, mutants), strict=True):
            guard = " ".join(mutant.guard.split())[:60]
            print(f"{mutant.row:4} {mutant.where}: {guard}\n     -> {test or 'SURVIVED'}", flush=True)
            survivors += not test
    print(f"Guards removed: {len(mutants)}. Removed without a failing test: {survivors}.")
    unguarded = [] if rows else sorted(set(promises) - {mutant.row for mutant in MUTANTS})
    if unguarded:
        print(f"Rows without a guard in bench/mutants.py: {', '.join(unguarded)}")
    return 1 if survivors or unguarded else 0


def promised() -> dict[str, list[str]]:
    """The tests of each row of docs/security.md."""
    lines = (PROJECT / "docs/security.md").read_text(encoding="utf-8").splitlines()
    rows = (re.match(r"\| ([A-M]\d+)(?:\\\*)? \|.*\|(.*)\|$", line) for line in lines)
    return {row[1]: found for row in rows if row and (found := re.findall(r"`(test_\w+)`", row[2]))}


def written() -> dict[str, list[str]]:
    """The files that define each test, by its name."""
    found: dict[str, list[str]] = {}
    paths = (PROJECT / "tests").rglob("test_*.py")
    for path in sorted(paths, key=lambda path: ORDER.index(path.parent.name)):
        for name in re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(name, []).append(str(path.relative_to(PROJECT)))
    return found


def fallen(tree: Path, mutant: Mutant, tests: Iterable[str], written: dict[str, list[str]]) -> str:
    """Remove the guard, run the tests, restore the guard. Returns the first test that failed; "" if none did."""
    target = tree / mutant.file
    original = target.read_text(encoding="utf-8")
    target.write_text(mutant.apply(original), encoding="utf-8")
    files = dict.fromkeys(file for test in tests for file in written[test])
    pytest = [sys.executable, "-m", "pytest", "-xq", "--no-header", "-p", "no:cacheprovider", "-k"]
    command, environment = (
        [*pytest, " or ".join(tests), *files],
        {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        run = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    finally:
        target.write_text(original, encoding="utf-8")
    if run.returncode == 0:
        return ""
    match = re.search(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    if run.returncode != 1 or not match:
        raise SystemExit(
            f"{mutant.row}: pytest could not run the tests.\n\n{(run.stdout + run.stderr)[-3000:]}"
        )
    return match[1]


if __name__ == "__main__":
    sys.exit(main())
