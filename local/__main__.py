"""Run the app with a simulated Spotify and DynamoDB in memory, until Ctrl-C: `python -m local --port 5000`."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from chalicelib import branding, config
from chalicelib.site import brand
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

CLIENT = ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET")
SIMULATED = {**dict.fromkeys(CLIENT, "simulated"), "SPOTIFY_ACCOUNTS_URL": "", "SPOTIFY_API_URL": ""}
"""Stands for the settings that the simulated Spotify will supply."""

ENDPOINT = "It must be a URL, such as http://127.0.0.1:8000."
COPY = "It must be printable ASCII, as in Spotify's dashboard."
RULES = {
    "SPOTIFY_CLIENT_ID": COPY,
    "SPOTIFY_CLIENT_SECRET": COPY,
    "SPOTIFY_REDIRECT_URI": "It must use https, or http on this machine's loopback address, and end in /callback.",
    "SPOTIFY_SCOPE": "It must list scopes with one space between them, or be only the word none.",
    "SECRET_KEY": "It must have 32 bytes or more, 8 different characters or more, and no comma.",
    "SECRET_KEY_FALLBACKS": "Each key must have 32 bytes or more, and commas must separate them.",
    "FRONTEND_ORIGINS": (
        "It must list origins such as {host}:3000, with commas between them and no slash at the end. "
        "Each must use https, or be the app's own address, {host}, with another port."
    ),
    "USERS_TABLE": "It must have 3 to 255 letters, digits, dots, hyphens and underscores.",
    "TOKENS_KMS_ALIAS": "It must be the alias of a KMS key. Use one such as alias/tokens.",
    "SPOTIFY_ACCOUNTS_URL": f"It must be {config.ACCOUNTS_URL}, or a simulator such as http://127.0.0.1:8888.",
    "SPOTIFY_API_URL": f"It must be {config.API_URL}, or a simulator such as http://127.0.0.1:8888.",
    "AWS_SECRET_ACCESS_KEY": "It must be set because AWS_ACCESS_KEY_ID is.",
    **dict.fromkeys(config.ENDPOINTS, ENDPOINT),
}
"""What makes each setting usable."""


def main() -> int:
    """Run until a signal arrives. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--port", default="5000")
    named = parser.parse_args().port
    stop = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        signal.signal(getattr(signal, name), lambda *_: stop.set())

    problem = _port_problem(named)
    environment = {} if problem else _environment()
    problem = problem or _problem(environment, int(named)) or _brand_problem()
    if problem:
        print(problem, file=sys.stderr)
        return 2
    port = int(named)
    notes = [_provide_spotify(environment, port), *_scope_note(environment), _provide_aws(environment)]
    notes += [f"Brand:     {note}" for note in branding.illegible(brand)]
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


def _port_problem(named: str) -> str:
    """Why the port cannot be used and what to do about it; empty if it can."""
    if not (named.isascii() and named.isdigit() and 0 < int(named) < 65536):
        return f"{named!r} is not a port number. Choose one from 1 to 65535:\n\n    make run PORT=5001"
    port = int(named)
    if answers(port):
        return (
            f"Port {port} is in use. Stop the program that uses it, or choose another port:\n\n"
            f"    make run PORT={another(port)}\n\n"
            "On a Mac, AirPlay Receiver uses port 5000. You can turn it off in System Settings."
        )
    return ""


def _problem(environment: Mapping[str, str], port: int) -> str:
    """Which settings the app cannot use, why, and what to do about each; empty if it can use all."""
    settings = _settings(environment)
    missing = [name for name in CLIENT if not config.read(settings, name)]
    if len(missing) == 1:
        (given,) = set(CLIENT) - set(missing)
        return (
            f"{given} is set, but {missing[0]} is not. To use your Spotify app, set both. "
            f"To use the simulated Spotify, unset {given}:\n\n    unset {given}"
        )
    settings = {**settings, **(SIMULATED if missing else {})}
    faults, origin, path = config.faults(settings), f"http://{HOST}:{port}", ""
    if "SPOTIFY_REDIRECT_URI" not in faults:
        origin, path = config.Settings(settings).own_address or (origin, path)
    if not config.are_usable(config.read(settings, "FRONTEND_ORIGINS"), origin):
        faults = sorted({*faults, "FRONTEND_ORIGINS"})
    host = re.sub(r":\d+$", "", origin)
    return "\n\n".join(
        [*_unreachable(origin, path, port), *(_fault(name, settings, host) for name in faults)]
    )


def _brand_problem() -> str:
    """Why the pages cannot use chalicelib/site/, and what to do about it; empty if they can."""
    return "\n".join(f"In chalicelib/site/: {fault}" for fault in branding.faults(brand))


def _fault(name: str, settings: Mapping[str, str], host: str) -> str:
    """What is wrong with a setting, and what to do about it. A secret is not shown."""
    value = config.read(settings, name)
    fault = "is missing" if not value else "is not usable" if "SECRET" in name else f"is {value!r}"
    message = f"{name} {fault}. {RULES[name].format(host=host)}"
    if name in _overriding():
        return f"{message} Correct it in .chalice/config.json."
    return f"{message} Correct it, or unset it:\n\n    unset {name}" if value else f"{message} Set it."


