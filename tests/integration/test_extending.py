"""The examples of docs/extending.md, applied and run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy import PROJECT
from tests.support import fork
from tests.support.servers import clean_environment, python

TEXT = (PROJECT / "docs" / "extending.md").read_text(encoding="utf-8")
PATCHES = re.findall(r"```diff\n(.*?)```", TEXT, re.DOTALL)
ROUTE, TEKORE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(SCOPE,) = re.findall(r'SPOTIFY_SCOPE="([^"]+)"', TEXT)

EXAMPLES = f"""
import json

from tests.support.gateway import STAGE_URL


def test_the_examples(visitor, monkeypatch):
    asked = {{"Accept": "application/json", "Sec-Fetch-Dest": "empty"}}
    assert visitor.get("/profile", asked).status == 401
    away = visitor.get("/account").location
    assert visitor.get(visitor.agree(visitor.get(away).location)).location == f"{{STAGE_URL}}/account"
    assert "Subscription: premium" in visitor.get("/").words
    assert json.loads(visitor.get("/profile", asked).text)["product"] == "premium"
    visitor.get("/logout")
    assert visitor.get("/account").location == away
    monkeypatch.setenv("SPOTIFY_SCOPE", {SCOPE!r})
    assert "2 permissions" in visitor.get("/").words
    assert visitor.log_in().status == 307
    assert visitor.see_id() == "pia.premium"
"""

SHOWS_ARTISTS = """
import json

import boto3
import requests

from tests.support.gateway import STAGE_URL


def test_the_route_shows_artists(visitor, spotify, monkeypatch):
    monkeypatch.setenv("TOKENS_KMS_ALIAS", "alias/tokens")
    kms = boto3.client("kms")
    kms.create_alias(AliasName="alias/tokens", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    away = visitor.get("/top").location
    assert visitor.get(visitor.agree(visitor.get(away).location)).location == f"{STAGE_URL}/top"
    artists = json.loads(visitor.get("/top").text)
    assert len(artists) == 5 and all(isinstance(name, str) for name in artists), artists
"""

WITHDRAWS = """
    requests.post(f"{spotify}/_simulator/expire", timeout=30)
    assert visitor.get("/top").status == 200
    requests.post(f"{spotify}/_simulator/revoke", data={"user_id": "pia.premium"}, timeout=30)
    assert visitor.get("/top").status == 403
    assert visitor.see_id() == "pia.premium"
"""

TO_THE_SIMULATOR = """\
    import tekore._client.base

    monkeypatch.setattr(tekore._client.base, "prefix", f"{spotify}/v1/")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in ("chalicelib", ".chalice"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    shutil.copy(PROJECT / "app.py", tmp_path)
    return tmp_path


def add(path: Path, lines: list[str]) -> None:
    """Insert the lines that begin with `+` below the other line, which must occur once in the file.

    An owner who followed the document has inserted them already.
    """
    anchor = [line[1:] for line in lines if not line.startswith("+")]
    added = [line[1:] for line in lines if line.startswith("+")]
    if not anchor:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(added) + "\n")
        return
    before = path.read_text().splitlines()
    if "\n".join(added) in "\n".join(before):
        return
    changed = f"{path.name} has changed. Correct docs/extending.md, or delete the example there and here."
    assert before.count(anchor[0]) == len(anchor) == 1, changed
    place = before.index(anchor[0]) + 1
    path.write_text("\n".join([*before[:place], *added, *before[place:]]) + "\n")


def run_tests(checkout: Path, text: str) -> None:
    """Run a module of tests, and those of the document, with the fixtures of this project's tests."""
    (checkout / "test_examples.py").write_text(text)
    environment = clean_environment({"PYTHONPATH": f"{checkout}:{PROJECT}"})
    command = python("-m", "pytest", "-p", "tests.conftest", *map(str, checkout.rglob("test_*.py")))
    subprocess.run(command, cwd=checkout, env=environment, check=True)


def test_the_examples_work_when_applied(checkout: Path) -> None:
    for patch in PATCHES:
        for section in patch.split("--- ")[1:]:
            name, _, lines = section.partition("\n")
            add(checkout / name, lines.splitlines())
    run_tests(checkout, EXAMPLES)


def test_the_route_of_the_patch_calls_spotify_for_the_user_with_requests_and_with_tekore(
    checkout: Path,
) -> None:
    fork.add_top(checkout)
    path = checkout / "app.py"
    text = path.read_text()
    assert ROUTE.strip() in text
    run_tests(checkout, SHOWS_ARTISTS + WITHDRAWS)
    body = re.search(r"    user, spotify = services.*?\n\n\n", text, re.DOTALL)
    assert body
    path.write_text("import tekore\n" + text.replace(body[0], TEKORE + "\n\n"))
    run_tests(checkout, SHOWS_ARTISTS.replace("):\n", "):\n" + TO_THE_SIMULATOR, 1))
