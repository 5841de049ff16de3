"""The lists of packages that `make lock` pins."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from deploy import PROJECT


def test_libraries_of_the_site_join_those_that_are_deployed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = importlib.util.spec_from_file_location("lock", PROJECT / "requirements" / "lock.py")
    assert spec
    assert spec.loader
    lock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lock)
    before = lock.requirements()
    monkeypatch.setattr(lock, "SITE", tmp_path / "requirements.in")
    lock.SITE.write_text("# Mine\njmespath>=1  # finds names\n\n")
    after = lock.requirements()
    assert after.pop("../requirements") == [*before.pop("../requirements"), "jmespath>=1"]
    assert after == before
