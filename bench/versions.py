"""The initialization of this app with each version of Python that Lambda offers and this machine has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench.figures import Samples, progress, settled
from bench.packages import compiled
from bench.runner import Bench, Subject
from deploy import PROJECT
from tests.support.runtime import PYTHON

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ROUNDS = 9

PINS = PROJECT / "requirements" / "runtime.txt"


@dataclass
class Initializations:
    """The initializations with one version. Times in milliseconds."""

    cpu: Samples = field(default_factory=Samples)
    wall: Samples = field(default_factory=Samples)

    @property
    def spread(self) -> float:
        """The larger of the two."""
        return max(self.cpu.spread, self.wall.spread)


def runtimes() -> dict[str, Path]:
    """An interpreter with the packages of Lambda's runtime for each version that is on PATH."""
    return {version: _runtime(version) for version in VERSIONS if _is_installed(version)}


def measure(bench: Bench, folder: Path, pythons: Mapping[str, Path]) -> dict[str, Initializations]:
    """Measure this app over TLS with each version, in turns. Its bytecode is of the same version."""
    ours = bench.packages.ours
    subjects = {}
    for version, python in pythons.items():
        task = compiled(ours.task, folder / version, python)
        subjects[version] = Subject(replace(ours, task=task), tls=True)
    return settled(partial(_rounds, bench, subjects, pythons))


def _rounds(
    bench: Bench, subjects: Mapping[str, Subject], pythons: Mapping[str, Path]
) -> dict[str, Initializations]:
    found = {version: Initializations() for version in subjects}
    for number in range(ROUNDS):
        for version, subject in subjects.items():
            progress(f"Python {version}, round {number + 1} of {ROUNDS}")
            with bench.start(subject, pythons[version]) as started:
                found[version].cpu.append(started.init_cpu_seconds * 1000)
                found[version].wall.append(started.init_seconds * 1000)
    progress()
    return found


def _is_installed(version: str) -> bool:
    try:
        return (
            subprocess.run([f"python{version}", "-c", ""], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


def _runtime(version: str) -> Path:
    """The interpreter of .runtime or, for another version than this one, of .runtime-3.12 and so on."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return PYTHON
    folder = PROJECT / f".runtime-{version}"
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists() or ready.stat().st_mtime < PINS.stat().st_mtime:
        progress(f"Installing the packages of Lambda's runtime into {folder.name}, once.")
        subprocess.run([f"python{version}", "-m", "venv", "--clear", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", "--require-hashes", "-r", str(PINS)], check=True)
        ready.touch()
    return python
