"""`make mutate`: remove each guard in turn. At least one test that docs/security.md names for it must fail."""

from __future__ import annotations

import argparse
import ast
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.mutants import MUTANTS, Mutant
from deploy import PROJECT

WORKERS = os.cpu_count() or 1
COPIED = (
    "app.py",
    "chalicelib",
    ".chalice",
    "deploy",
    "docs",
    "local",
    "simulator",
    "tests",
    "bench",
    "requirements",
)
FILES = ("pyproject.toml", "requirements.txt", "README.md", "Makefile")
INSTALLED = (".runtime", ".emulator")


def main() -> int:
    """Print each guard and the test that failed without it. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("rows", nargs="*", help="rows of docs/security.md, such as A1 C7; default: all")
    rows = parser.parse_args().rows
    mutants = [mutant for mutant in MUTANTS if not rows or mutant.row in rows]
    promises, places = promised(), written()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        trees: queue.Queue[Path] = queue.Queue()
        for worker in range(WORKERS):
            trees.put(copy(Path(folder, str(worker))))

        def verdict(mutant: Mutant) -> str:
            tree = trees.get()
            try:
                return fallen(tree, mutant, {name: places[name] for name in promises[mutant.row]})
            finally:
                trees.put(tree)

        survivors = 0
        for mutant, test in zip(mutants, pool.map(verdict, mutants), strict=True):
            guard = " ".join(mutant.guard.split())[:60]
            print(f"{mutant.row:4} {mutant.where}: {guard}\n     -> {test or 'SURVIVED'}", flush=True)
            survivors += not test
    print(f"Guards removed: {len(mutants)}. Removed without a failing test: {survivors}.")
    unguarded = sorted(set(promises) - {mutant.row for mutant in MUTANTS})
    if not rows and unguarded:
        print(f"Rows without a guard in bench/mutants.py: {', '.join(unguarded)}")
    return 1 if survivors or (not rows and unguarded) else 0


def promised() -> dict[str, list[str]]:
    """The tests of each row of docs/security.md."""
    lines = (PROJECT / "docs/security.md").read_text(encoding="utf-8").splitlines()
    rows = (re.match(r"\| ([A-M]\d+)(?:\\\*)? \|.*\|(.*)\|$", line) for line in lines)
    return {row[1]: found for row in rows if row and (found := re.findall(r"`(test_\w+)`", row[2]))}


def written() -> dict[str, list[str]]:
    """The files that define each test, by its name, fast ones first."""
    found: dict[str, list[str]] = {}
    order = ("unit", "contract", "faults", "integration", "browser", "deployment")
    for path in sorted(
        (PROJECT / "tests").rglob("test_*.py"), key=lambda path: order.index(path.parent.name)
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault(node.name, []).append(str(path.relative_to(PROJECT)))
    return found


def copy(tree: Path) -> Path:
    """Copy the project to a folder in which guards can be removed."""
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "deploy*ments"))
        else:
            tree.mkdir(exist_ok=True)
            shutil.copy(source, tree / name)
    for name in FILES:
        shutil.copy(PROJECT / name, tree)
    for name in INSTALLED:
        (tree / name).symlink_to(PROJECT / name)
    return tree


def fallen(tree: Path, mutant: Mutant, tests: dict[str, list[str]]) -> str:
    """Remove the guard, run the tests, restore the guard. Returns the first test that failed; "" if none did."""
    target = tree / mutant.file
    original = target.read_text(encoding="utf-8")
    target.write_text(mutant.apply(original), encoding="utf-8")
    try:
        files = list(dict.fromkeys(file for places in tests.values() for file in places))
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "--no-header",
                "-p",
                "no:cacheprovider",
                "-k",
                " or ".join(tests),
                *files,
            ],
            cwd=tree,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    finally:
        target.write_text(original, encoding="utf-8")
    if run.returncode == 0:
        return ""
    match = re.search(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    if run.returncode != 1 or not match:
        raise SystemExit(f"{mutant.row}: pytest could not run the tests. Its output:\n\n{run.stdout[-3000:]}")
    return match[1]


if __name__ == "__main__":
    sys.exit(main())
