"""`make smoke`, against the app, against another server, and against none."""

from __future__ import annotations

import re
import subprocess

from deploy import PROJECT
from tests.support.servers import clean_environment, free_port, python
from tests.support.world import World


def smoke(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python("-m", "pytest", "-c", "deploy/smoke.ini", "deploy/smoke.py"),
        cwd=PROJECT,
        env=clean_environment({"SMOKE_URL": url}),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_smoke_passes_against_the_app(world: World) -> None:
    done = smoke(world.home)
    assert done.returncode == 0, done.stdout
    assert "24 passed, 1 skipped" in done.stdout


def test_smoke_fails_against_another_server(world: World) -> None:
    done = smoke(world.spotify)
    assert done.returncode == 1
    assert re.search(r"::test_g2_\w+ FAILED", done.stdout)


def test_smoke_says_if_nothing_responds() -> None:
    done = smoke(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "did not respond.\nStart the app:\n    make run\n" in done.stdout
