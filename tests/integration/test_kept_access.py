"""Kept access in two processes of the app, which share Spotify, DynamoDB and KMS."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support import fork
from tests.support.visitor import HttpVisitor, together
from tests.support.world import running_world


@pytest.mark.parametrize("rotates", [False, True])
def test_100_requests_over_two_processes_refresh_once(tmp_path: Path, rotates: bool) -> None:
    project = fork.create(tmp_path / "fork")
    with running_world({"TOKENS_KMS_ALIAS": fork.ALIAS}, apps=2, project=project, rotates=rotates) as world:
        visitor = HttpVisitor(world.home)
        visitor.log_in()
        world.expire()
        assert all(together(*(partial(fork.open_top, home, visitor.cookies) for home in world.homes * 50)))
        assert world.refreshes() == {"pia.premium": 1}
        assert world.request_count("POST /api/token refresh_token") == 1