def _unreachable(origin: str, path: str, port: int) -> Iterator[str]:
    """Why Spotify's redirect to this address would not reach the app, and what to do about it; nothing if it would."""
    parts, uri = urlsplit(origin), f"SPOTIFY_REDIRECT_URI is '{origin}{path}/callback', but"
    named, unset = parts.port or {"http": 80, "https": 443}[parts.scheme], "unset SPOTIFY_REDIRECT_URI"
    if parts.scheme == "https":  # by a proxy, which may also remove a path
        if parts.hostname in (HOST, "localhost") and not answers(named):
            proxy = f"make run serves http, and no proxy serves https at port {named}."
            yield f"{uri} {proxy} Start one, or unset it:\n\n    {unset}"
    elif named != port:
        fix = f"Unset it, or use the same port:\n\n    make run PORT={named}"
        yield f"{uri} make run uses port {port}. {fix}"
    elif parts.hostname == "::1" or path:
        yield f"{uri} make run serves only http://{HOST}:{port}/callback. Unset it:\n\n    {unset}"


def _environment() -> dict[str, str]:
    """The app's environment, except for what the servers supply that are started with it."""
    from local import aws

    environment = dict(os.environ)
    environment["MAKE_RUN"] = "yes"  # local/server.py then exits with this process
    if not config.read(_settings(environment), "SECRET_KEY"):
        environment["SECRET_KEY"] = _secret_key()
    aws.isolate(os.environ)  # this process calls only the servers that it starts
    url = _aws_url(environment)
    if not url:
        aws.isolate(environment)
        return environment
    aws.bypass_proxies(environment)
    if re.match(r"https?://(127\.0\.0\.1|localhost)\b", url) and not environment.get("AWS_PROFILE"):
        environment |= {**aws.CREDENTIALS, **environment}  # clients of an emulator need them too
    return environment


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
    settings = _settings(environment)
    redirect_uri = config.read(settings, "SPOTIFY_REDIRECT_URI") or f"http://{HOST}:{port}/callback"
    if config.read(settings, "SPOTIFY_CLIENT_ID"):
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


def _scope_note(environment: Mapping[str, str]) -> list[str]:
    """A warning about scopes that only a newer Spotify could know."""
    from simulator.spotify import SCOPES

    unknown = sorted({*config.read(_settings(environment), "SPOTIFY_SCOPE").split()} - SCOPES)
    warning = f"which may not exist.{INDENT}Then Spotify rejects every login. Separate scopes by spaces."
    return [f"Scopes:    SPOTIFY_SCOPE names {' '.join(unknown)}, {warning}"] if unknown else []


def _provide_aws(environment: dict[str, str]) -> str:
    from local import aws

    settings, url = _settings(environment), _aws_url(environment)
    table, alias = config.read(settings, "USERS_TABLE"), config.read(settings, "TOKENS_KMS_ALIAS")
    kept = f"{INDENT}Kept access is encrypted with a KMS key in memory, {alias}." if alias else ""
    if url:
        if not alias or environment.get("AWS_ENDPOINT_URL_KMS") or environment.get("AWS_ENDPOINT_URL"):
            return f"DynamoDB:  yours, at {url}"
        environment["AWS_ENDPOINT_URL_KMS"] = aws.start(table, alias)
        return f"DynamoDB:  yours, at {url}{kept}"

    environment["AWS_ENDPOINT_URL"] = aws.start(table, alias)
    return f"DynamoDB:  in memory. Its data is lost when you stop the app.{kept}"


def _aws_url(environment: Mapping[str, str]) -> str:
    """The user's own DynamoDB, if any."""
    return environment.get("AWS_ENDPOINT_URL_DYNAMODB") or environment.get("AWS_ENDPOINT_URL") or ""


def _settings(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The settings as `chalice local` sees them: .chalice/config.json overrides the environment."""
    return {**environment, **_overriding()}


def _overriding() -> Mapping[str, str]:
    """The variables in .chalice/config.json."""
    try:
        shared = json.loads(CONFIG.read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        sys.exit(
            f"Could not read .chalice/config.json: {failure}. Correct it, and run this again:\n\n    make run"
        )
    stage = shared.get("stages", {}).get("dev", {})
    return {**shared.get("environment_variables", {}), **stage.get("environment_variables", {})}


def _watch(app: subprocess.Popen[bytes], stop: threading.Event, port: int, notes: list[str]) -> None:
    """Show the banner once the app responds. Return when the app exits, a signal arrives or make ends."""
    banner = ["", f"Log in at  http://{HOST}:{port}", *notes, "Press Ctrl-C to stop.", ""]
    while app.poll() is None and not stop.wait(0.1) and os.getppid() == PARENT:
        if banner and answers(port):
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
