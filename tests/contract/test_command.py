"""`make contract` runs the contract against another server, and reports which beliefs do not hold."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from flask import Flask, Response, request

from deploy import PROJECT
from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.contract import test_contract
from tests.contract.target import MOST, Reply, Target
from tests.support.servers import clean_environment, free_port, python

COMMAND = "-m pytest -c tests/contract/live.ini tests/contract/test_contract.py"
BELIEFS = {name for name in vars(test_contract) if name.startswith("test_")}
CREDENTIALS = {
    "SPOTIFY_CLIENT_ID": Application.client_id,
    "SPOTIFY_CLIENT_SECRET": Application.client_secret,
}
PASTE_ID = "\n    read -r SPOTIFY_CLIENT_ID && export SPOTIFY_CLIENT_ID\n"
PASTE_SECRET = "\n    read -rs SPOTIFY_CLIENT_SECRET && export SPOTIFY_CLIENT_SECRET\n"
APP = "http://127.0.0.1:5000/callback"


class Run(NamedTuple):
    """A run of `make contract` that has ended."""

    status: int
    output: str

    @property
    def failed(self) -> set[str]:
        """The beliefs that do not hold."""
        return set(re.findall(r"::(test_\w+) FAILED", self.output))


def contract(url: str, **settings: str) -> Run:
    """Run the contract against a server."""
    urls = {"SPOTIFY_ACCOUNTS_URL": url, "SPOTIFY_API_URL": url}
    done = subprocess.run(
        python(*COMMAND.split()),
        cwd=PROJECT,
        env=clean_environment({**urls, **CREDENTIALS, **settings}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert Application.client_secret not in done.stdout
    assert not re.search(r"BQ[\w-]{20}", done.stdout), "a token"
    return Run(done.returncode, done.stdout)


@pytest.fixture(scope="module")
def simulator() -> str:
    return serve(create_app(Application()))


def unserved() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_the_makefile_runs_this_command() -> None:
    assert f"@$(BIN)/python {COMMAND}\n" in (PROJECT / "Makefile").read_text(encoding="utf-8")


def test_every_belief_holds_for_the_simulator(simulator: str) -> None:
    run = contract(simulator)
    assert run.status == 0, run.output
    assert f"{len(BELIEFS)} passed" in run.output
    assert f"20 of at most {MOST} requests sent to {simulator}\n" in run.output


@pytest.mark.parametrize(
    ("missing", "commands"),
    [
        (["SPOTIFY_CLIENT_ID"], [PASTE_ID]),
        (["SPOTIFY_CLIENT_SECRET"], [PASTE_SECRET]),
        (["SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"], [PASTE_ID, PASTE_SECRET]),
    ],
)
def test_a_missing_credential_is_one_message(missing: list[str], commands: list[str]) -> None:
    run = contract(unserved(), **dict.fromkeys(missing, ""))
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert run.output.startswith(f"ERROR: {' and '.join(missing)} must be set.\n")
    assert [command for command in (PASTE_ID, PASTE_SECRET) if command in run.output] == commands
    assert "test_" not in run.output


def test_credentials_that_are_rejected_are_one_message(simulator: str) -> None:
    run = contract(simulator, SPOTIFY_CLIENT_SECRET="wrong")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert run.output.startswith(
        "ERROR: Spotify rejected the client ID simulated-client-id with this secret.\n"
    )
    assert "Invalid client secret" in run.output
    assert "test_" not in run.output


def test_a_server_that_does_not_respond_is_one_message() -> None:
    url = unserved()
    run = contract(url)
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert run.output.startswith(
        f"ERROR: {url}/api/token did not respond (ConnectionError). Check the network"
    )
    assert "test_" not in run.output


def test_a_run_ends_at_the_first_request_without_a_response(simulator: str) -> None:
    url = unserved()
    run = contract(simulator, SPOTIFY_API_URL=url)
    assert run.status == pytest.ExitCode.INTERRUPTED
    assert run.output.count(f"{url}/v1/me did not respond") == 1
    assert run.failed == set()


@pytest.mark.parametrize("name", ["SPOTIFY_ACCOUNTS_URL", "SPOTIFY_API_URL", "SPOTIFY_REDIRECT_URI"])
def test_an_invalid_url_is_one_message_and_nothing_is_sent(name: str) -> None:
    run = contract(unserved(), **{name: "http://evil.example"})
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert run.output.startswith(f"ERROR: {name} is not valid: http://evil.example. See docs/settings.md.\n")


def target(url: str, pause: float = 0) -> Target:
    return Target(url, url, Application.client_id, Application.client_secret, APP, pause)


def test_a_run_ends_before_it_sends_too_many_requests(simulator: str) -> None:
    spotify = target(simulator)
    for _ in range(MOST):
        spotify.request_profile()
    with pytest.raises(pytest.exit.Exception, match="at most 40 requests"):
        spotify.request_profile()
    assert spotify.sent == MOST == 40


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("https://accounts.spotify.com/en/login?continue=x", True),
        ("https://challenge.spotify.com/", True),
        ("http://accounts.spotify.com/", False),
        ("https://accounts.spotify.com.evil.example/", False),
        ("https://evilspotify.com/", False),
        (APP, False),
    ],
)
def test_only_urls_at_spotify_are_its_own(url: str, is_own: bool) -> None:
    spotify = Target("https://accounts.spotify.com", "https://api.spotify.com", "id", "secret", APP)
    assert spotify.owns(url) == is_own


def test_a_run_pauses_between_requests(simulator: str) -> None:
    spotify = target(simulator, pause=0.1)
    began = time.monotonic()
    for _ in range(3):
        spotify.request_profile()
    assert time.monotonic() - began >= 0.2


Change = Callable[[Response], None]


def status(code: int) -> Change:
    return lambda response: setattr(response, "status_code", code)


def body(text: str, content_type: str) -> Change:
    def change(response: Response) -> None:
        response.data = text.encode()
        response.content_type = content_type

    return change


def fields(**changes: object) -> Change:
    """Change fields of a JSON object."""
    return lambda response: response.set_data(json.dumps({**json.loads(response.data), **changes}))


def refusal(error: str) -> Change:
    def change(response: Response) -> None:
        response.status_code = 400
        response.data = json.dumps({"error": error}).encode()

    return change


def redirect(location: str) -> Change:
    def change(response: Response) -> None:
        response.status_code = 303
        response.headers["Location"] = location

    return change


PAGE = body("<html><body><h1>Bad Request</h1></body></html>", "text/html")
FORM = body("error=invalid_request", "application/x-www-form-urlencoded")


class Breakage(NamedTuple):
    """A change of the simulator's behavior."""

    responses: str
    """Text that occurs in the responses to change."""
    change: Change
    beliefs: set[str]
    """The beliefs that no longer hold."""


