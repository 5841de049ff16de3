"""Run the app with a simulated Spotify and DynamoDB in memory, until Ctrl-C: `python -m local --port 5000`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from chalicelib import config
from deploy import PROJECT
from local import secret_key
from local.port import HOST, another, answers

CONFIG = PROJECT / ".chalice" / "config.json"
SECRET_KEY = PROJECT / ".local" / "secret-key"

PARENT = os.getppid()
"""The process ID of make. If make is killed, the parent is another process."""

INDENT = "\n" + " " * 11
"""Continues a note of the banner on the next line."""

GRACE = 5.0
"""Seconds that the app has to exit before it is killed."""


def main() -> int:
    """Run until a signal arrives. Returns the exit status."""
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
    # A new session makes a process group that can be stopped as a whole, with the reloader's worker. The pipe
    # closes when this process ends, even by SIGKILL. A terminal on stdin would make Chalice's prompt library
    # query it and wait at every start.
    app = subprocess.Popen(  # noqa: S603
        command, cwd=PROJECT, env=environment, start_new_session=True, stdin=subprocess.PIPE
    )
    try:
        _watch(app, stop, port, notes)
    finally:
        _end(app)
    return 0 if stop.is_set() else 1


def _problem(named: str) -> str:
    """Why the app cannot start and what to do about it; empty if it can start."""
    if not (named.isascii() and named.isdigit() and 0 < int(named) < 65536):
        return f"{named!r} is not a port number. Choose one from 1 to 65535:\n\n    make run PORT=5001"
    port = int(named)
    if answers(port):
        return (
            f"Port {port} is in use. Stop the program that uses it, or choose another port:\n\n"
            f"    make run PORT={another(port)}\n\n"
            "On a Mac, AirPlay Receiver uses port 5000. You can turn it off in System Settings."
        )
    names = ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET")
    missing = [name for name in names if not os.environ.get(name)]
    if len(missing) == 1:
        (given,) = set(names) - set(missing)
        return (
            f"{given} is set, but {missing[0]} is not. To use your Spotify app, set both. "
            f"To use the simulated Spotify, unset {given}:\n\n    unset {given}"
        )
    name = "SPOTIFY_REDIRECT_URI"
    redirect_uri = os.environ.get(name, "")
    if name in config.faults({name: redirect_uri}):
        return (
            f"{name} is {redirect_uri!r}, which is not a valid redirect URI for this app. "
            "It must use https, or http on this machine's loopback address, and end in /callback. "
            f"Correct it, or unset it:\n\n    unset {name}"
        )
    parts = urlsplit(redirect_uri)
    if parts.scheme == "http" and (parts.port or 80) != port:
        return (
            f"{name} is {redirect_uri!r}, but make run uses port {port}. "
            f"Unset it, or use the same port:\n\n    make run PORT={parts.port or 80}"
        )
    return _alias_problem(_configured(os.environ, "TOKENS_KMS_ALIAS"))


def _alias_problem(alias: str) -> str:
    name = "TOKENS_KMS_ALIAS"
    if name in config.faults({name: alias}):
        return (
            f"{name} is {alias!r}, which is not the alias of a KMS key. Use one such as alias/tokens:\n\n"
            f"    export {name}=alias/tokens"
        )
    return ""


def _environment(port: int) -> tuple[dict[str, str], list[str]]:
    """Start or create what is missing. Returns the app's environment and the notes of the banner."""
    environment = dict(os.environ)
    environment["MAKE_RUN"] = "yes"  # local/server.py then exits with this process
    environment["SECRET_KEY"] = environment.get("SECRET_KEY") or _secret_key()
    return environment, [_provide_spotify(environment, port), _provide_aws(environment)]


def _secret_key() -> str:
    try:
        return secret_key.read_or_make(SECRET_KEY)
    except OSError as failure:
        sys.exit(
            f"Could not use {SECRET_KEY}, this machine's signing key: {failure.strerror}. "
            "Make the file and its folder yours, or set a key in this terminal:\n\n"
            '    export SECRET_KEY="$(openssl rand -base64 33)"'
        )


def _provide_spotify(environment: dict[str, str], port: int) -> str:
    redirect_uri = environment.get("SPOTIFY_REDIRECT_URI") or f"http://{HOST}:{port}/callback"
    if environment.get("SPOTIFY_CLIENT_ID"):
        warning = ""
        if redirect_uri.startswith("http://localhost"):
            warning = f"{INDENT}Spotify rejects new localhost URIs. Use 127.0.0.1, unless yours is already registered."
        return f"Spotify:   the real one. Register exactly this redirect URI there:{INDENT}{redirect_uri}{warning}"

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
    real = "To use the real one, set SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET."
    return f"Spotify:   simulated, at {url}{INDENT}{real}"


def _provide_aws(environment: dict[str, str]) -> str:
    from local import aws

    aws.isolate(os.environ)  # this process calls only the servers that it starts
    url = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or environment.get("AWS_ENDPOINT_URL")
    table, alias = _configured(environment, "USERS_TABLE"), _configured(environment, "TOKENS_KMS_ALIAS")
    kept = f"{INDENT}Kept access is encrypted with a KMS key in memory, {alias}." if alias else ""
    if url:
        aws.bypass_proxies(environment)
        if urlsplit(url).hostname in (HOST, "localhost") and not environment.get("AWS_PROFILE"):
            environment |= {**aws.CREDENTIALS, **environment}  # clients of an emulator need them too
        if not alias or environment.get("AWS_ENDPOINT_URL_KMS") or environment.get("AWS_ENDPOINT_URL"):
            return f"DynamoDB:  yours, at {url}"
        environment["AWS_ENDPOINT_URL_KMS"] = aws.start(table, alias)
        return f"DynamoDB:  yours, at {url}{kept}"

    aws.isolate(environment)
    environment["AWS_ENDPOINT_URL"] = aws.start(table, alias)
    return f"DynamoDB:  in memory. Its data is lost when you stop the app.{kept}"


def _configured(environment: Mapping[str, str], name: str) -> str:
    """A setting as `chalice local` sees it: .chalice/config.json overrides the environment."""
    shared = json.loads(CONFIG.read_text(encoding="utf-8"))
    stage = shared["stages"]["dev"]["environment_variables"]
    return config.read({**environment, **shared["environment_variables"], **stage}, name)


def _watch(app: subprocess.Popen[bytes], stop: threading.Event, port: int, notes: list[str]) -> None:
    """Show the banner once the app responds, or after 10 s. Return when the app exits, a signal arrives or make ends."""
    banner = ["", f"Log in at  http://{HOST}:{port}", *notes, "Press Ctrl-C to stop.", ""]
    late = time.monotonic() + 10
    while app.poll() is None and not stop.wait(0.1) and os.getppid() == PARENT:
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
