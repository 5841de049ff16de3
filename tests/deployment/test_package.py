"""What `make package` makes."""

from __future__ import annotations

import importlib.util
import marshal
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from deploy import PROJECT, bundle, descriptions
from tests.support.runtime import PYTHON
from tests.support.servers import clean_environment, python

LIBRARIES = {
    "botocore",
    "certifi",
    "dateutil",
    "idna",
    "itsdangerous",
    "jmespath",
    "markupsafe",
    "requests",
    "six.py",
    "urllib3",
}


@pytest.fixture(scope="module")
def files(package: Path) -> dict[str, bytes]:
    """The contents of the zip, by name."""
    with zipfile.ZipFile(package) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def test_it_holds_the_app_chalice_and_the_pinned_libraries_and_nothing_else(files: dict[str, bytes]) -> None:
    tops = {name.partition("/")[0] for name in files}
    about = {name for name in tops if name.endswith(".dist-info")}
    assert tops - about == {"app.py", "chalice", "chalicelib", "__pycache__"} | LIBRARIES
    pins = "".join((PROJECT / f"requirements{part}.txt").read_text() for part in ("", "-dev"))
    for name in about:
        library, version = name.removesuffix(".dist-info").split("-")
        assert re.search(rf"^{library.replace('_', '[-_]')}=={re.escape(version)} ", pins, re.MULTILINE), name
    assert {name for name in files if name.startswith("chalice/") and name.endswith(".py")} == {
        "chalice/__init__.py",
        "chalice/app.py",
    }


def test_it_holds_all_of_chalicelib_as_it_is(files: dict[str, bytes]) -> None:
    sources = {
        str(path.relative_to(PROJECT)): path.read_bytes()
        for path in Path(PROJECT, "chalicelib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name: content for name, content in files.items() if name.startswith("chalicelib/")}
    assert {name: content for name, content in packed.items() if not name.endswith(".pyc")} == sources


def test_it_holds_no_tests_no_secrets_and_no_git(files: dict[str, bytes]) -> None:
    unwanted = re.compile(
        r"(^|/)(tests?|\.git|\.env|\.chalice|\.local|simulator|local)(/|$)|secret-key|\.so$"
    )
    assert [name for name in files if unwanted.search(name)] == []


def test_the_bytecode_is_of_exactly_these_sources(files: dict[str, bytes]) -> None:
    sources = {name for name in files if name.endswith(".py")}
    for name in sources:
        path = PurePosixPath(name)
        compiled = files[str(path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc")]
        assert compiled[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(compiled[4:8], "little") == 0b01, (
            "by hash, unchecked: Lambda's files do not change"
        )
        assert compiled[8:16] == importlib.util.source_hash(files[name])
        assert marshal.loads(compiled[16:]) == compile(
            files[name], f"/var/task/{name}", "exec", dont_inherit=True
        )
    assert sum(name.endswith(".pyc") for name in files) == len(sources)


def test_the_same_sources_give_the_same_bytes(package: Path, tmp_path: Path) -> None:
    assert bundle.package("dev", tmp_path / "elsewhere").read_bytes() == package.read_bytes()


def test_chalice_takes_it_as_it_is(package: Path, tmp_path: Path) -> None:
    environment = clean_environment({"AWS_DEFAULT_REGION": "eu-west-1"})
    command = [str(Path(sys.executable).with_name("chalice")), "package", "--stage", "dev", str(tmp_path)]
    subprocess.run(command, cwd=package.parents[1], env=environment, check=True)
    assert (tmp_path / "deployment.zip").read_bytes() == package.read_bytes()


def test_a_stage_that_does_not_exist_is_a_sentence() -> None:
    command = python("-m", "deploy.bundle", "prdo")
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "There is no stage 'prdo' in .chalice/config.json.\n    There are: dev, prod.\n"


def test_botocore_can_do_what_the_policy_allows_and_nothing_else(task: Path) -> None:
    script = (
        "import botocore.session, botocore.utils\n"
        "session = botocore.session.Session()\n"
        "for name in session.get_available_services():\n"
        "    print(name, *session.get_service_model(name).operation_names)\n"
    )
    lines = subprocess.run(
        [PYTHON, "-c", script],
        cwd=task,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert lines == ["dynamodb DeleteItem GetItem UpdateItem", "ssm GetParametersByPath"]


def test_an_action_may_stand_alone_in_a_policy() -> None:
    policy = {"Statement": [{"Action": "ssm:GetParametersByPath"}, {"Action": ["logs:PutLogEvents"]}]}
    assert descriptions.allowed(policy) == {"ssm": {"GetParametersByPath"}}