BREAKAGES = {
    "a wrong secret is a 401": Breakage(
        "Invalid client secret",
        status(401),
        {"test_the_token_endpoint_rejects_a_wrong_secret_with_invalid_client"},
    ),
    "a made-up refresh token has another error code": Breakage(
        "Invalid refresh token",
        fields(error="invalid_token"),
        {"test_the_token_endpoint_rejects_a_made_up_refresh_token_with_invalid_grant"},
    ),
    "a made-up code is an HTML page": Breakage(
        "Invalid authorization code",
        PAGE,
        {
            "test_the_token_endpoint_rejects_a_made_up_code_with_invalid_grant",
            "test_the_token_endpoint_rejects_a_made_up_code_without_a_verifier",
        },
    ),
    "a missing code is a form": Breakage(
        "code must be supplied",
        FORM,
        {"test_the_token_endpoint_rejects_a_missing_code_with_invalid_request"},
    ),
    "client credentials get no token": Breakage(
        '"access_token"',
        refusal("unsupported_grant_type"),
        {
            "test_client_credentials_get_a_bearer_token_for_an_hour",
            "test_client_credentials_get_no_refresh_token",
            "test_a_profile_request_with_a_client_credentials_token_is_rejected",
        },
    ),
    "client credentials get a token for a minute": Breakage(
        '"access_token"',
        fields(expires_in=60),
        {"test_client_credentials_get_a_bearer_token_for_an_hour"},
    ),
    "client credentials get a refresh token": Breakage(
        '"access_token"',
        fields(refresh_token="BQ" + "x" * 20),
        {"test_client_credentials_get_no_refresh_token"},
    ),
    "every token has a profile": Breakage(
        "Invalid access token",
        status(200),
        {
            "test_a_profile_request_with_a_made_up_token_is_rejected_with_401",
            "test_a_profile_request_with_a_client_credentials_token_is_rejected",
        },
    ),
    "an unknown scope is an error at the app": Breakage(
        "Illegal scope",
        redirect(f"{APP}?error=invalid_scope"),
        {
            "test_an_unknown_scope_is_not_redirected_to_the_app",
            "test_the_error_for_an_unknown_scope_contains_the_word_scope_before_the_login",
        },
    ),
    "the app gets a code without a login": Breakage(
        "/authorize/consent",
        redirect(f"{APP}?code=x"),
        {"test_the_apps_authorization_request_is_redirected_to_spotifys_login"},
    ),
    "the error for a redirect URI follows the login": Breakage(
        "Not matching configuration",
        redirect("/login"),
        {"test_a_redirect_uri_that_is_not_registered_is_an_error_before_the_login"},
    ),
}


def run_against(breakage: Breakage) -> Run:
    app = create_app(Application())

    @app.after_request
    def change(response: Response) -> Response:
        if breakage.responses in response.get_data(as_text=True):
            breakage.change(response)
        return response

    return contract(serve(app))


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """A run against each broken simulator, several at a time."""
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(BREAKAGES, pool.map(run_against, BREAKAGES.values()), strict=True))


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_simulator_is_reported_by_exactly_the_beliefs_that_it_contradicts(
    runs: dict[str, Run], name: str
) -> None:
    run = runs[name]
    assert run.failed == BREAKAGES[name].beliefs, run.output
    assert run.status == pytest.ExitCode.TESTS_FAILED


def test_a_belief_that_does_not_hold_is_reported_with_the_response(runs: dict[str, Run]) -> None:
    sent = '401, application/json: {"error":"invalid_client","error_description":"Invalid client secret"}'
    assert f"Spotify sent {sent}" in runs["a wrong secret is a 401"].output
    assert "Spotify sent 400, text/html: Bad Request" in runs["a made-up code is an HTML page"].output


def test_a_long_body_is_cut() -> None:
    reply = Reply(200, "text/plain", "", "x" * 301, "")
    assert repr(reply).endswith(f": {'x' * 300}")


def test_every_belief_fails_against_a_server_that_repeats_the_secret_and_the_tokens() -> None:
    app = Flask(__name__)

    @app.route("/<path:path>", methods=["GET", "POST"])
    def repeat(path: str) -> Response:
        sent = f"{request.headers.get('Authorization')} {Application.client_secret}"
        body = f"{sent} access_token={'BQ' + 'x' * 40}"
        return Response(body, 500, {"Location": f"{APP}?{sent}"}, mimetype="text/plain")

    run = contract(serve(app))
    assert run.failed == BELIEFS, run.output
    assert f"Location: {APP}?Basic%20(hidden)%20(hidden): Basic (hidden) (hidden) access_token" in run.output
    assert "Bearer (hidden) (hidden) access_token=(hidden)" in run.output
