"""The package, a function that runs it, and an account to deploy it to."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import bundle
from deploy.account import Account
from tests.support.deployment import Emulator, emulator


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle.package("dev", tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def task(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unzipped package, as in Lambda's /var/task."""
    folder = tmp_path_factory.mktemp("task")
    zipfile.ZipFile(package).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An AWS account for the tests of a module, empty at first."""
    with emulator(tmp_path_factory.mktemp("emulator")) as started:
        yield started


@pytest.fixture(scope="module")
def here(account: Emulator) -> Iterator[Account]:
    """The same account, for parts of the commands that run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in account.terminal.items():
            patch.setenv(name, value)
        yield Account.current()
