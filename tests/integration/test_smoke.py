"""`make smoke`, against the app, against another server, and against none."""

from __future__ import annotations

import subprocess

from deploy import PROJECT
from tests.support.servers import clean_environment, free_port, python
from tests.support.world import World


def test_smoke_passes_against_the_app_fails_against_another_server_and_says_if_nothing_responds(
    world: World,
) -> None:
    for url, status, said in (
        (world.home, 0, "24 passed, 1 skipped"),
        (world.spotify, 1, " FAILED"),
        (f"http://127.0.0.1:{free_port()}", 2, "did not respond.\nStart the app:\n    make run\n"),
    ):
        command = python("-m", "pytest", "-c", "deploy/smoke.ini", "deploy/smoke.py")
        environment = clean_environment({"SMOKE_URL": url})
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        assert done.returncode == status, done.stdout
        assert said in done.stdout
