"""`make smoke`, against the app, against another server, and against none."""

from __future__ import annotations

import math
import re
import subprocess
import time

import pytest

from deploy import PROJECT, smoke
from tests.support.script import Script
from tests.support.servers import clean_environment, free_port, python
from tests.support.world import World


def run(url: str) -> subprocess.CompletedProcess[str]:
    command = python("-m", "pytest", "-c", "deploy/smoke.ini", "deploy/smoke.py")
    environment = clean_environment({"SMOKE_URL": url})
    return subprocess.run(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )


def test_smoke_fails_against_another_server_and_says_if_nothing_responds(world: World) -> None:
    for url, status, said in (
        (world.spotify, 1, " FAILED"),
        (f"http://127.0.0.1:{free_port()}", 2, "did not respond.\nStart the app:\n    make run\n"),
    ):
        done = run(url)
        assert done.returncode == status, done.stdout
        assert said in done.stdout


def test_smoke_passes_in_eight_seconds_and_prints_the_references_of_its_three_security_events(
    world: World,
) -> None:
    (app,) = world.processes
    before = len(app.output)
    done = run(world.home)
    assert done.returncode == 0, done.stdout
    assert "24 passed, 1 skipped" in done.stdout
    log = app.output[before:]
    events = re.findall(r"login_unknown; reference (\w+)", log)
    (printed,) = re.findall(
        r"^Security events in the log that are of this run: (.*)$", done.stdout, re.MULTILINE
    )
    assert printed.split(", ") == events
    assert len(events) == 3
    requests = len(re.findall(r"  [A-Z]+ /\S* \d{3}", log))
    assert requests > 100
    assert requests / smoke.RATE < 8
    assert requests * 0.05 < 8, "if each takes 50 ms over the internet"


@pytest.mark.parametrize("full", [1, smoke.RETRIES])
def test_smoke_waits_while_visitors_use_up_the_limit(full: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "PAUSE", 0.05)
    script = Script([*[(429, {}, b"")] * full, (200, {}, b"")])
    started = time.monotonic()
    assert smoke.Site(script.serve(), math.inf).send("/").status_code == 200
    assert len(script.requests) == full + 1
    assert time.monotonic() - started > 0.04 * full


def test_smoke_fails_if_the_limit_stays_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "PAUSE", 0.0)
    script = Script([(429, {}, b"")])
    assert smoke.Site(script.serve(), math.inf).send("/").status_code == 429
    assert len(script.requests) == smoke.RETRIES + 1
