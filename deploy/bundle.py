"""`make package STAGE=prod`: what `chalice deploy` will upload; the same input gives the same bytes.

Chalice's packager takes app.py, chalicelib/, two modules of its own, the wheels of requirements.txt and
everything in vendor/. It gets a clean export of ours with no wheels to fetch, and a vendor/ that holds

- the pinned libraries as they are installed here, but without their compiled parts, each of which has a twin
  in Python: the bytes depend on no processor and no operating system;
- botocore, with what the stage's policy allows of its descriptions of AWS's services;
- bytecode for all of it, which Lambda cannot keep: /var/task is read-only.

docs/performance.md says what each of them is worth.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import chalice.app

from deploy import PROJECT, descriptions
from deploy.stage import Problem, Stage, Stop

BUILDS = PROJECT / ".package"

EXPORT = ("app.py", "chalicelib/**/*.py", "chalicelib/**/*.html", "chalicelib/**/*.css", ".chalice/*.json")
"""What is ours and goes along. Nothing else does, whatever lies about in the working tree."""

BOTOCORE = ("botocore", "jmespath", "python-dateutil", "six")
"""What talks to AWS. Lambda's runtime has it too: with every service, and in a version that AWS chooses."""

LEFT_OUT = ("charset-normalizer",)
"""requests guesses charsets with it; nothing here has requests guess."""

TASK_ROOT = "/var/task"
"""Where Lambda unzips a package."""


def bundle(stage: str, build: Path) -> None:
    """Make, in the folder `build`, the project that Chalice packages and deploys as `stage`."""
    shutil.rmtree(build, ignore_errors=True)
    for pattern in EXPORT:
        for path in PROJECT.glob(pattern):
            _write(build / path.relative_to(PROJECT), path.read_bytes())
    _write(build / "requirements.txt", b"# vendor/ has them all.\n")
    operations = descriptions.allowed(Stage.load(stage, build).policy(build))
    for name, version in _pinned().items():
        for inside, content in _library(name, version, operations):
            _write(build / "vendor" / inside, content)
    _compile(build)


def package(stage: str, build: Path) -> Path:
    """Have Chalice package a bundle; returns the zip. `chalice deploy` in the same folder takes it as it is."""
    bundle(stage, build)
    command = [str(Path(sys.executable).with_name("chalice")), "package", "--stage", stage, "out"]
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}  # any: the zip knows no region
    subprocess.run(command, cwd=build, env=environment, check=True, stdout=subprocess.DEVNULL)
    (kept,) = (build / ".chalice" / "deployments").glob("*.zip")
    _normalize(kept)
    return Path(shutil.copy(kept, build / "out" / "deployment.zip"))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _pinned() -> dict[str, str]:
    """The libraries of the package, and their versions."""
    deployed, installed = _pins("requirements.txt"), _pins("requirements/dev.txt")
    for name in LEFT_OUT:
        del deployed[name]
    return {**deployed, **{name: installed[name] for name in BOTOCORE}}


def _pins(requirements: str) -> dict[str, str]:
    text = (PROJECT / requirements).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))


def _library(
    name: str, version: str, operations: descriptions.Operations
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of an installed library that a function needs, by their paths in site-packages."""
    installed = distribution(name)
    if installed.version != version:
        raise Stop(
            Problem(
                f"{name} {version} is pinned, but {installed.version} is installed.",
                "make clean, then again.",
            )
        )
    for path in installed.files or ():
        file = Path(str(path.locate()))
        if path.parts[:2] == ("botocore", "data"):
            inside = PurePosixPath(*path.parts)
            content = descriptions.cut(PurePosixPath(*path.parts[2:]), file, operations)
            if content is not None:
                yield inside.with_suffix("") if inside.suffix == ".gz" else inside, content
        elif _is_needed(path):
            yield path, file.read_bytes()


def _is_needed(path: PurePosixPath) -> bool:
    """Code, certificates, and what scanners and lawyers look for; no commands, no second set of certificates."""
    if {"tests", ".."} & set(path.parts):
        return False
    if path.name == "cacert.pem":
        return path.parts[0] == "certifi"
    return path.suffix == ".py" or path.name == "METADATA" or "LICENSE" in path.name


_COMPILER = """
import py_compile, sys
for line in sys.stdin:
    source, target, shown = line.rstrip().split("\\t")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(source, target, shown, doraise=True, invalidation_mode=unchecked)
"""


def _compile(build: Path) -> None:
    """Put bytecode beside the sources: for app.py and Chalice, which the packager adds, through vendor/."""
    vendor = build / "vendor"
    tasks = [(build / "app.py", vendor / "app.py")]
    tasks += [
        (Path(str(module.__file__)), vendor / "chalice" / name)
        for module, name in ((chalice, "__init__.py"), (chalice.app, "app.py"))
    ]
    tasks += [(source, source) for room in (build / "chalicelib", vendor) for source in room.rglob("*.py")]
    lines = []
    for source, place in sorted(tasks):
        shown = place.relative_to(vendor if place.is_relative_to(vendor) else build)
        target = place.parent / "__pycache__" / f"{place.stem}.{sys.implementation.cache_tag}.pyc"
        lines.append(f"{source}\t{target}\t{TASK_ROOT}/{shown}\n")
    # In a process of its own, with the order of sets fixed: the same sources give the same bytes.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run(
        [sys.executable, "-c", _COMPILER], input="".join(lines), env=environment, text=True, check=True
    )


def _normalize(path: Path) -> None:
    """Write a zip anew, in the order of its names: Chalice takes the order in which folders list them."""
    with zipfile.ZipFile(path) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])


def main() -> None:
    """Package a stage, and say where the zip is."""
    parser = argparse.ArgumentParser(prog="make package")
    parser.add_argument("stage")
    stage = parser.parse_args().stage
    try:
        path = package(stage, BUILDS / stage)
    except Stop as stop:
        sys.exit("\n".join(map(str, stop.problems)))
    content = path.read_bytes()
    print(
        f"{path.relative_to(PROJECT)}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"
    )


if __name__ == "__main__":
    main()
