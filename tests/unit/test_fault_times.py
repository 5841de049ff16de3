"""What `make faults` makes of its measurements."""

from __future__ import annotations

import pytest

from bench.faults import Outcome, Scenario, verdict

ONE = Scenario("/", (("dynamodb", "silence"),))
TWO = Scenario("/", (("ssm", "silence"), ("dynamodb", "silence")))


@pytest.mark.parametrize(
    ("single", "pair", "status", "exit_status"),
    [
        (19.9, 23.9, 503, 0),
        (20.0, 1.0, 503, 1),
        (1.0, 24.0, 503, 1),
        (1.0, 1.0, 500, 1),
    ],
    ids=[
        "within the limits",
        "a slow single fault",
        "a slow pair",
        "a status that the fault does not explain",
    ],
)
def test_a_limit_that_is_reached_and_an_unexplained_status_fail(
    single: float, pair: float, status: int, exit_status: int
) -> None:
    text, found = verdict({ONE: Outcome(single, status)}, {TWO: Outcome(pair, 503)})
    assert found == exit_status
    assert f"Worst single fault: {single:.1f} s (limit 20). Worst pair: {pair:.1f} s (limit 24)." in text
    assert ("Status out of place" in text) == (status == 500)
