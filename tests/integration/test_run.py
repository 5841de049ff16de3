"""`make run`, from start to Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy import PROJECT
from simulator.spotify import Application
from tests.support import fork
from tests.support.servers import (
    PATIENCE,
    Process,
    clean_environment,
    free_port,
    is_free,
    python,
    running,
    wait_until_served,
)
from tests.support.visitor import HttpVisitor, query_of

PARTS = ("app.py", "chalicelib", ".chalice", "deploy", "local", "simulator")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the app and its tooling that a test can edit."""
    for part in PARTS:
        source, target = PROJECT / part, tmp_path / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "deployments"))
        else:
            shutil.copy(source, target)
    return tmp_path


@contextlib.contextmanager
def run(clone: Path, port: int, environment: dict[str, str] | None = None) -> Iterator[Process]:
    """Run the program that `make run` starts, and stop it afterwards."""
    with running(python("-m", "local", "--port", str(port)), environment, clone) as program:
        yield program


def ports_of(program: Process) -> list[int]:
    """The ports in the banner: the app's and Spotify's."""
    banner = program.wait_for(r"(?s)Log in at  http://127.0.0.1:(\d+).*Spotify:.*?http://127.0.0.1:(\d+)")
    return [int(banner[1]), int(banner[2])]


def wait_until(condition: object, seconds: float = PATIENCE) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still false after {seconds} s"
        time.sleep(0.1)


def title(port: int) -> str:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"http://127.0.0.1:{port}/", timeout=30).text
    return ""


