"""The functions that are measured, each as it is deployed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import fork, report
from deploy import PROJECT, bundle
from simulator.spotify import Application
from tests.support.counted import cloud
from tests.support.gateway import STAGE_URL
from tests.support.runtime import Function, function
from tests.support.world import SECRET_KEY

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Package:
    """A function as it is deployed."""

    name: str
    task: Path
    zip_bytes: int
    environment: Mapping[str, str]

    @property
    def unpacked_bytes(self) -> int:
        """The size of the files in the zip."""
        return sum(path.stat().st_size for path in self.task.rglob("*") if path.is_file())


class Bench:
    """Runs packages with an emulated AWS and a simulated Spotify."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cloud = cloud(SECRET_KEY, fork.ALIAS)

    def ours(self) -> Package:
        """The app of this repository, as built by `make package`."""
        return self._unzip("this app", bundle.package("dev", self._folder / "bundle"), self.cloud.environment)

    def keeping(self) -> Package:
        """The copy that keeps access, as built there by `make package`."""
        tree = fork.create(self._folder / "fork")
        command = [sys.executable, "-m", "deploy.bundle", "dev"]
        subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL)
        built = tree / ".package" / "dev" / "out" / "deployment.zip"
        environment = {**self.cloud.environment, "TOKENS_KMS_ALIAS": fork.ALIAS}
        return self._unzip("this app, keeping access", built, environment)

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
        command = [str(Path(sys.executable).with_name("chalice")), "package", "out"]
        subprocess.run(command, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)
        settings = {
            "SPOTIFY_CLIENT_ID": Application.client_id,
            "SPOTIFY_CLIENT_SECRET": Application.client_secret,
            "SPOTIFY_REDIRECT_URI": f"{STAGE_URL}/callback",
            "SECRET_KEY": SECRET_KEY,
        }
        return self._unzip(
            "plain Chalice", source / "out" / "deployment.zip", {**self.cloud.environment, **settings}
        )

    def empty(self) -> Package:
        """The empty function."""
        path = self._folder / "empty.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(HERE / "empty" / "app.py", "app.py")
        return self._unzip(report.BASE, path, {})

    def _unzip(self, name: str, path: Path, environment: Mapping[str, str]) -> Package:
        task = self._folder / "task" / name.replace(" ", "-")
        zipfile.ZipFile(path).extractall(task)
        return Package(name, task, path.stat().st_size, environment)

    @contextlib.contextmanager
    def start(self, package: Package, **environment: str) -> Iterator[Function]:
        """Start a package's function."""
        with function(package.task, {**package.environment, **environment}, self._folder / "log") as started:
            yield started
