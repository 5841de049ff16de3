"""`make run`, from start to Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import requests

from local.port import answers
from simulator.spotify import Application
from tests.support import fork
from tests.support.servers import (
    PATIENCE,
    Process,
    free_port,
    python,
    running,
    wait_until_served,
)
from tests.support.table import TABLE
from tests.support.visitor import HttpVisitor, query_of

CLOSED = "http://127.0.0.1:1"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the app and its tooling that a test can edit."""
    return fork.copy(tmp_path / "clone")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def visitor(port: int) -> HttpVisitor:
    return HttpVisitor(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def run(clone: Path, port: int, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    with running(python("-m", "local", "--port", str(port)), environment, clone) as program:
        yield program


def banner(program: Process) -> str:
    return program.wait_for(r"(?s)Log in at.*Ctrl-C")[0]


def refusal(clone: Path, port: int, environment: Mapping[str, str] | None = None, status: int = 2) -> str:
    """What the program prints if it does not start."""
    with run(clone, port, environment) as program:
        assert program.wait() == status
    assert "Traceback" not in program.output
    return program.output


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still false after {seconds} s"
        time.sleep(0.1)


def home_page(visitor: HttpVisitor) -> str:
    with contextlib.suppress(requests.ConnectionError):
        return visitor.get("/").text
    return ""


def save(path: Path, text: str) -> None:
    """Replace a file at once, so that it changes only once, as a slow machine could otherwise see it change twice."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


BUG = """

@app.route("/bug")
@web.view("bug")
def bug(request: Request) -> web.Result:
    raise ValueError("why")


@app.route("/play")
@web.view("play")
def play(request: Request) -> web.Result:
    log.write(event="played")
    for line in ("words", "7"):
        log.LOGGER.info(line)
    return web.redirect("/", "begun")
"""


def test_make_run_serves_reloads_and_stops_whatever_proxies_and_aws_settings_the_user_has(
    clone: Path, port: int, visitor: HttpVisitor
) -> None:
    config = clone / "home" / ".aws" / "config"
    config.parent.mkdir(parents=True)
    config.write_text("[default\nbroken")
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), CLOSED)
    origin = "http://127.0.0.1:3000"
    given = {**proxies, "AWS_PROFILE": "unknown", "HOME": "home", "FRONTEND_ORIGINS": origin}
    (clone / "chalicelib" / "later.py").symlink_to("missing.py")  # as editors leave them
    with run(clone, port, given) as program:
        spotify = int(re.findall(r"Spotify:.*?http://127.0.0.1:(\d+)", banner(program))[0])
        visitor.log_in()
        assert visitor.see_id() == "pia.premium"
        asked = visitor.get("/", {"Accept": "application/json", "Origin": origin})
        assert asked.headers["access-control-allow-origin"] == origin, "the app's own settings are in force"

        template = clone / "chalicelib" / "pages" / "logged_in.html"
        save(template, template.read_text().replace("User ID", "Edited: User ID"))
        wait_until(lambda: "Edited: User ID" in home_page(visitor))
        assert visitor.see_id() == "pia.premium", "stored users survive a reload"

        app = (clone / "app.py").read_text().replace("import documents, ", "import documents, log, ")
        save(clone / "app.py", app + "\ndef broken(:\n")
        program.wait_for(
            r"app.py\", line \d+\n *def broken\(:\n\nSyntaxError[^\n]*\n\nFix this and save the file"
        )
        assert "Traceback" not in program.output
        save(clone / "app.py", app + BUG)
        wait_until(lambda: "User ID" in home_page(visitor))

        reply = visitor.get("/bug")
        program.wait_for(
            r'(?s)Traceback .*app\.py", line \d+, in bug\n.*\nValueError: why\n.*GET /bug 500  failed; bug'
        )
        assert (reply.status, "ValueError" in reply.text) == (500, False)
        assert visitor.get("/play").status == 307
        program.wait_for(r"\nwords\n7\n[^\n]*  GET /play 307  played; begun\n")

        visitor.get("/logout")
        assert program.end(signal.SIGTERM) == 0
        assert not answers(port)
        assert not answers(spotify)

    assert "GET /callback 307  completed" in program.output
    assert "code=" not in program.output
    assert "state=" not in program.output
    key = clone / ".local" / "secret-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().strip() not in program.output


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes whose working directory is this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text())
    return found


@pytest.mark.parametrize("delay", [0.0, 0.5, 1.2, None])
def test_a_signal_stops_it_at_any_point_during_startup_and_during_a_reload(
    clone: Path, port: int, delay: float | None
) -> None:
    with run(clone, port) as program:
        if delay is None:
            banner(program)
            (clone / "app.py").touch()
        time.sleep(1.1 if delay is None else delay)
        status = program.end(signal.SIGTERM if delay == 0 else signal.SIGINT)
    assert status in ({0} if delay is None else {0, -signal.SIGTERM, -signal.SIGINT})
    wait_until(lambda: not answers(port))
    assert processes_in(clone) == []


@pytest.mark.parametrize("killed", ["make", "python"])
def test_make_run_works_with_pythonsafepath_and_killing_it_ends_its_servers_too(
    clone: Path, port: int, visitor: HttpVisitor, killed: str
) -> None:
    (clone / ".venv").symlink_to(sys.prefix)
    command = ["make", "--assume-old=.venv/ready-to-run", "run", f"PORT={port}"]
    with running(command, {"PYTHONSAFEPATH": "1"}, clone) as program:
        banner(program)
        assert visitor.see_id() == "None"
        (child,) = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        os.kill(program.pid if killed == "make" else int(child), signal.SIGKILL)
        wait_until(lambda: not answers(port), 10)
        program.wait()
    assert processes_in(clone) == []


def test_the_simulator_alone_prints_what_to_export() -> None:
    with running(python("-m", "simulator", "--port", "0")) as program:
        exports = program.wait_for(r"(?s)To use it:\n\n(.*SPOTIFY_CLIENT_SECRET=\S+)")[1]
    named = dict(line.removeprefix("export ").split("=", 1) for line in exports.splitlines())
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", named["SPOTIFY_ACCOUNTS_URL"])
    assert named["SPOTIFY_API_URL"] == named["SPOTIFY_ACCOUNTS_URL"]
    assert named["SPOTIFY_CLIENT_ID"] == Application.client_id
    assert named["SPOTIFY_CLIENT_SECRET"] == Application.client_secret


def test_the_real_spotify_is_used_if_client_id_and_secret_are_set(
    clone: Path, port: int, visitor: HttpVisitor
) -> None:
    real = {"SPOTIFY_CLIENT_ID": "the-id", "SPOTIFY_CLIENT_SECRET": "the-secret"}
    with run(clone, port, {**real, "SPOTIFY_SCOPE": "streaming future"}) as program:
        shown = banner(program)
        assert f"redirect URI there:\n           {visitor.home}/callback\n" in shown
        assert "SPOTIFY_SCOPE names future, which may not exist." in shown
        url = visitor.begin()
        assert url.startswith("https://accounts.spotify.com/")
        assert query_of(url)["scope"] == "streaming future", "a newer Spotify may know it"
    unused = {"AWS_ACCESS_KEY_ID": "unused", "AWS_ENDPOINT_URL_KMS": "un used"}
    for redirect_uri, note in (
        ("https://tunnel.example/app/callback", "Register exactly this redirect URI"),
        (f"http://localhost:{port}/callback", "Spotify rejects new localhost URIs"),
    ):
        given = {**unused, **real, "SPOTIFY_REDIRECT_URI": redirect_uri, "SECRET_KEY": " "}
        with run(clone, port, given) as program:
            assert note in banner(program)
            assert visitor.get("/").location == redirect_uri.replace("callback", "?moved=1")


def test_what_it_cannot_use_is_reported_at_once(clone: Path, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        said = refusal(clone, port)
    assert said.startswith(f"Port {port} is in use.")
    assert f"make run PORT={port + 1}" in said
    assert refusal(clone, 65536).startswith("'65536' is not a port")
    only = refusal(clone, port, {"SPOTIFY_CLIENT_SECRET": "given"})
    assert only.startswith("SPOTIFY_CLIENT_SECRET is set, but SPOTIFY_CLIENT_ID is not.")
    path = clone / ".chalice" / "config.json"
    save(path, path.read_text().replace(f'"{TABLE}"', '"a b"'))
    given = {"SPOTIFY_REDIRECT_URI": f"{CLOSED}/callback", "FRONTEND_ORIGINS": "*", "SECRET_KEY": "x"}
    said = refusal(clone, port, given)
    assert re.findall(r"(?m)^(\w+) is ", said) == [*given, "USERS_TABLE"]
    assert said.endswith("hyphens and underscores. Correct it in .chalice/config.json.\n")
    save(path, "{")
    assert refusal(clone, port, status=1).startswith(
        "Could not read .chalice/config.json: Expecting property"
    )


@pytest.mark.promise("P4", "P6")
def test_a_brand_that_cannot_be_used_is_reported_and_one_that_is_hard_to_read_is_a_warning(
    clone: Path, port: int
) -> None:
    path = clone / "chalicelib" / "site" / "brand.py"
    usable = path.read_text()
    save(path, usable.replace('"accent": "#4a3f9f"', '"accent": "#c0c0ff"'))
    with run(clone, port) as program:
        assert "Brand:     The light colour accent of brand.py is hard to read on paper" in banner(program)
    save(
        path, usable.replace("NEXT: tuple[str, str] | None = None", 'NEXT = ("Go on", "javascript:alert(1)")')
    )
    assert "brand.py links 'Go on' to 'javascript:alert(1)'. Use https" in refusal(clone, port)


def test_an_unusable_secret_key_file_is_reported(clone: Path, port: int) -> None:
    (clone / ".local").touch()
    said = refusal(clone, port, status=1)
    assert f"Could not use {clone}/.local/secret-key, this machine's signing key: " in said
    assert "\n    export SECRET_KEY=" in said


def test_the_server_alone_reports_a_port_that_was_just_taken_and_runs_on_after_its_stdin_closes(
    clone: Path, port: int, visitor: HttpVisitor
) -> None:
    server = python("-m", "local.server", "--host", "127.0.0.1", "--port", str(port))
    region = {"AWS_DEFAULT_REGION": "us-east-1"}
    command = ["sh", "-c", f"echo | {' '.join(server)} --no-autoreload"]
    with running(command, region, clone):
        wait_until_served(port)
        assert visitor.see_id() == "None"
        with running(server, region, clone) as program:
            program.wait()
    assert f"Could not open port {port}: Address already in use." in program.output
    assert "Traceback" not in program.output


NOT_HTTP = r"- 400  not an HTTP request; the app's address begins with http://, not https://"


@pytest.mark.parametrize(
    ("sent", "status", "line"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xff\x00\n", 400, NOT_HTTP),  # TLS
        (b"GET /callback?code=x y\r\n\r\n", 400, NOT_HTTP),
        (b"GET /login?a HTTP/1.1\r\nA: %s\r\n\r\n" % (b"a" * 70_000), 431, "GET /login 431"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "POST / 400"),
        (b"GET /a HTTP/1.1\r\nAuthorization: \xff\r\n\r\n", 400, "GET /a 400"),
        (b"\x1b[7m /\x1b[7m?a HTTP/1.1\r\n\r\n", 501, r"\x1b[7m /\x1b[7m 501"),
    ],
)
def test_a_request_that_cannot_be_read_gets_an_error_and_one_line(
    server: Process, sent: bytes, status: int, line: str
) -> None:
    (port,) = map(int, server.wait_for(r"Serving on http://127\.0\.0\.1:(\d+)").groups())
    before = len(server.output)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /moved HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + sent)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert re.findall(rb"HTTP/1\.1 (\d+) ", received) == [b"403", str(status).encode()]
    wait_until(lambda: server.output.count("\n", before) == 2)
    assert server.output[before:].splitlines()[1].split("  ", 1)[1] == line
    assert "code=" not in server.output


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    """The server that `make run` starts, with nothing else."""
    arguments = ("--host", "127.0.0.1", "--port", str(free_port()), "--no-autoreload")
    with running(python("-m", "local.server", *arguments), {"AWS_DEFAULT_REGION": "us-east-1"}) as program:
        yield program


def test_make_run_keeps_access_with_a_key_in_memory(clone: Path, port: int, visitor: HttpVisitor) -> None:
    fork.add_example(clone)
    with run(clone, port, {"TOKENS_KMS_ALIAS": "alias/tokens"}) as program:
        banner(program)
        visitor.get(visitor.agree(visitor.get(visitor.get("/top").location).location))
        assert len(visitor.get("/top").text.split('", "')) == 5
        assert "encrypted" in visitor.get("/").words
        assert json.loads(visitor.get("/artists/Bj%C3%B6rk%2F").text) == {"name": "Björk/"}


def test_make_run_never_sends_tokens_to_aws_if_only_dynamodb_is_elsewhere(
    clone: Path, port: int, visitor: HttpVisitor
) -> None:
    table = python("-m", "local.aws", "--port", "0")
    with running(table, {"HTTP_PROXY": CLOSED, "AWS_PROFILE": "unknown"}) as emulator:
        url = emulator.wait_for(r"http://[\w.:]+")[0]
        kept = {"TOKENS_KMS_ALIAS": "alias/tokens", "AWS_ENDPOINT_URL_DYNAMODB": url}
        with run(clone, port, {**kept, "HTTP_PROXY": CLOSED}) as program:
            assert "KMS key in memory, alias/tokens" in banner(program)
            visitor.log_in()
            assert "This site keeps access" in visitor.get("/").words