def save(path: Path, text: str) -> None:
    """Replace a file at once, so that it changes only once, as a slow machine could otherwise see it change twice."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_make_run_serves_reloads_and_stops(clone: Path) -> None:
    (clone / "chalicelib" / "later.py").symlink_to("missing.py")  # as editors leave them
    port = free_port()
    with run(clone, port) as program:
        ports = ports_of(program)
        visitor = HttpVisitor(f"http://127.0.0.1:{port}")
        visitor.log_in()
        assert visitor.see_id() == "pia.premium"

        assert "Edited" not in title(port), (
            "this process has read the template: only the next one shows the edit"
        )
        template = clone / "chalicelib" / "pages" / "logged_out.html"
        save(template, template.read_text().replace("User ID", "Edited: User ID"))
        wait_until(lambda: "Edited: User ID" in title(port))
        assert visitor.see_id() == "pia.premium", "stored users survive a reload"

        app = (clone / "app.py").read_text()
        save(clone / "app.py", app + "\ndef broken(:\n")
        program.wait_for(
            r"app.py\", line \d+\n *def broken\(:\n\nSyntaxError[^\n]*\n\nFix this and save the file"
        )
        assert "Traceback" not in program.output
        save(clone / "app.py", app + "\n")
        wait_until(lambda: "User ID" in title(port))

        visitor.get("/logout")
        assert program.end(signal.SIGTERM) == 0
        assert all(is_free(port) for port in ports)

    assert "GET /callback 307  completed" in program.output
    assert "code=" not in program.output
    assert "state=" not in program.output
    key = clone / ".local" / "secret-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().strip() not in program.output


@pytest.mark.parametrize("delay", [0.0, 0.5, 1.2])
def test_a_signal_stops_it_at_any_point_during_startup(clone: Path, delay: float) -> None:
    port = free_port()
    with run(clone, port) as program:
        time.sleep(delay)
        status = program.end(signal.SIGINT if delay else signal.SIGTERM)
    assert status in {0, -signal.SIGTERM, -signal.SIGINT}
    wait_until(lambda: is_free(port))
    assert processes_in(clone) == []


def test_a_signal_stops_it_during_a_reload(clone: Path) -> None:
    port = free_port()
    with run(clone, port) as program:
        ports_of(program)
        (clone / "app.py").touch()
        time.sleep(1.1)
        assert program.end(signal.SIGINT) == 0
    wait_until(lambda: is_free(port))
    assert processes_in(clone) == []


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes whose working directory is this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text())
    return found


@contextlib.contextmanager
def make_run(clone: Path, port: int, environment: dict[str, str] | None = None) -> Iterator[Process]:
    """Run `make run` itself, with the packages that are installed here."""
    (clone / ".venv").symlink_to(sys.prefix)
    shutil.copy(PROJECT / "Makefile", clone)
    command = ["make", "--assume-old=.venv/ready-to-run", "run", f"PORT={port}"]
    with running(command, environment, clone) as program:
        yield program


@pytest.mark.parametrize("killed", ["make", "python"])
def test_make_run_works_with_pythonsafepath_and_killing_it_ends_its_servers_too(
    clone: Path, killed: str
) -> None:
    port = free_port()
    with make_run(clone, port, {"PYTHONSAFEPATH": "1"}) as program:
        ports = ports_of(program)
        assert HttpVisitor(f"http://127.0.0.1:{port}").see_id() == "None"
        (child,) = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        os.kill(program.pid if killed == "make" else int(child), signal.SIGKILL)
        wait_until(lambda: all(is_free(port) for port in ports), 10)
        program.wait()
    assert processes_in(clone) == []


CLOSED = "http://127.0.0.1:1"


def test_proxies_and_aws_settings_of_the_user_have_no_effect_but_those_of_the_app_have(clone: Path) -> None:
    config = clone / "home" / ".aws" / "config"
    config.parent.mkdir(parents=True)
    config.write_text("[default\nbroken")
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), CLOSED)
    port, origin = free_port(), "http://127.0.0.1:3000"
    given = {**proxies, "AWS_PROFILE": "unknown", "HOME": "home", "FRONTEND_ORIGINS": origin}
    with run(clone, port, given) as program:
        ports_of(program)
        visitor = HttpVisitor(f"http://127.0.0.1:{port}")
        visitor.log_in()
        assert visitor.see_id() == "pia.premium"
        asked = visitor.get("/", {"Accept": "application/json", "Origin": origin})
    assert asked.headers["access-control-allow-origin"] == origin
    assert "Traceback" not in program.output


def test_with_an_aws_of_the_users_own_they_do_not_stop_make_run(clone: Path) -> None:
    port, given = free_port(), {"AWS_PROFILE": "unknown", "HTTP_PROXY": CLOSED}
    with run(
        clone, port, {"AWS_ENDPOINT_URL": CLOSED, "TOKENS_KMS_ALIAS": "alias/tokens", **given}
    ) as program:
        ports_of(program)
        assert HttpVisitor(f"http://127.0.0.1:{port}").see_id() == "None"
    assert "Traceback" not in program.output


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


def test_the_terminal_shows_a_bugs_traceback_and_what_an_owner_logs_and_the_page_does_not(
    clone: Path,
) -> None:
    app = (clone / "app.py").read_text().replace("import documents, ", "import documents, log, ")
    (clone / "app.py").write_text(app + BUG)
    port = free_port()
    with run(clone, port) as program:
        ports_of(program)
        visitor = HttpVisitor(f"http://127.0.0.1:{port}")
        reply = visitor.get("/bug")
        program.wait_for(
            r'(?s)Traceback .*app\.py", line \d+, in bug\n.*\nValueError: why\n.*GET /bug 500  failed; bug'
        )
        assert (reply.status, "ValueError" in reply.text) == (500, False)
        assert visitor.get("/play").status == 307
        program.wait_for(r"\nwords\n7\n[^\n]*  GET /play 307  played; begun\n")


def test_an_unusable_secret_key_file_is_reported(clone: Path) -> None:
    (clone / ".local").touch()
    with run(clone, free_port()) as program:
        assert program.wait() == 1
    assert f"Could not use {clone}/.local/secret-key, this machine's signing key: " in program.output
    assert "\n    export SECRET_KEY=" in program.output
    assert "Traceback" not in program.output


def test_the_simulator_alone_prints_what_to_export() -> None:
    with running(python("-m", "simulator", "--port", "0", "--client-id", "mine")) as program:
        exports = program.wait_for(r"(?s)To use it:\n\n(.*SPOTIFY_CLIENT_SECRET=\S+)")[1]
    named = dict(line.removeprefix("export ").split("=", 1) for line in exports.splitlines())
    url = named["SPOTIFY_ACCOUNTS_URL"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert named == {
        "SPOTIFY_ACCOUNTS_URL": url,
        "SPOTIFY_API_URL": url,
        "SPOTIFY_CLIENT_ID": "mine",
        "SPOTIFY_CLIENT_SECRET": Application.client_secret,
    }


def test_a_port_in_use_is_reported_at_once(clone: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with run(clone, port) as program:
            assert program.wait() == 2
    assert program.output.startswith(f"Port {port} is in use.")
    assert f"make run PORT={port + 1}" in program.output


def test_the_real_spotify_is_used_if_client_id_and_secret_are_set(clone: Path) -> None:
    real = {"SPOTIFY_CLIENT_ID": "the-id", "SPOTIFY_CLIENT_SECRET": "the-secret"}
    port = free_port()
    with run(clone, port, real) as program:
        program.wait_for("Press Ctrl-C to stop")
        assert f"redirect URI there:\n           http://127.0.0.1:{port}/callback\n" in program.output
        assert HttpVisitor(f"http://127.0.0.1:{port}").begin().startswith("https://accounts.spotify.com/")
    at_localhost = {**real, "SPOTIFY_REDIRECT_URI": f"http://localhost:{port}/callback"}
    with run(clone, port, at_localhost) as program:
        program.wait_for("Spotify rejects new localhost URIs")


@pytest.mark.parametrize("given", ["SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"])
def test_setting_only_one_of_client_id_and_secret_is_an_error(clone: Path, given: str) -> None:
    with run(clone, free_port(), {given: "given"}) as program:
        assert program.wait() == 2
    assert program.output.startswith(f"{given} is set, but ")


def test_a_redirect_uri_with_another_port_is_an_error(clone: Path) -> None:
    with run(clone, 5123, {"SPOTIFY_REDIRECT_URI": "http://127.0.0.1:5000/callback"}) as program:
        assert program.wait() == 2
    assert program.output.startswith(
        "SPOTIFY_REDIRECT_URI is 'http://127.0.0.1:5000/callback', but make run uses port 5123."
    )


REAL = {"SPOTIFY_CLIENT_ID": "the-id", "SPOTIFY_CLIENT_SECRET": "the-secret"}


def test_each_faulty_setting_has_its_message(clone: Path) -> None:
    given = {
        "SPOTIFY_REDIRECT_URI": "https://localhost:1/callback",
        "FRONTEND_ORIGINS": "*",
        "SECRET_KEY": "x",
    }
    path = clone / ".chalice" / "config.json"
    save(path, path.read_text().replace('"spotify-login-users-dev"', '"a b"'))
    with run(clone, free_port(), given) as program:
        assert program.wait() == 2
    assert re.findall(r"(?m)^(\w+) is ", program.output) == [*given, "USERS_TABLE"]
    assert program.output.endswith("hyphens and underscores. Correct it in .chalice/config.json.\n")
    save(path, "{")
    with run(clone, free_port()) as program:
        assert program.wait() == 1
    assert program.output.startswith("Could not read .chalice/config.json: Expecting property name")


def test_settings_with_which_the_app_can_serve_are_accepted(clone: Path) -> None:
    port = free_port()
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        for redirect_uri in (
            "https://tunnel.example/app/callback",
            f"https://localhost:{proxy.getsockname()[1]}/app/callback",
            f"http://localhost:{port}/callback",
        ):
            given = {"SPOTIFY_REDIRECT_URI": redirect_uri, "SECRET_KEY": " ", "SPOTIFY_API_URL": "unused"}
            with run(
                clone, port, {**given, "AWS_ACCESS_KEY_ID": "unused", "AWS_ENDPOINT_URL_KMS": "un used"}
            ) as program:
                ports_of(program)
                moved = requests.get(f"http://127.0.0.1:{port}/", allow_redirects=False, timeout=30)
                assert moved.headers["Location"] == redirect_uri.replace("callback", "?moved=1")


@pytest.mark.parametrize(
    "scope", ["user-read-email,user-read-private", "user-read-email+streaming", "future"]
)
def test_a_scope_that_spotify_may_not_know_is_a_warning(clone: Path, scope: str) -> None:
    port = free_port()
    with run(clone, port, {**REAL, "SPOTIFY_SCOPE": f"streaming user-read-email {scope}"}) as program:
        banner = program.wait_for(r"(?s)Log in at.*Ctrl-C")[0]
        assert f"SPOTIFY_SCOPE names {scope}, which may not exist." in banner
        assert "Separate scopes by spaces." in banner
        assert scope in query_of(HttpVisitor(f"http://127.0.0.1:{port}").begin())["scope"]


@pytest.mark.parametrize("port", ["", "abc", "0", "65536"])
def test_an_invalid_port_is_an_error(clone: Path, port: str) -> None:
    with running(python("-m", "local", "--port", port), cwd=clone) as program:
        assert program.wait() == 2
    assert program.output.startswith(f"{port!r} is not a port")


def test_the_server_reports_a_port_that_was_just_taken_and_exits(clone: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        server = python("-m", "local.server", "--host", "127.0.0.1", "--port", port)
        with running(server, {"AWS_DEFAULT_REGION": "us-east-1"}, clone) as program:
            program.wait()
    assert f"Could not open port {port}: Address already in use." in program.output
    assert "Traceback" not in program.output


def test_the_server_alone_runs_on_after_its_stdin_closes(clone: Path) -> None:
    port = free_port()
    server = python("-m", "local.server", "--host", "127.0.0.1", "--port", str(port), "--no-autoreload")
    with running(["sh", "-c", f"echo | {' '.join(server)}"], {"AWS_DEFAULT_REGION": "us-east-1"}, clone):
        wait_until_served(port)
        assert HttpVisitor(f"http://127.0.0.1:{port}").see_id() == "None"


def test_make_run_leaves_the_terminal_settings_unchanged(clone: Path) -> None:
    port, (controller, terminal) = free_port(), pty.openpty()
    before = termios.tcgetattr(terminal)
    command = python("-m", "local", "--port", str(port))
    program = subprocess.Popen(
        command, cwd=clone, env=clean_environment(), stdin=terminal, stdout=terminal, stderr=terminal
    )
    try:
        wait_until_served(port)
        program.send_signal(signal.SIGQUIT)
        assert program.wait(10) == 0
        assert "\x1b" not in os.read(controller, 10_000).decode()
        assert termios.tcgetattr(terminal) == before
    finally:
        program.kill()
        program.wait()
        os.close(controller)
        os.close(terminal)
    wait_until(lambda: is_free(port))


NOT_HTTP = r"- 400  not an HTTP request; the app's address begins with http://, not https://"


@pytest.mark.parametrize(
    ("sent", "status", "line"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xff\x00\n", 400, NOT_HTTP),  # TLS
        (b"\x00\xff\r\n\r\n", 400, NOT_HTTP),
        (b"GET /callback?code=x y\r\n\r\n", 400, NOT_HTTP),
        (b"PRI * HTTP/2.0\r\n\r\n", 505, "- 505"),
        (b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 70_000), 414, "- 414"),
        (b"GET /login?a HTTP/1.1\r\nA: %s\r\n\r\n" % (b"a" * 70_000), 431, "GET /login 431"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "POST / 400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "POST / 400"),
        (b"POST / HTTP/1.1\r\nContent-Length: %s\r\n\r\n" % (b"9" * 20), 400, "POST / 400"),
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


def test_fifty_simultaneous_requests_all_get_a_response(server: Process) -> None:
    (port,) = map(int, server.wait_for(r"Serving on http://127\.0\.0\.1:(\d+)").groups())
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(50)]
    for connection in sockets:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    for connection in sockets:
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()


def test_a_page_with_the_users_favorite_artists_runs_after_one_command(clone: Path) -> None:
    fork.add_top(clone)
    port = free_port()
    with run(clone, port, {"TOKENS_KMS_ALIAS": "alias/tokens"}) as program:
        ports_of(program)
        visitor = HttpVisitor(f"http://127.0.0.1:{port}")
        visitor.get(visitor.agree(visitor.get(visitor.get("/top").location).location))
        assert len(visitor.get("/top").text.split('", "')) == 5
        assert "encrypted" in visitor.get("/").words


def test_make_run_rejects_an_alias_that_kms_would_reject(clone: Path) -> None:
    for alias in ("alias/aws/dynamodb", "alias/with space"):
        with run(clone, free_port(), {"TOKENS_KMS_ALIAS": alias}) as program:
            assert (
                "Use one such as alias/tokens" in program.wait_for(r"(?s)TOKENS_KMS_ALIAS.*alias/tokens")[0]
            )
    path = clone / ".chalice" / "config.json"
    save(path, path.read_text().replace('"USERS_TABLE"', '"TOKENS_KMS_ALIAS": "tokens", "USERS_TABLE"'))
    with run(clone, free_port()) as program:
        program.wait_for(r"Use one such as alias/tokens")
        assert "Traceback" not in program.output


def test_make_run_never_sends_tokens_to_aws_if_only_dynamodb_is_elsewhere(clone: Path) -> None:
    table = python("-m", "local.aws", "--port", "0")
    with running(table, {"HTTP_PROXY": CLOSED, "AWS_PROFILE": "unknown"}) as emulator:
        url = emulator.wait_for(r"http://[\w.:]+")[0]
        port = free_port()
        settings = {
            "TOKENS_KMS_ALIAS": "alias/tokens",
            "AWS_ENDPOINT_URL_DYNAMODB": url,
            "HTTP_PROXY": CLOSED,
        }
        with run(clone, port, settings) as program:
            assert "KMS key in memory, alias/tokens" in program.wait_for(r"(?s)Log in at.*Ctrl-C")[0]
            visitor = HttpVisitor(f"http://127.0.0.1:{port}")
            visitor.log_in()
            assert "This site keeps access" in visitor.get("/").words
