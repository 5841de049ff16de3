"""Real processes on free ports."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy import PROJECT
from local.port import answers

PATIENCE = 60.0


class Process:
    def __init__(self, command: list[str], environment: Mapping[str, str], cwd: Path = PROJECT) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.output += line

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if match := re.search(pattern, self.output):
                return match
            if self._process.poll() is not None:
                self._reader.join()
                if match := re.search(pattern, self.output):
                    return match
                break
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} in:\n{self.output}")

    def end(self, by: int = signal.SIGTERM) -> int:
        self._process.send_signal(by)
        return self.wait()

    def wait(self) -> int:
        """Wait until it and all children that hold its output open have ended; returns the exit status."""
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), f"a child of it is still running:\n{self.output}"
        return status

    def kill(self) -> None:
        """Stop it: first by SIGTERM, so that it can stop its children, then by SIGKILL."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._reader.join(1)
        if self._process.stdout and not self._reader.is_alive():
            self._process.stdout.close()


@contextlib.contextmanager
def running(
    command: list[str], environment: Mapping[str, str] | None = None, cwd: Path = PROJECT
) -> Iterator[Process]:
    """Run a program, and stop its whole process group afterwards."""
    process = Process(command, clean_environment(environment), cwd)
    try:
        yield process
    finally:
        process.kill()


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A minimal environment, with no variable of this process that the app would read."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **(more or {})}


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_served(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answers(port):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")
