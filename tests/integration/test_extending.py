"""The worked example of docs/extending.md, applied and run, and an upgrade of a site that has it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from deploy import PROJECT
from tests.support import fork
from tests.support.servers import clean_environment, python

TEXT = (PROJECT / "docs" / "extending.md").read_text(encoding="utf-8")
*EXCERPTS, TEKORE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(SCOPE,) = re.findall(r'SPOTIFY_SCOPE="([^"]+)"', TEXT)

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

WITHDRAWS = f"""
    requests.post(f"{{spotify}}/_simulator/expire", timeout=30)
    assert visitor.get("/top").status == 200
    requests.post(f"{{spotify}}/_simulator/revoke", data={{"user_id": "pia.premium"}}, timeout=30)
    assert visitor.get("/top").status == 403
    assert visitor.see_id() == "pia.premium"


def test_a_login_with_fewer_permissions(visitor, monkeypatch):
    monkeypatch.setenv("SPOTIFY_SCOPE", {SCOPE!r})
    assert "2 permissions" in visitor.get("/").words
    visitor.log_in()
    assert visitor.see_id() == "pia.premium"

"""

TO_THE_SIMULATOR = """\
    import tekore._client.base

    monkeypatch.setattr(tekore._client.base, "prefix", f"{spotify}/v1/")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the project with the example."""
    fork.add_example(fork.copy(tmp_path / "site"))
    return tmp_path / "site"


def run_tests(site: Path, *paths: str) -> None:
    subprocess.run(python("-m", "pytest", "-q", *paths), cwd=site, env=clean_environment(), check=True)


def test_the_example_changes_only_what_is_the_owners_and_the_document_shows_parts_of_it() -> None:
    patch = (PROJECT / "docs" / "example.diff").read_text(encoding="utf-8")
    changed = re.findall(r"(?m)^\+\+\+ b/(.*)", patch)
    assert all(path.startswith(("chalicelib/site/", "tests/site/", ".chalice/")) for path in changed)
    added = "\n".join(line[1:] for line in patch.splitlines() if line.startswith("+"))
    for excerpt in EXCERPTS:
        assert excerpt.strip() in added


def test_the_example_works_with_requests_and_with_tekore(site: Path) -> None:
    tests = site / "tests" / "site" / "test_top.py"
    tests.write_text(SHOWS_ARTISTS + WITHDRAWS)
    run_tests(site, "tests/site")
    routes = site / "chalicelib" / "site" / "routes.py"
    body = re.search(r"    access_token = request.*?\n\n\n", routes.read_text(), re.DOTALL)
    assert body
    routes.write_text(
        routes.read_text().replace(body[0], TEKORE + "\n\n").replace("import os", "import tekore\nimport os")
    )
    tests.write_text(SHOWS_ARTISTS.replace("):\n", "):\n" + TO_THE_SIMULATOR, 1))
    run_tests(site, "tests/site/test_top.py")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Owner", "-c", "user.email=owner@example.com", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


def change_every_file_of_the_engine(tree: Path) -> None:
    """Add a line at the start and the end of each file that a release can change."""
    files = git(tree, "ls-files", "*.py", "*.css", "*.html", "Makefile", "docs/*.md").split()
    for name in files:
        if not name.startswith(("chalicelib/site/", "tests/site/")):
            path = tree / name
            begin, end = {".py": ("# ", ""), ".css": ("/* ", " */"), "": ("# ", "")}.get(
                path.suffix, ("<!-- ", " -->")
            )
            added = f"{begin}changed{end}\n"
            text = path.read_text(encoding="utf-8")
            kept = path.suffix == ".html"  # a template that begins with another line would be another page
            path.write_text((text if kept else added + text) + added, encoding="utf-8")


OWN_MODULE = '''"""What the site knows of charts."""

import jmespath


def names(answer: object) -> list[str]:
    """The names in a list of Spotify's."""
    return list(jmespath.search("items[].name", answer))
'''

OWN_TEST = """
from chalicelib.site.charts import names


def test_the_module_finds_names():
    assert names({"items": [{"name": "a"}, {"name": "b"}]}) == ["a", "b"]
"""


def test_a_site_of_ones_own_merges_a_release_that_changes_every_other_file_and_its_tests_pass(
    tmp_path: Path,
) -> None:
    tree = fork.copy(tmp_path / "site")
    git(tree, "init", "-q", "-b", "main")
    commit(tree, "The first release")
    git(tree, "switch", "-qc", "release")
    change_every_file_of_the_engine(tree)
    commit(tree, "The next release")
    git(tree, "switch", "-q", "main")
    fork.add_example(tree)
    (tree / "chalicelib" / "site" / "charts.py").write_text(OWN_MODULE)
    (tree / "chalicelib" / "site" / "requirements.in").write_text("jmespath\n")
    (tree / "tests" / "site" / "test_charts.py").write_text(OWN_TEST)
    (tree / "README.md").write_text("# My Charts\n")
    for path in (tree / ".chalice").iterdir():
        path.write_text(path.read_text().replace("spotify-login", "my-charts"))
    commit(tree, "My site")
    git(tree, "merge", "-q", "release")
    assert "# changed" in (tree / "app.py").read_text()
    run_tests(tree, "-n2", "tests/site", *UNITS, STORY)


UNITS = [
    f"tests/unit/test_{name}.py"
    for name in ("branding", "chalice", "frontend", "login", "pages", "profile", "routes", "users")
]
"""The units that an owner's changes could break: those of pages and routes, and of what a login stores."""

STORY = "tests/integration/test_story.py::test_a_login_lasts_until_the_logout"
