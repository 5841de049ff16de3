"""The benchmarks: who may import them, and their verdicts."""

from __future__ import annotations

import re
from pathlib import Path

from bench import load
from bench.faults import Outcome, Scenario, verdict
from bench.mutants import MUTANTS
from deploy import PROJECT

ONE = Scenario("/", (("dynamodb", "no response"),))
TWO = Scenario("/", (("ssm", "no response"), ("dynamodb", "no response")))


def test_no_other_test_imports_the_benchmarks() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "tests").rglob("*.py")}
    importing = [name for name, text in texts.items() if re.search(r"(?m)^(from|import) bench\b", text)]
    assert importing == [Path(__file__).name]


def test_every_guard_that_make_mutate_removes_exists() -> None:
    for mutant in MUTANTS:
        source = (PROJECT / mutant.file).read_text(encoding="utf-8")
        assert mutant.apply(source) != source, mutant


def test_a_slow_fault_a_slow_pair_or_an_unexpected_status_fails() -> None:
    def exit_status(single: float, pair: float, status: int) -> int:
        return verdict({ONE: Outcome(single, status), TWO: Outcome(pair, 503)})[1]

    assert exit_status(19.9, 23.9, 503) == 0
    assert exit_status(20.0, 1.0, 503) == exit_status(1.0, 24.0, 503) == exit_status(1.0, 1.0, 500) == 1


def test_a_wrong_or_failed_result_of_a_load_test_fails() -> None:
    assert load.check("right", [lambda: True] * 2)
    assert not load.check("wrong", [lambda: True, lambda: False])
    assert not load.check("failed", [lambda: True, lambda: bool(1 / 0)])
