"""The functions that are measured, each built as it is deployed, and unzipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from deploy import bundle
from simulator.spotify import Application
from tests.support.events import STAGE_URL
from tests.support.world import SECRET_KEY

EMPTY = """def app(event, context):
    return {"statusCode": 200, "headers": {}, "multiValueHeaders": {}, "body": ""}
"""


@dataclass(frozen=True)
class Package:
    """A function as it is deployed: its name, its unzipped files, and the variables that only it has."""

    name: str
    task: Path
    settings: dict[str, str] = field(default_factory=dict)


def empty(folder: Path) -> Package:
    """A function that costs only what the runtime itself costs."""
    task = folder / "empty"
    task.mkdir()
    (task / "app.py").write_text(EMPTY, encoding="utf-8")
    return Package("empty function", task)


def plain(folder: Path) -> Package:
    """The app in bench/plain, as built by `chalice package`."""
    source = shutil.copytree(Path(__file__).parent / "plain", folder / "plain")
    pins = [f"{name}=={version(name)}" for name in ("boto3", "requests", "itsdangerous")]
    (source / "requirements.txt").write_text("\n".join(pins), encoding="utf-8")
    environment = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1"}
    command = [bundle.CHALICE, "package", "out"]
    subprocess.run(command, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)
    settings = {
        "SPOTIFY_CLIENT_ID": Application.client_id,
        "SPOTIFY_CLIENT_SECRET": Application.client_secret,
        "SPOTIFY_REDIRECT_URI": f"{STAGE_URL}/callback",
        "SECRET_KEY": SECRET_KEY,
    }
    return Package("plain Chalice", _unzip(source / "out" / "deployment.zip"), settings)


def precompiled(package: Package) -> Package:
    """A package with bytecode, as deploy/bundle.py adds it."""
    task = shutil.copytree(package.task, package.task.with_name("precompiled"))
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", task, "-p", bundle.TASK_ROOT, task], check=True)
    return replace(package, name=f"{package.name}, precompiled", task=task)


def ours(folder: Path) -> Package:
    """The app of this repository, as built by `make package`."""
    return Package("this app", _unzip(bundle.package("dev", folder / "bundle")))


def _unzip(path: Path) -> Path:
    task = path.with_suffix("")
    zipfile.ZipFile(path).extractall(task)
    return task
