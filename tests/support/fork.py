"""Copies of the project that can be changed, such as a site that keeps access, with the example of docs/extending.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy import PROJECT
from tests.support.visitor import HttpVisitor

ALIAS = "alias/tokens"
"""The KMS key of the site, in the settings of its stage dev."""

FOLDERS = ["chalicelib", ".chalice", "deploy", "docs", "local", "simulator", "tests", "bench", "requirements"]
FILES = [".gitignore", "app.py", "pyproject.toml", "requirements.txt", "README.md", "Makefile"]
INSTALLED = (".runtime", ".emulator")


def copy(tree: Path) -> Path:
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "deployed", "deployments")
        shutil.copytree(PROJECT / name, tree / name, ignore=ignored)
    for name in FILES:
        shutil.copy(PROJECT / name, tree)
    for name in INSTALLED:
        (tree / name).symlink_to(PROJECT / name)
    return tree


def create(tree: Path) -> Path:
    """Create a site that keeps access in the folder `tree`, and return it."""
    add_example(copy(tree))
    path = tree / ".chalice" / "config.json"
    settings = json.loads(path.read_bytes())
    settings["stages"]["dev"]["environment_variables"]["TOKENS_KMS_ALIAS"] = ALIAS
    path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    return tree


def add_example(tree: Path) -> None:
    """Apply docs/example.diff to a copy of the project."""
    # Without a ceiling, git would silently skip all files if a folder above were a checkout.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.resolve().parent)}
    subprocess.run(["git", "apply", PROJECT / "docs" / "example.diff"], cwd=tree, env=environment, check=True)


def open_top(home: str, cookies: Mapping[str, str]) -> bool:
    """Open /top with a copy of a browser's cookies. Returns whether it shows artists."""
    reply = HttpVisitor(home, dict(cookies)).get("/top", {"Accept": "application/json"})
    assert reply.status == 200, reply
    return bool(json.loads(reply.text))
