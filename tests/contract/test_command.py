"""`make contract` runs the contract against another server, and reports which beliefs do not hold."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response, request

from deploy import PROJECT
from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.contract import live, test_contract
from tests.contract.target import MOST, Reply, Target
from tests.support.servers import clean_environment, free_port, python

COMMAND = "-m pytest -c tests/contract/live.ini tests/contract/test_contract.py"
BELIEFS = {name for name in vars(test_contract) if name.startswith("test_")}
APP = "http://127.0.0.1:5000/callback"


def environment(url: str, changes: Mapping[str, str]) -> dict[str, str]:
    return {
        "SPOTIFY_ACCOUNTS_URL": url,
        "SPOTIFY_API_URL": url,
        "SPOTIFY_CLIENT_ID": Application.client_id,
        "SPOTIFY_CLIENT_SECRET": Application.client_secret,
        **changes,
    }


def contract(url: str, **changes: str) -> tuple[int, str]:
    """Run the contract against a server. Returns the exit status and the output."""
    command, settings = python(*COMMAND.split()), clean_environment(environment(url, changes))
    done = subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def target(url: str, pause: float = 0) -> Target:
    return Target(url, url, Application.client_id, Application.client_secret, APP, pause)


@pytest.fixture(scope="module")
def simulator() -> str:
    return serve(create_app(Application()))


@pytest.fixture
def unserved() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_every_belief_holds_for_the_simulator(simulator: str) -> None:
    assert f"@$(BIN)/python {COMMAND}\n" in (PROJECT / "Makefile").read_text(encoding="utf-8")
    status, output = contract(simulator)
    assert status == 0, output
    assert f"{len(BELIEFS)} passed" in output
    assert f"20 of at most {MOST} requests sent to {simulator}\n" in output


def test_a_fault_of_the_environment_is_one_message(unserved: str) -> None:
    status, output = contract(unserved, SPOTIFY_CLIENT_SECRET="")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert output.startswith("ERROR: SPOTIFY_CLIENT_SECRET must be set.\n")
    assert "test_" not in output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SPOTIFY_CLIENT_ID": ""}, r"SPOTIFY_CLIENT_ID must be set\.\n.*\n\n    read -r SPOTIFY_CLIENT_ID &&"),
        ({"SPOTIFY_CLIENT_SECRET": ""}, r"SPOTIFY_CLIENT_SECRET must be set\.\n.*\n\n    read -rs SPOTIFY_CLIENT_S"),
        (
            {"SPOTIFY_CLIENT_ID": "", "SPOTIFY_CLIENT_SECRET": ""},
            r"ID and SPOTIFY_CLIENT_SECRET must be set\.\n(.|\n)*read -r .*\n    read -rs ",
        ),
        ({"SPOTIFY_CLIENT_SECRET": "wrong"}, r"rejected the client ID simulated-client-id (.|\n)*Invalid client secret"),
        ({"SPOTIFY_ACCOUNTS_URL": "(unserved)"}, r"/api/token did not respond \(ConnectionError\)\. Check the network"),
        ({"SPOTIFY_ACCOUNTS_URL": "http://evil.example"}, r"^SPOTIFY_ACCOUNTS_URL is not valid: http://evil\.example"),
        ({"SPOTIFY_API_URL": "http://evil.example"}, r"^SPOTIFY_API_URL is not valid: http://evil\.example"),
        ({"SPOTIFY_REDIRECT_URI": "http://evil.example"}, r"^SPOTIFY_REDIRECT_URI is not valid: http://evil\.example"),
    ],
)  # fmt: skip
def test_the_message_says_what_is_wrong_and_what_to_type(
    simulator: str, unserved: str, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    for name, value in environment(simulator, changes).items():
        monkeypatch.setenv(name, value.replace("(unserved)", unserved))
    config: Any = SimpleNamespace(stash={})
    with pytest.raises(pytest.UsageError, match=message):
        live.pytest_configure(config)


def test_a_run_pauses_between_requests_and_ends_at_the_limit_or_without_a_response(
    simulator: str, unserved: str
) -> None:
    spotify = target(simulator, pause=0.1)
    began = time.monotonic()
    for _ in range(3):
        spotify.request_profile()
    assert time.monotonic() - began >= 0.2
    spotify.pause, spotify.sent = 0, MOST - 1
    spotify.request_profile()
    with pytest.raises(pytest.exit.Exception, match="at most 40 requests"):
        spotify.request_profile()
    with pytest.raises(pytest.exit.Exception, match=f"{unserved}/v1/me did not respond"):
        target(unserved).request_profile()


def test_only_urls_at_spotify_are_its_own() -> None:
    owns = target("https://accounts.spotify.com").owns
    assert owns("https://accounts.spotify.com/en/login?continue=x")
    assert owns("https://challenge.spotify.com/")
    for url in (
        "http://accounts.spotify.com/",
        "https://a.spotify.com.evil.example/",
        "https://evilspotify.com/",
    ):
        assert not owns(url)


def change(
    status: int | None = None, body: str = "", media: str = "", location: str = "", **fields: object
) -> Callable[[Response], None]:
    """A change of a response: its status, body, media type and address, and fields of its JSON."""

    def apply(response: Response) -> None:
        response.status_code = status or response.status_code
        if fields:
            response.data = json.dumps({**json.loads(response.data), **fields})
        if body:
            response.data, response.content_type = body.encode(), media
        if location:
            response.headers["Location"] = location

    return apply


@pytest.mark.parametrize(
    ("responses", "changed", "beliefs"),
    [
        ("Invalid client secret", change(401), {"rejects_a_wrong_secret"}),
        ("Invalid refresh token", change(error="invalid_token"), {"made_up_refresh_token"}),
        ("Invalid authorization code", change(body="<h1>Bad Request</h1>", media="text/html"), {"made_up_code"}),
        ("code must be supplied", change(body="error=invalid_request", media="text/plain"), {"missing_code"}),
        ('"access_token"', change(400, body="{}", media="application/json"), {"client_credentials"}),
        ('"access_token"', change(expires_in=60), {"for_an_hour"}),
        ('"access_token"', change(refresh_token="BQ" + "x" * 20), {"get_no_refresh_token"}),
        ("Invalid access token", change(200), {"a_made_up_token", "client_credentials_token"}),
        ("Illegal scope", change(303, location=f"{APP}?error=invalid_scope"), {"unknown_scope"}),
        ("/authorize/consent", change(location=f"{APP}?code=x"), {"redirected_to_spotifys_login"}),
        ("Not matching configuration", change(303, location="/login"), {"not_registered_is_an_error"}),
    ],
)  # fmt: skip
def test_a_broken_simulator_contradicts_exactly_the_beliefs_about_it(
    responses: str, changed: Callable[[Response], None], beliefs: set[str]
) -> None:
    app = create_app(Application())

    @app.after_request
    def break_(response: Response) -> Response:
        if responses in response.get_data(as_text=True):
            changed(response)
        return response

    assert contradicted(serve(app)) == {name for name in BELIEFS if any(part in name for part in beliefs)}


def contradicted(url: str) -> set[str]:
    """The beliefs that do not hold for a server."""
    spotify, found = target(url), set()
    for name in BELIEFS:
        try:
            getattr(test_contract, name)(spotify)
        except AssertionError:
            found.add(name)
    return found


def test_a_failed_belief_shows_the_response_without_secrets_and_tokens() -> None:
    app = Flask(__name__)

    @app.route("/<path:path>", methods=["GET", "POST"])
    def repeat(path: str) -> Response:
        sent = f"{request.headers.get('Authorization')} {Application.client_secret}"
        body = f"{sent} access_token={'BQ' + 'x' * 40} {'long' * 99}"
        return Response(body, 500, {"Location": f"{APP}?{sent}"}, mimetype="text/plain")

    _, output = contract(serve(app))
    assert set(re.findall(r"::(test_\w+) FAILED", output)) == BELIEFS, output
    assert "Spotify sent 500, text/plain, " in output
    assert f"Location: {APP}?Basic%20(hidden)%20(hidden): Basic (hidden) (hidden) access_token" in output
    assert "Bearer (hidden) (hidden) access_token=(hidden)" in output
    assert not re.search(rf"{Application.client_secret}|BQ[\w-]{{20}}", output)
    assert repr(Reply(401, "text/html", "", f"<h1>No</h1>{'x' * 300}", "")).endswith("No " + "x" * 297)
