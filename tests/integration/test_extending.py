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

SETUP = """
import json
import os
from moto import mock_aws
from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.support.gateway import STAGE_URL, GatewayVisitor
from tests.support.table import TABLE, Table

spotify = serve(create_app(Application(redirect_uris=(f"{STAGE_URL}/callback",))))
os.environ |= {
    "SPOTIFY_CLIENT_ID": Application.client_id,
    "SPOTIFY_CLIENT_SECRET": Application.client_secret,
    "SPOTIFY_ACCOUNTS_URL": spotify,
    "SPOTIFY_API_URL": spotify,
    "SECRET_KEY": "a signing key that is used only in tests",
    "USERS_TABLE": TABLE,
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}
with mock_aws():
    Table().create()
"""

SCOPE = re.findall(r'SPOTIFY_SCOPE="([^"]+)"', TEXT)[0]

EXAMPLES = {
    "more of the profile": """
    visitor = GatewayVisitor()
    visitor.log_in("premium")
    assert "Subscription: premium" in visitor.get("/").words
""",
    "a route for logged-in users": """
    visitor = GatewayVisitor()
    away = visitor.get("/account").location
    assert away == f"{STAGE_URL}/login?return_to=%2Faccount"
    assert visitor.get(visitor.agree(visitor.get(away).location)).location == f"{STAGE_URL}/account"
    assert "Only Pia Premium sees this." in visitor.get("/account").words
    visitor.get("/logout")
    assert visitor.get("/account").location == away
""",
    "JSON for a front end": """
    visitor = GatewayVisitor()
    asked = {"Accept": "application/json", "Sec-Fetch-Dest": "empty"}
    assert visitor.get("/profile", asked).status == 401
    visitor.log_in("premium")
    assert json.loads(visitor.get("/profile", asked).text)["product"] == "premium"
""",
    "other scopes": f"""
    visitor = GatewayVisitor()
    os.environ["SPOTIFY_SCOPE"] = {SCOPE!r}
    assert "2 permissions" in visitor.get("/").words
    assert visitor.log_in("premium").status == 307
    assert visitor.see_id() == "pia.premium"
""",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the app that a test can change."""
    shutil.copytree(PROJECT / "chalicelib", tmp_path / "chalicelib")
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


def test_the_examples_work_when_applied(checkout: Path) -> None:
    assert len(PATCHES) == len(EXAMPLES) - 1
    for patch in PATCHES:
        for section in patch.split("--- ")[1:]:
            name, _, lines = section.partition("\n")
            add(checkout / name, lines.splitlines())
    environment = clean_environment({"PYTHONPATH": f"{checkout}:{PROJECT}"})
    script = SETUP + "".join(EXAMPLES.values())
    subprocess.run(python("-c", script), cwd=checkout, env=environment, check=True)
    tests = [str(path) for path in checkout.rglob("test_*.py")]
    assert len(tests) == TEXT.count("\n--- tests/")
    command = python("-m", "pytest", "-p", "tests.conftest", *tests)
    subprocess.run(command, cwd=checkout, env=environment, check=True)


SHOWS_ARTISTS = """
import boto3

os.environ["TOKENS_KMS_ALIAS"] = "alias/tokens"
with mock_aws():
    kms = boto3.client("kms")
    kms.create_alias(AliasName="alias/tokens", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    Table().create()
    visitor = GatewayVisitor()
    away = visitor.get("/top").location
    assert visitor.get(visitor.agree(visitor.get(away).location)).location == f"{STAGE_URL}/top"
    artists = json.loads(visitor.get("/top").text)
    assert len(artists) == 5 and all(isinstance(name, str) for name in artists), artists
"""

WITHDRAWS = """
    import requests

    requests.post(f"{spotify}/_simulator/expire", timeout=30)
    assert visitor.get("/top").status == 200
    requests.post(f"{spotify}/_simulator/revoke", data={"user_id": "pia.premium"}, timeout=30)
    assert visitor.get("/top").status == 403
    assert visitor.see_id() == "pia.premium"
"""

TO_THE_SIMULATOR = """
import tekore._client.base

tekore._client.base.prefix = f"{spotify}/v1/"
"""


def show_artists(checkout: Path, script: str) -> None:
    setup = SETUP.partition("with mock_aws")[0]
    environment = clean_environment({"PYTHONPATH": f"{checkout}:{PROJECT}"})
    subprocess.run(python("-c", setup + script), cwd=checkout, env=environment, check=True)


@pytest.fixture
def with_top(checkout: Path) -> Path:
    """A copy of the app with docs/top.diff applied."""
    fork.add_top(checkout)
    return checkout


def test_the_documented_route_is_the_one_in_the_patch(with_top: Path) -> None:
    assert ROUTE.strip() in (with_top / "app.py").read_text()


def test_a_route_calls_spotify_for_the_user(with_top: Path) -> None:
    show_artists(with_top, SHOWS_ARTISTS + WITHDRAWS)


def test_a_route_calls_spotify_with_tekore(with_top: Path) -> None:
    path = with_top / "app.py"
    text = path.read_text()
    body = re.search(r"    user, spotify = services.*?\n\n\n", text, re.DOTALL)
    assert body
    path.write_text("import tekore\n" + text.replace(body[0], TEKORE + "\n\n"))
    show_artists(with_top, TO_THE_SIMULATOR + SHOWS_ARTISTS)
