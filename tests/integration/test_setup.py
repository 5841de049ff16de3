"""The first `make` in a clone: what it installs, and what it prints if it cannot."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy import PROJECT
from requirements.lock import INCLUDES, transitively
from tests.support.servers import clean_environment

LISTS = {name: (PROJECT / "requirements" / name).read_text(encoding="utf-8") for name in INCLUDES}
PINS = {name: set(re.findall(r"^([\w.-]+)[^=\n]*==", text, re.MULTILINE)) for name, text in LISTS.items()}
MARK = ".venv/ready-to-run"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of what installs packages, whose only package is a small one in the folder `mirror`."""
    folder = tmp_path / "clone"
    shutil.copytree(PROJECT / "requirements", folder / "requirements")
    for name in ("Makefile", "requirements.txt", ".gitignore", ".gitattributes"):
        shutil.copy(PROJECT / name, folder)
    wheel = tmp_path / "mirror" / "tiny-1-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("chalice/cli.py", "")
        file.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        file.writestr(
            "tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(
            "tiny-1.dist-info/RECORD",
            "\n".join(f"{name},," for name in [*file.namelist(), "tiny-1.dist-info/RECORD"]),
        )
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "requirements" / "run.txt").write_text(f"tiny==1 --hash=sha256:{digest}\n")
    return folder


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make, with only the folder `mirror` as a source of packages."""
    mirror = str(folder.parent / "mirror")
    (folder.parent / "uv.toml").write_text(f'no-index = true\nfind-links = ["{mirror}"]\n')
    sources = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": mirror, "PIP_NO_INDEX": "1"}
    sources |= {"UV_CONFIG_FILE": str(folder.parent / "uv.toml"), "UV_NO_CACHE": "1"}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = clean_environment({**sources, "PATH": path, "PYTHON": sys.executable, **variables})
    given = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run(["make", *arguments], cwd=folder, check=False, **given)  # type: ignore[call-overload, no-any-return]


def imports(folder: Path, module: str) -> bool:
    run = subprocess.run(
        [folder / ".venv/bin/python", "-c", f"import {module}"], check=False, stderr=subprocess.DEVNULL
    )
    return run.returncode == 0


def startup(folder: Path, code: str) -> str:
    """A PYTHONPATH with which every Python runs some code first."""
    (folder / "sitecustomize.py").write_text(code)
    return str(folder)


@pytest.mark.parametrize(
    ("code", "python"),
    [
        ("", "python3.99"),
        ("import sys; sys.version_info = (3, 10)", sys.executable),
        ("import sys; sys.modules['ensurepip'] = None", sys.executable),
    ],
    ids=["no Python", "an old one", "one without venv"],
)
def test_without_a_usable_python_it_asks_for_one(clone: Path, tmp_path: Path, code: str, python: str) -> None:
    failed = make(
        clone, "run", "PORT=5001", PYTHON=python, PYTHONPATH=startup(tmp_path, code), PATH="/usr/bin:/bin"
    )
    assert failed.returncode != 0
    expected = "has no venv module." if "ensurepip" in code else "Python 3.11 or newer is required."
    assert expected in failed.stdout
    assert "sudo apt-get install python3-venv" in failed.stdout
    assert "\n    make run PORT=5001 PYTHON=python3.13\n" in failed.stdout


def test_in_a_read_only_clone_it_asks_for_permission(clone: Path) -> None:
    clone.chmod(0o555)
    by = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*by, "sh", "requirements/install", MARK, "requirements/run.txt", "chalice.cli"]
    failed = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    clone.chmod(0o755)
    assert failed.returncode == 1
    assert f"Cannot install packages into {clone}: you have no permission to write there." in failed.stderr


def test_a_package_that_neither_uv_nor_pip_can_find_is_named_with_the_command_to_repeat(clone: Path) -> None:
    shutil.rmtree(clone.parent / "mirror")
    failed = make(clone, MARK)
    assert failed.returncode != 0
    assert "tiny==1" in failed.stdout
    assert f"\n    make {MARK}\n" in failed.stdout
    assert not (clone / MARK).exists()
    assert "Traceback" not in failed.stdout


@pytest.mark.parametrize("uv", [True, False], ids=["uv", "pip"])
def test_the_users_options_change_neither_where_nor_whether_packages_are_installed(
    clone: Path, tmp_path: Path, uv: bool
) -> None:
    """The user's source of packages stays: the package is in no other."""
    config = tmp_path / "pip.conf"
    elsewhere = tmp_path / "elsewhere"
    config.write_text(
        f"[install]\nuser = true\ntarget = {elsewhere}\nprefix = {elsewhere}\nroot = {elsewhere}\n"
    )
    variables = {"PIP_DRY_RUN": "1", "PIP_USER": "1", "PIP_CONFIG_FILE": str(config)}
    variables |= {} if uv else {"PATH": "/usr/bin:/bin"}
    assert make(clone, MARK, **variables).returncode == 0
    assert imports(clone, "chalice.cli")
    assert ("uv = " in (clone / ".venv/pyvenv.cfg").read_text()) is uv
    assert not elsewhere.exists()


