"""The functions that are measured, each as it is deployed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bench import fork
from deploy import PROJECT, bundle
from simulator.spotify import Application
from tests.support.counted import Cloud
from tests.support.gateway import STAGE_URL
from tests.support.tls import Tls
from tests.support.world import SECRET_KEY

HERE = Path(__file__).parent

EMPTY, LIBRARIES = "empty function", "the libraries alone"
PLAIN, COMPILED = "plain Chalice", "plain Chalice, precompiled"
OURS, CERTIFI, KEEPING = "this app", "this app with certifi's bundle", "this app, keeping access"


@dataclass(frozen=True)
class Package:
    """A function as it is deployed."""

    name: str
    app: str
    """The name of the package with the same sessions, whose instances can prepare requests for this one."""
    task: Path
    zip_bytes: int
    """0 if it is not a package that could be deployed."""
    environment: Mapping[str, str]

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def unpacked_bytes(self) -> int:
        """The size of the unzipped files."""
        return sum(path.stat().st_size for path in self.task.rglob("*") if path.is_file())


class Packages:
    """Builds the packages, each once, and unzips them in a folder. They trust the CA of `tls`."""

    def __init__(self, folder: Path, cloud: Cloud, tls: Tls) -> None:
        self._folder = folder
        self._environment = cloud.environment
        self._tls = tls

    @cached_property
    def empty(self) -> Package:
        """The empty function."""
        path = self._folder / "empty.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(HERE / "empty" / "app.py", "app.py")
        return replace(self._unzip(EMPTY, path), environment={})

    @cached_property
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
        command = [bundle.CHALICE, "package", "out"]
        subprocess.run(command, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)
        settings = {
            "SPOTIFY_CLIENT_ID": Application.client_id,
            "SPOTIFY_CLIENT_SECRET": Application.client_secret,
            "SPOTIFY_REDIRECT_URI": f"{STAGE_URL}/callback",
            "SECRET_KEY": SECRET_KEY,
        }
        return self._unzip(PLAIN, source / "out" / "deployment.zip", **settings)

    @cached_property
    def compiled(self) -> Package:
        """The plain Chalice app with bytecode."""
        task = compiled(self.plain.task, self._folder / "compiled")
        path = Path(shutil.make_archive(str(task), "zip", task))
        return replace(self.plain, name=COMPILED, task=task, zip_bytes=path.stat().st_size)

    @cached_property
    def ours(self) -> Package:
        """The app of this repository, as built by `make package`."""
        return self._unzip(OURS, bundle.package("dev", self._folder / "bundle"))

    @cached_property
    def libraries(self) -> Package:
        """The same libraries and their AWS client, without the app."""
        source = shutil.copytree(self.ours.task, self._folder / "libraries-source")
        shutil.copy(HERE / "libraries" / "app.py", source / "app.py")
        shutil.rmtree(source / "chalicelib")
        task = compiled(source, self._folder / "libraries")
        return replace(self.ours, name=LIBRARIES, app=LIBRARIES, task=task, zip_bytes=0)

    @cached_property
    def certifi(self) -> Package:
        """The same with certifi's bundle instead of the root certificates that load fast."""
        task = shutil.copytree(self.ours.task, self._folder / "certifi")
        (task / bundle.AMAZON).unlink()
        shutil.rmtree(task / bundle.ROOTS)
        return replace(self.ours, name=CERTIFI, task=task)

    @cached_property
    def keeping(self) -> Package:
        """The copy that keeps access, as built there by `make package`."""
        tree = fork.create(self._folder / "fork")
        command = [sys.executable, "-m", "deploy.bundle", "dev"]
        subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL)
        built = tree / ".package" / "dev" / "out" / "deployment.zip"
        return self._unzip(KEEPING, built, TOKENS_KMS_ALIAS=fork.ALIAS)

    def _unzip(self, name: str, path: Path, **settings: str) -> Package:
        task = self._folder / "task" / name.replace(" ", "-")
        zipfile.ZipFile(path).extractall(task)
        self._tls.trust(task)
        return Package(name, name, task, path.stat().st_size, {**self._environment, **settings})


def compiled(task: Path, copy: Path, python: Path | str = sys.executable) -> Path:
    """Copy an unzipped package, with bytecode of an interpreter as deploy/bundle.py adds it; returns the copy."""
    shutil.copytree(task, copy, ignore=shutil.ignore_patterns("__pycache__"))
    command = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", copy, "-p", bundle.TASK_ROOT, copy], check=True)
    return copy
