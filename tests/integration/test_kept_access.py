"""Kept access in two processes of the app, which share Spotify, DynamoDB and KMS."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import fork, refreshes
from tests.support.world import running_world


@pytest.mark.parametrize("rotates", [False, True])
def test_100_requests_over_two_processes_refresh_once(tmp_path: Path, rotates: bool) -> None:
    project = fork.create(tmp_path / "fork")
    with running_world({"TOKENS_KMS_ALIAS": fork.ALIAS}, apps=2, project=project, rotates=rotates) as world:
        tally = refreshes.one_user(world, "requests", rounds=1)
    assert len(tally.seconds) == 100
    assert (tally.errors, tally.lost) == ([], 0)