def test_an_environment_is_complete_only_if_it_works_and_is_otherwise_created_again(clone: Path) -> None:
    broken = startup(clone.parent, "import sys; sys.modules['chalice'] = None")
    assert make(clone, MARK, PYTHONPATH=broken).returncode != 0
    assert not (clone / MARK).exists()
    (clone / ".venv" / "half-made").touch()
    running = subprocess.Popen(["make", MARK], cwd=clone, stdout=subprocess.DEVNULL, start_new_session=True)
    time.sleep(0.2)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert make(clone, MARK).returncode == 0
    assert not (clone / ".venv" / "half-made").exists()
    assert "is up to date" in make(clone, MARK).stdout


def test_no_list_repeats_one_that_it_includes_or_names_a_package_index() -> None:
    for name, included in INCLUDES.items():
        assert not PINS[name] & set().union(*(PINS[other] for other in transitively(included)))
        assert re.findall(r"^-.*", LISTS[name], re.MULTILINE) == [f"-r {other}" for other in included]


def test_every_extra_that_a_pinned_package_requires_is_pinned() -> None:
    """Otherwise pip rejects the whole list once the package has a newer version."""
    text = "".join(LISTS[name] for name in transitively(["dev.txt"]))
    pins = [Requirement(pin) for pin in re.findall(r"^\S+==[^\s\\]+", text, re.MULTILINE)]
    locked = {canonicalize_name(pin.name): pin.extras for pin in pins}
    required = [Requirement(line) for name in locked for line in importlib.metadata.requires(name) or ()]
    assert any(needed.extras for needed in required)
    for needed in required:
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            assert needed.extras <= locked.get(canonicalize_name(needed.name), set()), str(needed)


def test_make_run_installs_everything_that_it_imports() -> None:
    sources = [
        PROJECT / "app.py",
        *(PROJECT / "deploy" / f"{name}.py" for name in ("table", "account", "stage")),
    ]
    for folder in ("chalicelib", "local", "simulator"):
        sources += (PROJECT / folder).rglob("*.py")
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    distributions = importlib.metadata.packages_distributions()
    modules = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"_typeshed"}
    needed = {canonicalize_name(name) for module in modules for name in distributions.get(module, ())}
    assert {"flask", "moto", "chalice"} <= needed
    assert needed <= set().union(*(PINS[name] for name in transitively(["run.txt"])))


def test_make_clean_deletes_everything_that_git_ignores_except_records_and_settings(clone: Path) -> None:
    for pattern in (clone / ".gitignore").read_text().split():
        path = clone / pattern.strip("/").replace("*", "x")
        path.mkdir(parents=True)
        (path / "file").touch()
    (clone / ".chalice" / "config.json").touch()
    subprocess.run(["git", "init", "--quiet"], cwd=clone, check=True)
    subprocess.run(["git", "add", "."], cwd=clone, check=True)
    assert make(clone, "clean").returncode == 0
    ignored = subprocess.run(
        ["git", "clean", "-ndX"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout
    assert ignored == "Would remove .chalice/deployed/\nWould remove .env/\n"


def test_a_git_that_converts_line_ends_leaves_those_of_the_sources_alone() -> None:
    command = ["git", "check-attr", "eol", "requirements/install"]
    asked = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert asked.stdout == "requirements/install: eol: lf\n"
