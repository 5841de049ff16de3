"""The zip that `make package` builds."""

from __future__ import annotations

import importlib.util
import json
import marshal
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from chalicelib.site import brand
from deploy import PROJECT, bundle, roots
from deploy.stage import Stage, Stop
from tests.support.runtime import PYTHON
from tests.support.servers import clean_environment, python

LIBRARIES = {"botocore", "certifi", "dateutil", "idna", "itsdangerous", "jmespath", "markupsafe", "requests"}
LIBRARIES |= {"six.py", "urllib3"}


@pytest.fixture(scope="module")
def files(package: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(package) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


@pytest.mark.promise("K2")
def test_the_package_contains_the_app_chalice_and_the_pinned_libraries_and_nothing_else(
    files: dict[str, bytes],
) -> None:
    tops = {name.partition("/")[0] for name in files}
    about = {name for name in tops if name.endswith(".dist-info")}
    assert tops - about == {"app.py", "chalice", "chalicelib", "__pycache__"} | LIBRARIES
    pins = "".join((PROJECT / path).read_text() for path in ("requirements.txt", "requirements/aws.txt"))
    for name in about:
        library, version = name.removesuffix(".dist-info").split("-")
        assert re.search(rf"^{library.replace('_', '[-_]')}=={re.escape(version)} ", pins, re.MULTILINE), name
    assert {name for name in files if name.startswith("chalice/") and name.endswith(".py")} == {
        "chalice/__init__.py",
        "chalice/app.py",
    }


def test_the_package_contains_all_of_chalicelib_unchanged_and_no_tests_secrets_or_git_files(
    files: dict[str, bytes],
) -> None:
    sources = {
        str(path.relative_to(PROJECT)): path.read_bytes()
        for path in Path(PROJECT, "chalicelib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    packed = {name: content for name, content in files.items() if name.startswith("chalicelib/")}
    assert packed.pop(bundle.AMAZON) == roots.amazon()
    for name, root in roots.folder():
        assert packed.pop(f"{bundle.ROOTS}/{name}") == root
    assert {name: content for name, content in packed.items() if not name.endswith(".pyc")} == sources
    unwanted = re.compile(
        r"(^|/)(tests?|\.git|\.env|\.chalice|\.local|simulator|local)(/|$)|secret-key|\.so$"
    )
    assert [name for name in files if unwanted.search(name)] == []


def test_the_bytecode_matches_the_sources(files: dict[str, bytes]) -> None:
    sources = {name for name in files if name.endswith(".py")}
    for name in sources:
        path = PurePosixPath(name)
        compiled = files[str(path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc")]
        assert compiled[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(compiled[4:8], "little") == 0b01, (
            "hash-based and unchecked, because files on Lambda do not change"
        )
        assert compiled[8:16] == importlib.util.source_hash(files[name])
        assert marshal.loads(compiled[16:]) == compile(
            files[name], f"/var/task/{name}", "exec", dont_inherit=True
        )
    assert sum(name.endswith(".pyc") for name in files) == len(sources)


def test_the_same_sources_give_the_same_bytes(package: Path, tmp_path: Path) -> None:
    assert bundle.package("dev", tmp_path / "elsewhere").read_bytes() == package.read_bytes()


def test_chalice_uploads_the_zip_unchanged(package: Path, tmp_path: Path) -> None:
    environment = clean_environment({"AWS_DEFAULT_REGION": "eu-west-1"})
    command = [bundle.CHALICE, "package", "--stage", "dev", str(tmp_path)]
    subprocess.run(command, cwd=package.parents[1], env=environment, check=True)
    assert (tmp_path / "deployment.zip").read_bytes() == package.read_bytes()


@pytest.mark.promise("P4", "P6")
def test_a_brand_that_cannot_be_used_or_is_hard_to_read_is_not_packaged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(brand, "LINKS", {"Privacy": "http://example.com"})
    with pytest.raises(Stop, match="links 'Privacy' to 'http:"):
        bundle.bundle("dev", tmp_path / "build")
    monkeypatch.setattr(brand, "LINKS", {})
    monkeypatch.setitem(brand.COLOURS["dark"], "ink", brand.COLOURS["dark"]["paper"])
    with pytest.raises(Stop, match=r"ink of .* is hard to read on paper"):
        bundle.bundle("dev", tmp_path / "build")


def test_an_unknown_stage_is_rejected() -> None:
    command = python("-m", "deploy.bundle", "prdo")
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr
        == "There is no stage 'prdo' in .chalice/config.json.\n    Add one of: STAGE=dev, STAGE=prod.\n"
    )


def operations(folder: Path) -> list[str]:
    """The services that botocore knows in a folder, and their operations."""
    script = (
        "import botocore.session, botocore.utils\n"
        "session = botocore.session.Session()\n"
        "for name in session.get_available_services():\n"
        "    print(name, *session.get_service_model(name).operation_names)\n"
    )
    return subprocess.run(
        [PYTHON, "-c", script],
        cwd=folder,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


OPERATIONS = ["dynamodb DeleteItem GetItem UpdateItem", "ssm GetParametersByPath"]


def test_a_refused_write_returns_the_item(files: dict[str, bytes]) -> None:
    (name,) = (name for name in files if re.fullmatch(r"botocore/data/dynamodb/[\d-]+/service-2.json", name))
    refused = json.loads(files[name])["shapes"]["ConditionalCheckFailedException"]
    assert refused["exception"]
    assert set(refused["members"]) == {"message", "Item"}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files that a bundle is built from, without chalicelib."""
    copy = tmp_path / "checkout"
    shutil.copytree(PROJECT / ".chalice", copy / ".chalice", ignore=shutil.ignore_patterns("deploy*"))
    shutil.copy(PROJECT / "app.py", copy)
    shutil.copy(PROJECT / "requirements.txt", copy)
    monkeypatch.setattr(bundle, "PROJECT", copy)
    return copy


def settings(project: Path) -> Any:
    return json.loads((project / ".chalice" / "config.json").read_text())


@pytest.mark.promise("M1")
def test_only_a_stage_that_keeps_access_may_use_kms_and_all_keep_their_tags(
    checkout: Path, tmp_path: Path
) -> None:
    config = settings(checkout) | {"tags": {"CostCenter": "42"}}
    config["stages"]["dev"]["environment_variables"]["TOKENS_KMS_ALIAS"] = "alias/spotify-login-dev"
    (checkout / ".chalice" / "config.json").write_text(json.dumps(config))
    with_kms = [*OPERATIONS[:1], "kms Decrypt Encrypt", *OPERATIONS[1:]]
    for stage, known in (("dev", with_kms), ("prod", OPERATIONS)):
        build = tmp_path / stage
        bundle.bundle(stage, build)
        assert settings(build)["tags"]["CostCenter"] == "42"
        assert operations(build / "vendor") == known
        policy = json.loads((build / ".chalice" / f"policy-{stage}.json").read_text())
        assert policy == Stage.load(stage, checkout).policy == Stage.load(stage, build).policy
        own = json.loads((checkout / ".chalice" / f"policy-{stage}.json").read_text())
        assert (policy == own) is (stage == "prod")


def test_hidden_files_are_not_packaged(checkout: Path, tmp_path: Path) -> None:
    for folder in (checkout / "chalicelib", checkout / "chalicelib" / ".copies", checkout / ".chalice"):
        folder.mkdir(exist_ok=True)
        for suffix in ("py", "html", "json"):
            (folder / f".#a.{suffix}").symlink_to("user@host.1234")
            (folder / f"._a.{suffix}").write_bytes(b"\x00\x05\x16\x07\xff")
    (checkout / "chalicelib" / ".copies" / "a.py").touch()
    (checkout / "chalicelib" / "a.py").touch()
    bundle.bundle("dev", tmp_path / "build")
    kept = [
        path for path in (tmp_path / "build" / "chalicelib").rglob("*") if path.suffix in {".py", ".html"}
    ]
    assert [path.name for path in kept] == ["a.py"]
    assert list((tmp_path / "build" / ".chalice").glob(".*")) == []


def test_a_file_that_cannot_be_packaged_is_named(checkout: Path, tmp_path: Path) -> None:
    (checkout / "app.py").write_bytes(b"\xff")
    (checkout / "chalicelib").mkdir()
    with pytest.raises(Stop, match=r"Could not read app\.py: it is not UTF-8\."):
        bundle.bundle("dev", tmp_path / "build")
