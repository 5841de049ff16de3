from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from bench import fork, refreshes
from bench.tally import Tally
from tests.support.world import World


class Spotify:
    """The counts of a simulated Spotify."""

    def __init__(self, made: dict[str, int], asked: int) -> None:
        self._made = made
        self._asked = asked

    def refreshes(self) -> dict[str, int]:
        return self._made

    def request_count(self, endpoint: str) -> int:
        assert endpoint == "POST /api/token refresh_token"
        return self._asked


@pytest.mark.parametrize(
    ("made", "asked", "lost"),
    [
        ({"before": 3, "a": 1, "b": 1}, 5, 0),
        ({"before": 3, "a": 1}, 4, 1),
        ({"before": 3, "a": 2, "b": 1}, 6, 1),
        ({"before": 3, "a": 2}, 5, 2),
        ({"before": 3, "a": 1, "b": 1, "c": 1}, 6, 1),
        ({"before": 3, "a": 1, "b": 1}, 7, 2),
    ],
    ids=["right", "missing", "twice", "twice-and-missing", "of-another-user", "rejected"],
)
def test_wrong_refreshes_are_lost_results(made: dict[str, int], asked: int, lost: int) -> None:
    tally = Tally(1, "requests")
    world = cast(World, Spotify(made, asked))
    refreshes.count(tally, world, Counter({"before": 3}), {"a": 1, "b": 1})
    assert tally.lost == lost


def test_the_fork_is_complete_even_inside_a_checkout(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    tree = fork.create(tmp_path / "fork")
    assert '@app.route("/top")' in (tree / "app.py").read_text(encoding="utf-8")
    stages = json.loads((tree / ".chalice" / "config.json").read_bytes())["stages"]
    assert stages["dev"]["environment_variables"]["TOKENS_KMS_ALIAS"] == fork.ALIAS
