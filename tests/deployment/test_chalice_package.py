"""The zip that `chalice package` builds from a clean export."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from deploy import PROJECT
from tests.support.servers import clean_environment, python

PACKAGE = python("-c", "import sys; from chalice.cli import main; sys.exit(main())", "package", "out")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The zip, packaged with only a region in the environment."""
    export = tmp_path_factory.mktemp("export")
    for name in ("app.py", "requirements.txt"):
        shutil.copy(PROJECT / name, export)
    for name in ("chalicelib", ".chalice"):
        shutil.copytree(
            PROJECT / name, export / name, ignore=shutil.ignore_patterns("__pycache__", "deploy*")
        )
    subprocess.run(
        PACKAGE, cwd=export, env=clean_environment({"AWS_DEFAULT_REGION": "eu-west-1"}), check=True
    )
    return zipfile.ZipFile(export / "out" / "deployment.zip")


@pytest.mark.promise("K2")
def test_the_zip_contains_the_app_chalice_and_the_pinned_wheels_and_nothing_else(
    package: zipfile.ZipFile,
) -> None:
    pinned = re.findall(r"^([\w-]+)==([\w.]+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    wheels = {name.replace("-", "_") for name, _ in pinned}
    distributions = {f"{name.replace('-', '_')}-{version}.dist-info" for name, version in pinned}
    tops = {name.partition("/")[0] for name in package.namelist()}
    assert tops == {"app.py", "chalice", "chalicelib"} | wheels | distributions
    assert {
        name for name in package.namelist() if name.startswith("chalice/") and not name.endswith("/")
    } == {
        "chalice/__init__.py",
        "chalice/app.py",
    }


def test_the_zip_contains_all_of_chalicelib(package: zipfile.ZipFile) -> None:
    source = {
        str(path.relative_to(PROJECT))
        for path in Path(PROJECT, "chalicelib").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    packed = {
        name for name in package.namelist() if name.startswith("chalicelib/") and not name.endswith("/")
    }
    assert packed == source


def test_the_zip_is_small(package: zipfile.ZipFile) -> None:
    assert sum(entry.compress_size for entry in package.infolist()) < 1_000_000, "Lambda provides boto3"
