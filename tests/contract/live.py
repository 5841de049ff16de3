"""A pytest plugin for `make contract`: Spotify itself as the contract's target.

The environment must contain SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET. SPOTIFY_REDIRECT_URI is a redirect URI that
is registered for this app, by default `REDIRECT_URI`. SPOTIFY_ACCOUNTS_URL and SPOTIFY_API_URL can be a simulator's.
"""

from __future__ import annotations

import os

import pytest

from chalicelib import config
from deploy.spotify import DASHBOARD
from tests.contract.target import Target

PAUSE = 0.5
"""The time between two requests to Spotify, in seconds."""

REDIRECT_URI = "http://127.0.0.1:5000/callback"

PASTE = {
    "SPOTIFY_CLIENT_ID": "read -r SPOTIFY_CLIENT_ID && export SPOTIFY_CLIENT_ID",
    "SPOTIFY_CLIENT_SECRET": "read -rs SPOTIFY_CLIENT_SECRET && export SPOTIFY_CLIENT_SECRET",
}
"""The command that sets each credential."""

URLS = ("SPOTIFY_REDIRECT_URI", "SPOTIFY_ACCOUNTS_URL", "SPOTIFY_API_URL")

TARGET = pytest.StashKey[Target]()


def pytest_configure(config: pytest.Config) -> None:
    """Request a client-credentials token, which shows whether Spotify responds and accepts the credentials.

    Raises:
        UsageError: if it does not, or if a setting is missing or not valid.
    """
    target = _target()
    try:
        error = target.client_credentials_token.document.get("error")
    except pytest.exit.Exception as stop:
        raise pytest.UsageError(stop.msg) from None
    if error == "invalid_client":
        raise pytest.UsageError(
            f"Spotify rejected the client ID {target.client_id} with this secret.\n"
            f"{target.client_credentials_token!r}\n{_ask(*PASTE)}"
        )
    config.stash[TARGET] = target


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report the number of requests, and where they were sent."""
    target = config.stash[TARGET]
    urls = " and ".join(sorted({target.accounts_url, target.api_url}))
    terminalreporter.write_line(f"{target.sent} requests sent to {urls}")


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Target:
    """Spotify, or the simulator that the environment names."""
    return pytestconfig.stash[TARGET]


def _target() -> Target:
    """The target that the environment describes."""
    missing = [name for name in PASTE if not config.read(os.environ, name)]
    if missing:
        raise pytest.UsageError(f"{' and '.join(missing)} must be set.\n{_ask(*missing)}")
    for name in config.faults(os.environ):
        if name in PASTE:
            raise pytest.UsageError(f"{name} is not valid.\n{_ask(name)}")
        if name in URLS:
            raise pytest.UsageError(
                f"{name} is not valid: {config.read(os.environ, name)}. See docs/settings.md."
            )
    accounts_url = config.read(os.environ, "SPOTIFY_ACCOUNTS_URL")
    return Target(
        accounts_url,
        config.read(os.environ, "SPOTIFY_API_URL"),
        config.read(os.environ, "SPOTIFY_CLIENT_ID"),
        config.read(os.environ, "SPOTIFY_CLIENT_SECRET"),
        config.read(os.environ, "SPOTIFY_REDIRECT_URI") or REDIRECT_URI,
        PAUSE if accounts_url == config.ACCOUNTS_URL else 0,
    )


def _ask(*names: str) -> str:
    """The text that asks for an app's ID, its secret, or both."""
    commands = "\n".join(f"    {PASTE[name]}" for name in names)
    copy = f"Copy the values of your Spotify app from {DASHBOARD}, and paste them here:"
    return f"{copy}\n\n{commands}\n\nThen run:\n\n    make contract"
