"""The package, a function that runs it, and an account to deploy it to."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import bundle
from tests.support.browser import browser, page
from tests.support.counted import Cloud, cloud
from tests.support.deployment import Emulator, emulator
from tests.support.runtime import Function, function
from tests.support.world import SECRET_KEY

__all__ = ["browser", "page"]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip that `make package STAGE=dev` builds."""
    return bundle.package("dev", tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def task(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unzipped package, as in Lambda's /var/task."""
    folder = tmp_path_factory.mktemp("task")
    zipfile.ZipFile(package).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def aws() -> Cloud:
    """The services that the function calls."""
    return cloud(SECRET_KEY)


@pytest.fixture
def running(task: Path, aws: Cloud, tmp_path: Path) -> Iterator[Function]:
    """The initialized function, with the counts reset."""
    with function(task, aws.environment, tmp_path / "log") as started:
        aws.forget()
        yield started


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Emulator]:
    """An empty AWS account."""
    with emulator(tmp_path) as started:
        started.edit(throttling={"rate": 1000, "burst": 1000})
        yield started
