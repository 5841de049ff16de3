"""`python -m local --port 5000`: DynamoDB, Spotify and the app, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

from chalicelib import config
from deploy import PROJECT
from local import secret_key
from local.port import HOST, answers

CONFIG = PROJECT / ".chalice" / "config.json"
SECRET_KEY = PROJECT / ".local" / "secret-key"

GRACE = 5.0
"""Seconds that the app has to end before it is killed."""


def main() -> int:
    """Run until a signal; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--port", default="5000")
    named = parser.parse_args().port
    stop = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        signal.signal(getattr(signal, name), lambda *_: stop.set())

    problem = _problem(named)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    port = int(named)
    environment, notes = _environment(port)
    if stop.is_set():
        return 0
    command = [sys.executable, "-m", "local.server", "--host", HOST, "--port", str(port)]
    # A session of its own: its whole process group can be ended, the reloader's worker too. Without the
    # terminal: Chalice's prompts would ask it for its abilities at every start, and wait.
    app = subprocess.Popen(  # noqa: S603
        command, cwd=PROJECT, env=environment, start_new_session=True, stdin=subprocess.DEVNULL
    )
    try:
        _watch(app, stop, port, notes)
    finally:
        _end(app)
    return 0 if stop.is_set() else 1


def _problem(named: str) -> str:
    """Why it cannot start, in a sentence; empty if it can."""
    if not (named.isascii() and named.isdigit() and 0 < int(named) < 65536):
        return f"{named!r} is not a port; take one from 1 to 65535, such as: make run PORT=5001"
    port = int(named)
    if answers(port):
        return (
            f"Port {port} is in use. End what uses it, or take another: make run PORT={port % 65535 + 1}\n"
            "(On a Mac port 5000 belongs to AirPlay Receiver, until System Settings turns that off.)"
        )
    application = ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET")
    given = [name for name in application if os.environ.get(name)]
    if len(given) == 1:
        return (
            f"Only {given[0]} is set. Set {' and '.join(application)} to use your Spotify application, "
            "or neither to use the simulator."
        )
    name = "SPOTIFY_REDIRECT_URI"
    redirect_uri = os.environ.get(name, "")
    if name in config.faults({name: redirect_uri}):
        return f"{name} is {redirect_uri}, which the app cannot use. Unset it, or end it in /callback."
    parts = urlsplit(redirect_uri)
    if parts.scheme == "http" and (parts.port or 80) != port:
        return (
            f"{name} leads to port {parts.port or 80}, and this is port {port}. "
            f"Unset it, or run: make run PORT={parts.port or 80}"
        )
    return ""


def _environment(port: int) -> tuple[dict[str, str], list[str]]:
    """The app's environment, with what is missing started or made, and what the banner says of it."""
    environment = dict(os.environ)
    notes = [_provide_spotify(environment, port), _provide_dynamodb(environment)]
    if not environment.get("SECRET_KEY"):
        environment["SECRET_KEY"] = secret_key.read_or_make(SECRET_KEY)
    for name in ("NO_PROXY", "no_proxy"):  # a proxy knows nothing of this machine's own servers
        environment[name] = ",".join(filter(None, (environment.get(name), HOST, "localhost")))
    return environment, notes


def _provide_spotify(environment: dict[str, str], port: int) -> str:
    redirect_uri = environment.get("SPOTIFY_REDIRECT_URI") or f"http://{HOST}:{port}/callback"
    if environment.get("SPOTIFY_CLIENT_ID"):
        warning = ""
        if redirect_uri.startswith("http://localhost"):
            warning = "\n           Spotify has refused localhost since November 2025: use 127.0.0.1, unless it is registered."
        return f"Spotify:   the real one; register {redirect_uri} there, exactly so{warning}"

    from simulator.loopback import serve
    from simulator.spotify import Application, create_app

    application = Application(redirect_uris=(f"http://{HOST}/callback", redirect_uri), allow_localhost=True)
    url = serve(create_app(application))
    environment |= {
        "SPOTIFY_CLIENT_ID": application.client_id,
        "SPOTIFY_CLIENT_SECRET": application.client_secret,
        "SPOTIFY_ACCOUNTS_URL": url,
        "SPOTIFY_API_URL": url,
    }
    return f"Spotify:   simulated at {url}; set SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET for the real one"


def _provide_dynamodb(environment: dict[str, str]) -> str:
    url = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or environment.get("AWS_ENDPOINT_URL")
    from local import dynamodb

    if url:
        if urlsplit(url).hostname in (HOST, "localhost") and not environment.get("AWS_PROFILE"):
            environment |= {**dynamodb.CREDENTIALS, **environment}  # an emulator's client wants some, too
        return f"DynamoDB:  yours, at {url}"

    stage = json.loads(CONFIG.read_text(encoding="utf-8"))["stages"]["dev"]
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]
    environment |= dynamodb.CREDENTIALS
    environment |= {
        "AWS_ENDPOINT_URL": dynamodb.start(stage["environment_variables"]["USERS_TABLE"]),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return "DynamoDB:  in memory; what is stored lives until Ctrl-C"


def _watch(app: subprocess.Popen[bytes], stop: threading.Event, port: int, notes: list[str]) -> None:
    """Show the banner once the app answers (or seems not to), then wait for its end or a signal."""
    banner = ["", f"Log in at  http://{HOST}:{port}", *notes, "Ctrl-C ends it.", ""]
    late = time.monotonic() + 10
    while app.poll() is None and not stop.wait(0.1):
        if banner and (answers(port) or time.monotonic() > late):
            print("\n".join(banner), flush=True)
            banner = []


def _end(app: subprocess.Popen[bytes]) -> None:
    for end in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(app.pid, end)
            app.wait(GRACE)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    sys.exit(main())
