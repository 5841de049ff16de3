"""A copy of the project that keeps access, with the route /top of docs/top.diff."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from bench import mutate
from deploy import PROJECT

ALIAS = "alias/tokens"
"""The KMS key of the copy, in the settings of its stage dev."""


def create(tree: Path) -> Path:
    """Create the copy in the folder `tree`, and return it."""
    mutate.copy(tree)
    add_top(tree)
    path = tree / ".chalice" / "config.json"
    settings = json.loads(path.read_bytes())
    settings["stages"]["dev"]["environment_variables"]["TOKENS_KMS_ALIAS"] = ALIAS
    path.write_text(json.dumps(settings), encoding="utf-8")
    return tree


def add_top(tree: Path) -> None:
    """Apply docs/top.diff to a copy of the app, unless its owner already has."""
    if '@app.route("/top")' in (tree / "app.py").read_text(encoding="utf-8"):
        return
    # Without a ceiling, git would silently skip all files if a folder above were a checkout.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.resolve().parent)}
    subprocess.run(["git", "apply", PROJECT / "docs" / "top.diff"], cwd=tree, env=environment, check=True)  # noqa: S607 - on PATH
