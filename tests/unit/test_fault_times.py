"""The verdict of `make faults`."""

from __future__ import annotations

import pytest

from bench.faults import Outcome, Scenario, verdict

ONE = Scenario("/", (("dynamodb", "no response"),))
TWO = Scenario("/", (("ssm", "no response"), ("dynamodb", "no response")))


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
        "an unexpected status",
    ],
)
def test_reaching_a_time_limit_or_an_unexpected_status_fails(
    single: float, pair: float, status: int, exit_status: int
) -> None:
    text, found = verdict({ONE: Outcome(single, status)}, {TWO: Outcome(pair, 503)})
    assert found == exit_status
    assert f"Worst single fault: {single:.1f} s (limit 20). Worst pair: {pair:.1f} s (limit 24)." in text
    assert ("Status out of place" in text) == (status == 500)
