"""`make mutate`: remove each guard in turn. At least one test that carries its row's mark must fail."""

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
from tests.support import fork, promises


def main() -> int:
    """Print each guard and the test that failed without it. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("rows", nargs="*", help="rows of docs/security.md, such as A1 C7; default: all")
    rows = parser.parse_args().rows
    mutants = [mutant for mutant in MUTANTS if not rows or mutant.row in rows]
    tests, workers = promises.tests(), os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        trees: queue.Queue[Path] = queue.Queue()
        for worker in range(workers):
            trees.put(fork.copy(Path(folder, str(worker))))

        def verdict(mutant: Mutant) -> str:
            tree = trees.get()
            test = fallen(tree, mutant, tests[mutant.row])
            trees.put(tree)
            return test

        survivors = 0
        for mutant, test in zip(mutants, pool.map(verdict, mutants), strict=True):
            guard = " ".join(mutant.guard.split())[:60]
            print(f"{mutant.row:4} {mutant.where}: {guard}\n     -> {test or 'SURVIVED'}", flush=True)
            survivors += not test
    print(f"Guards removed: {len(mutants)}. Removed without a failing test: {survivors}.")
    unguarded = [] if rows else sorted(set(promises.rows()) - {mutant.row for mutant in MUTANTS})
    if unguarded:
        print(f"Rows without a guard in bench/mutants.py: {', '.join(unguarded)}")
    return 1 if survivors or unguarded else 0


def fallen(tree: Path, mutant: Mutant, tests: Iterable[str]) -> str:
    """Remove the guard, run the tests, restore the guard. Returns the first test that failed; "" if none did."""
    target = tree / mutant.file
    original = target.read_text(encoding="utf-8")
    target.write_text(mutant.apply(original), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-xq", "--no-header", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
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
