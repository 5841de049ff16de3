from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from bench import chart, figures, fork, refreshes
from bench.figures import Samples
from bench.mutants import MUTANTS
from bench.tally import Tally
from bench.targets import Target
from deploy import PROJECT
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


def test_every_guard_that_make_mutate_removes_exists() -> None:
    for mutant in MUTANTS:
        source = (PROJECT / mutant.file).read_text(encoding="utf-8")
        assert mutant.apply(source) != source, mutant


def test_samples_have_a_median_and_a_spread() -> None:
    samples = Samples([90, 95, 100, 105, 120])
    assert (samples.median, samples.spread) == (100, 0.1)
    assert samples.text() == "100 (10%)"
    assert Samples().text() == ""
    assert Samples().spread == 0


QUIET, NOISY = Samples([100, 101, 102]), Samples([100, 150, 200])


@pytest.mark.parametrize(
    ("runs", "noisy"),
    [
        ([{"a": QUIET, "b": QUIET}], []),
        ([{"a": NOISY, "b": QUIET}, {"a": QUIET, "b": QUIET}], []),
        ([{"a": NOISY, "b": QUIET}, {"a": QUIET, "b": NOISY}], ["b"]),
    ],
    ids=["quiet", "noisy-once", "noisy-twice"],
)
def test_noisy_figures_are_measured_again_once_together(
    runs: list[dict[str, Samples]], noisy: list[str]
) -> None:
    left = iter(runs)
    assert figures.noisy(figures.settled(lambda: next(left))) == noisy
    assert list(left) == []


@pytest.mark.parametrize(
    ("value", "is_least", "met"),
    [(59.9, False, True), (60, False, True), (60.1, False, False), (60.1, True, True), (59.9, True, False)],
)
def test_a_target_is_met_or_missed(value: float, is_least: bool, met: bool) -> None:
    target = Target("wait", value, 60, " ms", is_least=is_least)
    assert target.is_met is met
    assert target.row[-1] == ("met" if met else "missed")


def test_the_longest_bar_of_the_chart_has_the_full_width() -> None:
    html = chart.page(512, {"/": {"this app": 200, "plain <Chalice>": 400}})
    assert f"width:{chart.WIDTH}px'></i>400 ms" in html
    assert f"width:{chart.WIDTH // 2}px'></i>200 ms" in html
    assert "plain &lt;Chalice&gt;" in html
