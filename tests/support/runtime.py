"""Lambda on this machine: its own runtime client (awslambdaric) and an emulated Runtime API."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from deploy import PROJECT
from tests.support.events import STAGE_URL, event, reply_of
from tests.support.servers import PATIENCE
from tests.support.visitor import Reply, Visitor

PYTHON = PROJECT / ".runtime" / "bin" / "python"
"""An interpreter with only the libraries of Lambda's runtime."""

ACCOUNTS_URL = "https://accounts.spotify.com"

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:spotify-login-test"


class _RuntimeApi(ThreadingHTTPServer):
    """The Lambda Runtime API, version 2018-06-01: a function polls it for events and posts responses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.events: queue.Queue[bytes] = queue.Queue()
        self.answers: queue.Queue[tuple[str, bytes]] = queue.Queue()


class _Exchange(BaseHTTPRequestHandler):
    server: _RuntimeApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self.server.answers.put(("next", b""))
        event = self.server.events.get()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "00000000-0000-4000-8000-000000000000")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 25_000))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", ARN)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(event)))
        self.end_headers()
        self.wfile.write(event)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.put((self.path.rpartition("/")[2], body))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Print nothing; only the function's own log matters."""


@dataclass
class Function:
    process: subprocess.Popen[bytes]
    log_file: Path
    init_cpu_seconds: float
    _api: _RuntimeApi
    answer_seconds: float = 0.0

    def invoke(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Invoke the function; returns its response once it polls for the next event."""
        sent = time.perf_counter()
        self._api.events.put(json.dumps(event).encode())
        kind, body = self._api.answers.get(timeout=60)
        self.answer_seconds = time.perf_counter() - sent
        assert kind == "response", f"{kind}: {body.decode()}\n{self.log}"
        assert self._api.answers.get(timeout=60)[0] == "next"
        return dict(json.loads(body))

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def cpu_seconds(self) -> float:
        return _cpu_seconds(self.process.pid)


def _cpu_seconds(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | 2)  # the CPU clock of a process, as in clock_getcpuclockid(3)


@contextmanager
def function(
    task: Path,
    environment: Mapping[str, str],
    log_file: Path,
    handler: str = "app.app",
) -> Iterator[Function]:
    """Start a function from its unzipped package in `task`, as Lambda does."""
    api = _RuntimeApi()
    # The interval is the longest that the shutdown takes.
    threading.Thread(target=api.serve_forever, args=(0.05,), daemon=True).start()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", "awslambdaric", handler],
            cwd=task,
            env=_environment(task, environment, api.server_address[1]),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        kind, body = api.answers.get(timeout=PATIENCE)
        cpu_seconds = _cpu_seconds(process.pid)
        assert kind == "next", f"{kind}: {body.decode()}"
        yield Function(process, log_file, cpu_seconds, api)
    finally:
        process.kill()
        process.wait(PATIENCE)
        api.events.put(b"")
        api.shutdown()
        api.server_close()


def _environment(task: Path, more: Mapping[str, str], port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": "spotify-login-test",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "LAMBDA_TASK_ROOT": str(task),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
        **more,
    }


@dataclass
class FunctionVisitor(Visitor):
    """A visitor who reaches a function on Lambda's runtime client through API Gateway."""

    home: str = STAGE_URL
    function: Function | None = None
    spotify: str = ""
    """Where this machine serves Spotify's page, if the function uses Spotify's own host names."""

    def send(self, path: str, headers: Mapping[str, str]) -> Reply:
        assert self.function
        return reply_of(self.function.invoke(event(path, headers)))

    def event(self, url: str) -> dict[str, Any]:
        """The event of a request with this browser's cookies."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return event(url.removeprefix(self.home), {"Sec-Fetch-Site": "same-origin", "Cookie": cookie})

    def _decide(self, url: str, form: Mapping[str, str]) -> str:
        return super()._decide(url.replace(ACCOUNTS_URL, self.spotify) if self.spotify else url, form)
