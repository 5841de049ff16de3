"""`make contract`, against the simulator: what we believe about Spotify holds for it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response, request

from deploy import PROJECT
from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.contract import live
from tests.contract.target import Reply
from tests.support.servers import clean_environment, free_port, python

COMMAND = "-m pytest -c tests/contract/live.ini tests/contract/beliefs.py"
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


@pytest.fixture(scope="module")
def simulator() -> str:
    return serve(create_app(Application()))


def test_every_belief_holds_for_the_simulator(simulator: str) -> None:
    assert f"@$(BIN)/python {COMMAND}\n" in (PROJECT / "Makefile").read_text(encoding="utf-8")
    status, output = contract(simulator)
    assert status == 0, output
    assert f"\n20 requests sent to {simulator}\n" in output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"SPOTIFY_CLIENT_ID": "", "SPOTIFY_CLIENT_SECRET": ""},
            r"ID and SPOTIFY_CLIENT_SECRET must be set\.\n(.|\n)*read -r .*\n    read -rs ",
        ),
        ({"SPOTIFY_CLIENT_SECRET": "wrong"}, r"rejected the client ID simulated-client-id (.|\n)*Invalid client secret"),
        ({"SPOTIFY_ACCOUNTS_URL": "(unserved)"}, r"/api/token did not respond \(ConnectionError\)\. Check the network"),
        ({"SPOTIFY_ACCOUNTS_URL": "http://evil.example"}, r"^SPOTIFY_ACCOUNTS_URL is not valid: http://evil\.example"),
    ],
)  # fmt: skip
def test_the_message_says_what_is_wrong_and_what_to_type(
    simulator: str, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    for name, value in environment(simulator, changes).items():
        monkeypatch.setenv(name, value.replace("(unserved)", f"http://127.0.0.1:{free_port()}"))
    config: Any = SimpleNamespace(stash={})
    with pytest.raises(pytest.UsageError, match=message):
        live.pytest_configure(config)


BROKEN = {
    "Invalid refresh token": ({"error": "invalid_token"}, 400, ""),
    '"access_token"': ({"access_token": "made-up" * 3, "token_type": "Bearer", "expires_in": 60}, 200, ""),
    "Invalid access token": ({"error": {"status": 401}}, 401, ""),
    "Illegal scope": ({}, 303, f"{APP}?error=invalid_scope"),
    "Not matching configuration": ({}, 303, "/login"),
}
"""A text in some of the simulator's responses, and the document, status and address that are sent instead."""

CONTRADICTED = {
    "the_token_endpoint_rejects_with_the_error_of_the_rfc[a made-up refresh token]",
    "client_credentials_get_a_bearer_token_for_an_hour_and_no_refresh_token",
    "a_profile_request_without_a_token_or_with_a_made_up_one_is_rejected_with_401",
    "an_invalid_authorization_request_is_not_redirected_to_the_app[unknown scope]",
    "the_error_for_an_unknown_scope_contains_the_word_scope_before_the_login",
    "a_redirect_uri_that_is_not_registered_is_an_error_before_the_login",
}
"""The beliefs about these responses."""


def test_a_broken_simulator_contradicts_exactly_the_beliefs_about_what_is_broken() -> None:
    app = create_app(Application())

    @app.after_request
    def break_(response: Response) -> Response:
        for text, (document, status, location) in BROKEN.items():
            if text in response.get_data(as_text=True):
                return Response(
                    json.dumps(document), status, {"Location": location}, mimetype="application/json"
                )
        return response

    _, output = contract(serve(app))
    assert set(re.findall(r"::test_(.+) FAILED", output)) == CONTRADICTED, output


def test_a_failed_belief_shows_the_response_without_secrets_and_tokens() -> None:
    app = Flask(__name__)

    @app.route("/<path:path>", methods=["GET", "POST"])
    def repeat(path: str) -> Response:
        sent = f"{request.headers.get('Authorization')} {Application.client_secret}"
        body = f"{sent} access_token={'BQ' + 'x' * 40} {'long' * 99}"
        return Response(body, 500, {"Location": f"{APP}?{sent}"}, mimetype="text/plain")

    _, output = contract(serve(app))
    assert " FAILED" in output
    assert " PASSED" not in output
    assert "Spotify sent 500, text/plain, " in output
    assert f"Location: {APP}?Basic%20(hidden)%20(hidden): Basic (hidden) (hidden) access_token" in output
    assert "Bearer (hidden) (hidden) access_token=(hidden)" in output
    assert not re.search(rf"{Application.client_secret}|BQ[\w-]{{20}}", output)
    assert repr(Reply(401, "text/html", "", f"<h1>No</h1>{'x' * 300}", "")).endswith("No " + "x" * 297)
