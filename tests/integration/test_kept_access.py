"""Kept access in two processes of the app, which share Spotify, DynamoDB and KMS."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import requests

from tests.support import fork
from tests.support.visitor import HttpVisitor, together
from tests.support.world import running_world


@pytest.mark.promise("M4")
def test_100_requests_refresh_once_and_a_refresh_that_fails_unseen_is_part_of_its_requests_line(
    tmp_path: Path,
) -> None:
    project = fork.create(tmp_path / "fork")
    with running_world({"TOKENS_KMS_ALIAS": fork.ALIAS}, apps=2, project=project, rotates=True) as world:
        visitor = HttpVisitor(world.home)
        visitor.log_in()
        world.expire()
        assert all(together(*(partial(fork.open_top, home, visitor.cookies) for home in world.homes * 50)))
        assert world.refreshes() == {"pia.premium": 1}
        assert world.request_count("POST /api/token refresh_token") == 1
        world.expire(seconds_left=200)
        requests.post(f"{world.spotify}/_simulator/fail", {"status": "503"}, timeout=30).raise_for_status()
        assert fork.open_top(world.home, visitor.cookies), "the old token still serves"
        failed = r"GET /top 200  access failed; access_delayed; spotify_unavailable token 503"
        world.processes[-1].wait_for(failed)
