"""The benchmarks: what they may import, and their verdicts."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from bench import load
from bench.faults import Outcome, Scenario, verdict
from bench.mutants import MUTANTS
from deploy import PROJECT
from tests.support import fork
from tests.support.servers import python

ONE = Scenario("/", (("dynamodb", "no response"),))
TWO = Scenario("/", (("ssm", "no response"), ("dynamodb", "no response")))


def test_the_benchmarks_import_only_the_config_of_the_app() -> None:
    modules = [f"bench.{path.stem}" for path in (PROJECT / "bench").glob("*.py")]
    script = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    loaded = subprocess.check_output(python("-c", script), cwd=PROJECT, text=True).split()
    own = {name for name in loaded if name.split(".")[0] in {"app", "chalicelib"}}
    assert own == {"chalicelib", "chalicelib.config", "chalicelib.errors"}, "deploy needs these"


def test_no_other_test_imports_the_benchmarks() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "tests").rglob("*.py")}
    importing = [name for name, text in texts.items() if re.search(r"(?m)^(from|import) bench\b", text)]
    assert importing == [Path(__file__).name]


def test_every_guard_that_make_mutate_removes_exists() -> None:
    for mutant in MUTANTS:
        source = (PROJECT / mutant.file).read_text(encoding="utf-8")
        assert mutant.apply(source) != source, mutant


def test_the_fork_is_complete_even_inside_a_checkout(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    tree = fork.create(tmp_path / "fork")
    assert '@app.route("/top")' in (tree / "app.py").read_text(encoding="utf-8")
    stages = json.loads((tree / ".chalice" / "config.json").read_bytes())["stages"]
    assert stages["dev"]["environment_variables"]["TOKENS_KMS_ALIAS"] == fork.ALIAS


def test_a_slow_fault_a_slow_pair_or_an_unexpected_status_fails() -> None:
    def exit_status(single: float, pair: float, status: int) -> int:
        return verdict({ONE: Outcome(single, status), TWO: Outcome(pair, 503)})[1]

    assert exit_status(19.9, 23.9, 503) == 0
    assert exit_status(20.0, 1.0, 503) == exit_status(1.0, 24.0, 503) == exit_status(1.0, 1.0, 500) == 1


def test_missing_repeated_foreign_and_rejected_refreshes_are_wrong() -> None:
    expected = {"a": 1, "b": 1}
    for made, asked, wrong in (
        ({"a": 1, "b": 1}, 2, 0),
        ({"a": 1}, 1, 1),
        ({"a": 2}, 2, 2),
        ({"a": 1, "b": 1, "c": 1}, 3, 1),
        ({"a": 1, "b": 1}, 4, 2),
    ):
        assert load.wrong_refreshes(made, asked, expected) == wrong


def test_a_wrong_or_failed_result_of_a_load_test_fails() -> None:
    assert load.check("right", [lambda: True] * 2)
    assert not load.check("wrong", [lambda: True, lambda: False])
    assert not load.check("failed", [lambda: True, lambda: bool(1 / 0)])
