"""`make package STAGE=prod`: build the zip that `chalice deploy` uploads; same input, same bytes.

Chalice packages app.py, chalicelib/, two of its own modules, the wheels of requirements.txt and everything in
vendor/. This module gives it a clean copy of the app, with no wheels to fetch, and a vendor/ that contains

- the pinned libraries as installed here, without their compiled parts, which all have a fallback in Python:
  so the bytes are the same on every processor and operating system;
- botocore, with only the service descriptions that the stage's policy needs;
- bytecode for all modules, because Lambda cannot write any: /var/task is read-only.

docs/performance.md measures what each of these saves.
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
"""The files of this project that are deployed. All others in the working tree are ignored."""

BOTOCORE = ("botocore", "jmespath", "python-dateutil", "six")
"""The AWS client with its dependencies. Lambda has them too: with every service, in versions that AWS chooses."""

LEFT_OUT = ("charset-normalizer",)
"""Not deployed: requests only guesses charsets with it, and the app never needs a guess."""

TASK_ROOT = "/var/task"
"""The folder into which Lambda unzips a package."""


def bundle(stage: str, build: Path) -> None:
    """Create, in the folder `build`, the project that Chalice packages and deploys as `stage`."""
    shutil.rmtree(build, ignore_errors=True)
    for pattern in EXPORT:
        for path in PROJECT.glob(pattern):
            _write(build / path.relative_to(PROJECT), path.read_bytes())
    _write(build / "requirements.txt", b"# All libraries are in vendor/.\n")
    operations = descriptions.allowed(Stage.load(stage, build).policy(build))
    for name, version in _pinned().items():
        for inside, content in _library(name, version, operations):
            _write(build / "vendor" / inside, content)
    _compile(build)


def package(stage: str, build: Path) -> Path:
    """Package a bundle with Chalice; returns the zip. `chalice deploy` in that folder uploads it unchanged."""
    bundle(stage, build)
    command = [str(Path(sys.executable).with_name("chalice")), "package", "--stage", stage, "out"]
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}  # any region gives the same zip
    subprocess.run(command, cwd=build, env=environment, check=True, stdout=subprocess.DEVNULL)
    (kept,) = (build / ".chalice" / "deployments").glob("*.zip")
    _normalize(kept)
    return Path(shutil.copy(kept, build / "out" / "deployment.zip"))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _pinned() -> dict[str, str]:
    """The libraries in the package, and their versions."""
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
    """The files that the function needs of an installed library, by their paths in site-packages."""
    installed = distribution(name)
    if installed.version != version:
        raise Stop(
            Problem(
                f"{name} {version} is pinned, but {installed.version} is installed.",
                "Delete the installed libraries; the next make command installs them again:",
                "make clean",
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
    """Whether a file is deployed: code, CA certificates (certifi's only), metadata and licenses."""
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
    """Put bytecode beside the sources; for app.py and Chalice, which the packager adds, into vendor/."""
    vendor = build / "vendor"
    tasks = [(build / "app.py", vendor / "app.py")]
    tasks += [
        (Path(str(module.__file__)), vendor / "chalice" / name)
        for module, name in ((chalice, "__init__.py"), (chalice.app, "app.py"))
    ]
    tasks += [(source, source) for top in (build / "chalicelib", vendor) for source in top.rglob("*.py")]
    lines = []
    for source, place in sorted(tasks):
        shown = place.relative_to(vendor if place.is_relative_to(vendor) else build)
        target = place.parent / "__pycache__" / f"{place.stem}.{sys.implementation.cache_tag}.pyc"
        lines.append(f"{source}\t{target}\t{TASK_ROOT}/{shown}\n")
    # A new process with a fixed hash seed, which orders sets: the same sources give the same bytes.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run(
        [sys.executable, "-c", _COMPILER], input="".join(lines), env=environment, text=True, check=True
    )


def _normalize(path: Path) -> None:
    """Rewrite a zip with its files sorted by name. Chalice adds them in the order of the file system."""
    with zipfile.ZipFile(path) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])


def main() -> None:
    """Package a stage, and print the path, size and hash of the zip."""
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
