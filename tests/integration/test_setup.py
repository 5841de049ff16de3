"""The first `make` in a clone: what it installs, and what it prints if it cannot."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy import PROJECT
from tests.support.servers import clean_environment, free_port

MAKE = shutil.which("make") or "make"
READY = ".venv/ready-to-run"
LISTS = ("run.txt", "dev.txt", "runtime.txt", "emulator.txt")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the files that install packages."""
    folder = tmp_path / "clone"
    shutil.copytree(PROJECT / "requirements", folder / "requirements")
    shutil.copy2(PROJECT / "Makefile", folder)
    return folder


@pytest.fixture
def empty(clone: Path) -> Path:
    """Such a copy, whose lists name no packages."""
    for name in LISTS:
        (clone / "requirements" / name).write_text("")
    return clone


def make(
    folder: Path, *arguments: str, variables: Mapping[str, str] | None = None, by: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run make, perhaps by another program."""
    return subprocess.run(
        [*by, MAKE, *arguments],
        cwd=folder,
        env={**environment(), **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def environment() -> dict[str, str]:
    """An environment in which `python3` is this Python, and pip finds no packages."""
    offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:1/simple"}
    return clean_environment(offline | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})


def with_startup_code(folder: Path, code: str) -> dict[str, str]:
    """The variables that make every Python run some code first."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(folder)}


def test_without_python_it_asks_for_python(clone: Path) -> None:
    failed = make(clone, "run", "PORT=5001", "PYTHON=python3.99")
    assert failed.returncode != 0
    assert "Python is required, but python3.99 is not installed." in failed.stdout
    assert "\n    make run PORT=5001 PYTHON=python3.13\n" in failed.stdout


def test_without_any_python_it_names_debians_package(clone: Path, tmp_path: Path) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    (path / "sh").symlink_to("/bin/sh")
    failed = make(clone, "run", variables={"PATH": str(path)})
    assert failed.returncode != 0
    assert "Python is required, but python3 is not installed." in failed.stdout
    assert "\n    sudo apt-get install python3-venv\n" in failed.stdout


def test_with_an_old_python_it_asks_for_a_newer_one(clone: Path, tmp_path: Path) -> None:
    old = with_startup_code(tmp_path / "old", "import sys; sys.version_info = (3, 10, 9, 'final', 0)")
    failed = make(clone, "deploy", "STAGE=dev", variables=old)
    assert failed.returncode != 0
    assert "Python 3.11 or newer is required, but python3 is Python 3." in failed.stdout
    assert "\n    make deploy STAGE=dev PYTHON=python3.13\n" in failed.stdout


def test_without_ensurepip_it_names_debians_package(clone: Path, tmp_path: Path) -> None:
    without = with_startup_code(tmp_path / "without", "import sys; sys.modules['ensurepip'] = None")
    failed = make(clone, "run", variables=without)
    assert failed.returncode != 0
    assert "Python's modules venv and ensurepip are required, but python3 lacks them." in failed.stdout
    assert "\n    sudo apt-get install python3-venv\n" in failed.stdout
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("own", [True, False])
def test_in_a_read_only_clone_it_asks_for_permission(clone: Path, own: bool) -> None:
    as_root = os.geteuid() == 0
    if not own:
        if not as_root:
            pytest.skip("only root can give a folder to another user")
        os.chown(clone, 65534, -1)
    clone.chmod(0o555)
    by = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-all") if as_root else ()
    try:
        failed = make(clone, "run", by=by)
    finally:
        clone.chmod(0o755)
    assert failed.returncode != 0
    assert f"Cannot install packages into {clone}/.venv: you have no permission" in failed.stdout
    fix = f'chmod -R u+w "{clone}"' if own else f'sudo chown -R "$(id -un)" "{clone}"'
    assert f"\n    {fix}\n" in failed.stdout


def test_without_a_network_it_prints_pips_reason_and_the_command_to_repeat(clone: Path) -> None:
    failed = make(clone, "run", "PORT=5001")
    assert failed.returncode != 0
    assert re.search(
        r"pip could not install requirements/run\.txt: .*\(\[Errno \d+\] Connection refused\)\.",
        failed.stdout,
    )
    assert "\n    make run PORT=5001\n" in failed.stdout
    assert "Traceback" not in failed.stdout
    assert "WARNING" not in failed.stdout


def test_behind_a_proxy_that_pip_does_not_trust_it_prints_that_reason(clone: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index = f"https://127.0.0.1:{server.server_port}/simple"
        failed = make(clone, "run", variables={"PIP_INDEX_URL": index})
        server.shutdown()
    assert failed.returncode != 0
    assert re.search(
        r"pip could not install requirements/run\.txt: .* "
        r"\(\[SSL: CERTIFICATE_VERIFY_FAILED\] certificate verify failed: [\w -]+\w\)\.\n",
        failed.stdout,
    )


def test_a_first_setup_that_was_killed_is_repeated_from_the_start(empty: Path) -> None:
    running = subprocess.Popen(
        [MAKE, READY], cwd=empty, env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
    )
    while not (empty / ".venv" / "bin" / "python").exists():
        assert running.poll() is None
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    half = empty / ".venv" / "half-made"
    half.touch()
    assert not (empty / READY).exists()

    assert make(empty, READY).returncode == 0
    assert not half.exists()
    assert (empty / READY).exists()
    assert "is up to date" in make(empty, READY).stdout


def test_an_update_that_failed_leaves_no_mark_of_a_complete_environment(empty: Path) -> None:
    assert make(empty, ".venv/ready").returncode == 0
    assert sorted(path.name for path in (empty / ".venv").glob("ready*")) == ["ready", "ready-to-run"]
    (empty / "requirements" / "dev.txt").write_text(f"unknown==1 --hash=sha256:{'0' * 64}\n")
    later = time.time() + 5
    os.utime(empty / "requirements" / "dev.txt", (later, later))
    assert make(empty, ".venv/ready").returncode != 0
    assert list((empty / ".venv").glob("ready*")) == []


def pins(name: str) -> dict[str, Requirement]:
    lines = (PROJECT / "requirements" / name).read_text().splitlines()
    found = [Requirement(line.rstrip(" \\")) for line in lines if "==" in line]
    return {canonicalize_name(pin.name): pin for pin in found}


def test_make_run_installs_the_same_versions_as_all_other_commands() -> None:
    run, dev = pins("run.txt"), pins("dev.txt")
    assert {name: pin.specifier for name, pin in run.items()} == {name: dev[name].specifier for name in run}
    assert {"mypy", "playwright", "ruff", "pytest"} <= set(dev) - set(run)


def test_make_run_installs_everything_that_it_imports() -> None:
    sources = [
        PROJECT / "app.py",
        *(PROJECT / "deploy" / f"{name}.py" for name in ("table", "account", "stage")),
    ]
    for folder in ("chalicelib", "local", "simulator"):
        sources += (PROJECT / folder).rglob("*.py")
    imported = set()
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    distributions = importlib.metadata.packages_distributions()
    third_party = imported - set(sys.stdlib_module_names) - {"_typeshed"}
    needed = {canonicalize_name(name) for module in third_party for name in distributions.get(module, ())}
    assert {"flask", "moto", "chalice"} <= needed
    assert needed <= set(pins("run.txt"))


@pytest.mark.parametrize("path", ["requirements.txt", *(f"requirements/{name}" for name in LISTS)])
def test_no_list_names_a_package_index_of_one_machine(path: str) -> None:
    lines = (PROJECT / path).read_text().splitlines()
    assert [line for line in lines if line.startswith("--")] == []


def test_make_clean_deletes_everything_that_git_ignores_except_records_and_settings(clone: Path) -> None:
    shutil.copy(PROJECT / ".gitignore", clone)
    patterns = (clone / ".gitignore").read_text().split()
    for pattern in patterns:
        path = clone / pattern.strip("/").replace("*", "x")
        path.mkdir(parents=True)
        (path / "file").touch()
    (clone / "tests" / "__pycache__").mkdir(parents=True)
    (clone / "tests" / "__pycache__" / "test.pyc").touch()
    (clone / ".chalice" / "config.json").touch()
    subprocess.run(["git", "init", "--quiet"], cwd=clone, check=True)
    subprocess.run(["git", "add", "."], cwd=clone, check=True)
    assert make(clone, "clean").returncode == 0
    ignored = subprocess.run(
        ["git", "clean", "-ndX"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.removeprefix("Would remove ") for line in ignored] == [".chalice/deployed/", ".env/"]


def test_a_clone_by_a_git_that_converts_line_ends_still_installs(clone: Path, tmp_path: Path) -> None:
    shutil.copy(PROJECT / ".gitattributes", clone)
    there = tmp_path / "there"
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        [*author, "commit", "--quiet", "--message=all"],
        ["-c", "core.autocrlf=true", "clone", "--quiet", ".", there],
    ):
        subprocess.run(["git", *command], cwd=clone, check=True)
    subprocess.run(["sh", "-n", "requirements/install"], cwd=there, check=True)
    assert make(there, "help").returncode == 0
    assert [path for path in there.rglob("*") if ".git" not in path.parts and b"\r" in contents(path)] == []


def contents(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def test_without_chromium_make_screenshots_names_its_package(clone: Path, tmp_path: Path) -> None:
    (clone / ".venv").symlink_to(sys.prefix)
    (clone / "tests").symlink_to(PROJECT / "tests")
    failed = make(clone, "screenshots", "--assume-old=.venv/ready", variables={"PATH": str(tmp_path)})
    assert failed.returncode != 0
    assert "make screenshots needs Chromium, but none is installed." in failed.stdout
    assert "\n    sudo apt-get install chromium\n" in failed.stdout
    assert "Traceback" not in failed.stdout
    assert "cp:" not in failed.stdout


def test_without_a_network_make_doctor_says_that_aws_cannot_be_reached() -> None:
    made_up = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
    proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{free_port()}", "AWS_CONFIG_FILE": os.devnull}
    failed = subprocess.run(
        [sys.executable, "-m", "deploy", "doctor", "dev"],
        cwd=PROJECT,
        env=clean_environment({**made_up, **proxy}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert "\n- Cannot reach AWS in region eu-west-1: " in failed.stdout
    assert "\n    make doctor STAGE=dev\n" in failed.stdout
    assert "Traceback" not in failed.stdout
