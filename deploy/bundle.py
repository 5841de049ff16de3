"""`make package STAGE=prod`: build the zip that `chalice deploy` uploads, reproducibly.

Chalice packages app.py, chalicelib/, two of its own modules, the wheels of requirements.txt and everything in
vendor/. It includes no bytecode, and relies on Lambda's botocore, which covers every service. This module gives
Chalice a clean copy of the app, with no wheels to fetch, and a vendor/ that contains

- the pinned libraries without their compiled parts: their fallbacks in Python are the same on every platform;
- botocore, with only the service descriptions that the stage's policy needs;
- root certificates in forms that load fast;
- bytecode for all modules, because Lambda cannot write any: /var/task is read-only.

`make bench` measures the result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import distribution
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import chalice.app

from chalicelib import branding
from chalicelib.site import brand
from deploy import PROJECT, descriptions, roots
from deploy.stage import Problem, Stage, Stop

BUILDS = PROJECT / ".package"

EXPORT = ("app.py", "chalicelib/**/*", ".chalice/*.json")
"""The files of this project that are deployed. All others are ignored, and so are bytecode and hidden files."""

TEXT = {".py", ".html", ".css", ".svg", ".json"}
"""The suffixes of files that must be UTF-8."""

BOTOCORE = ("botocore", "jmespath", "python-dateutil", "six")
"""The AWS client with its dependencies. Lambda has them too: with every service, in versions that AWS chooses."""

LEFT_OUT = ("charset-normalizer",)
"""Not deployed: requests uses it only to guess charsets, which the app never needs."""

AMAZON = "chalicelib/amazon.pem"
"""Where chalicelib/aws.py looks for the root certificates of AWS's endpoints."""

ROOTS = "chalicelib/roots"
"""Where chalicelib/transport.py looks for all root certificates."""

CHALICE = str(Path(sys.executable).with_name("chalice"))

TASK_ROOT = "/var/task"
"""The folder into which Lambda unzips a package."""


def bundle(stage: str, build: Path) -> None:
    """Create, in the folder `build`, the project that Chalice packages and deploys as `stage`.

    Raises:
        Stop: the brand is unusable or hard to read, or a file is unreadable or not text.
    """
    if faults := branding.faults(brand) or branding.illegible(brand):
        raise Stop(*(Problem(fault, "Correct it in chalicelib/site/.") for fault in faults))
    shutil.rmtree(build, ignore_errors=True)
    for path, content in _sources():
        _write(build / path, content)
    _write(build / "requirements.txt", b"# All libraries are in vendor/.\n")
    loaded = Stage.load(stage, build)
    config = build / ".chalice" / "config.json"
    settings = json.loads(config.read_bytes())
    tags = {**settings.get("tags", {}), **_tags()}
    config.write_text(json.dumps({**settings, "tags": tags}), encoding="utf-8")
    (build / loaded.policy_file).write_text(json.dumps(loaded.policy), encoding="utf-8")
    operations = descriptions.allowed(loaded.policy)
    _write(build / AMAZON, roots.amazon())
    for file, certificate in roots.folder():
        _write(build / ROOTS / file, certificate)
    for name in _libraries():
        for inside, content in _library(name, operations):
            _write(build / "vendor" / inside, content)
    _compile(build)


def package(stage: str, build: Path) -> Path:
    """Package a bundle with Chalice; returns the zip. `chalice deploy` in that folder uploads it unchanged."""
    bundle(stage, build)
    command = [CHALICE, "package", "--stage", stage, "out"]
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}  # any region gives the same zip
    run(command, cwd=build, env=environment, stdout=subprocess.DEVNULL)
    (kept,) = (build / ".chalice" / "deployments").glob("*.zip")
    _normalize(kept)
    return Path(shutil.copy(kept, build / "out" / "deployment.zip"))


def run(command: Sequence[str], **options: Any) -> None:
    """Run a program that prints its own errors.

    Raises:
        Stop: it failed.
    """
    if subprocess.run(command, check=False, **options).returncode:
        name = " ".join(Path(part).name for part in command[:3])
        raise Stop(Problem(f"`{name}` failed.", "See its output above."))


def _sources() -> Iterator[tuple[Path, bytes]]:
    """The files of `EXPORT`, by their paths in the project. Editors and macOS create hidden ones beside them.

    Raises:
        Stop: one of them is not readable or not text.
    """
    for path in chain.from_iterable(map(PROJECT.glob, EXPORT)):
        inside = path.relative_to(PROJECT)
        if path.is_dir() or any(part.startswith((".", "__pycache__")) for part in inside.parts[1:]):
            continue
        try:
            content = path.read_bytes()
            if path.suffix in TEXT:
                content.decode()
        except (OSError, UnicodeError) as failure:
            reason = getattr(failure, "strerror", "it is not UTF-8")
            raise Stop(Problem(f"Could not read {inside}: {reason}.", "Correct or delete it.")) from None
        yield inside, content


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _tags() -> dict[str, str]:
    """Tags for the function: the commit of this checkout, if it is a git repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    with suppress(OSError, subprocess.CalledProcessError):
        done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
        return {"commit": done.stdout.strip()}
    return {}


def _libraries() -> list[str]:
    """The names of the libraries in the package. The installed versions are the pinned ones."""
    deployed = re.findall(
        r"^([\w.-]+)==", (PROJECT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    return [*(name for name in deployed if name not in LEFT_OUT), *BOTOCORE]


def _library(name: str, operations: descriptions.Operations) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files that the function needs of an installed library, by their paths in site-packages."""
    for path in distribution(name).files or ():
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


def _compile(build: Path) -> None:
    """Put bytecode beside the sources; for app.py and Chalice, which the packager adds, into vendor/."""
    vendor = build / "vendor"
    added = {
        "app.py": build / "app.py",
        "chalice/__init__.py": Path(chalice.__file__),
        "chalice/app.py": Path(chalice.app.__file__),
    }
    for inside, source in added.items():
        _write(vendor / inside, source.read_bytes())
    # A fixed hash seed fixes the order of sets, so that builds are reproducible.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    compiler = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    for root, folder in ((vendor, vendor), (build, build / "chalicelib")):
        paths = ["-s", str(root), "-p", TASK_ROOT, str(folder)]
        run([*compiler, *paths], env=environment)
    for inside in added:
        (vendor / inside).unlink()


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
