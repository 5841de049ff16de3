"""The simulated Spotify is as strict as the real one."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from flask.testing import FlaskClient

from chalicelib.config import EVERY_SCOPE
from simulator.personas import PERSONAS
from simulator.spotify import Application, create_app
from tests.support.visitor import query_of

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
REQUEST = {
    "client_id": Application.client_id,
    "response_type": "code",
    "redirect_uri": "http://127.0.0.1:5000/callback",
    "scope": EVERY_SCOPE,
    "state": "a state",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
BASIC = base64.b64encode(f"{Application.client_id}:{Application.client_secret}".encode()).decode()


@pytest.fixture
def spotify() -> FlaskClient:
    return create_app(Application()).test_client()


def agree(spotify: FlaskClient, persona: str = "premium", **changes: str) -> str:
    query = {**REQUEST, **changes}
    reply = spotify.post("/authorize", query_string=query, data={"decision": "agree", "persona": persona})
    assert reply.status_code == 303, reply.text
    return query_of(reply.location)["code"]


def exchange(spotify: FlaskClient, code: str, basic: str = BASIC, **changes: str) -> Any:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REQUEST["redirect_uri"],
        "code_verifier": VERIFIER,
        **changes,
    }
    form = {name: value for name, value in form.items() if value}
    return spotify.post("/api/token", data=form, headers={"Authorization": f"Basic {basic}"})


def test_shows_a_consent_page_and_redirects_to_the_app(spotify: FlaskClient) -> None:
    reply = spotify.get("/authorize", query_string=REQUEST)
    assert reply.status_code == 303, "Spotify redirects a valid request, to its login"
    page = spotify.get(reply.location)
    assert page.status_code == 200
    assert all(persona.name in page.text for persona in PERSONAS.values())
    assert "Set-Cookie" not in page.headers
    reply = spotify.post("/authorize", query_string=REQUEST, data={"decision": "cancel"})
    assert reply.location == "http://127.0.0.1:5000/callback?error=access_denied&state=a+state"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"client_id": "x"}, "INVALID_CLIENT: Invalid client"),
        ({"client_id": ""}, "Missing required parameter: client_id"),
        ({"response_type": "id_token"}, "response_type must be code or token"),
        ({"redirect_uri": ""}, "Missing required parameter: redirect_uri"),
        ({"redirect_uri": "http://127.0.0.1:5000/other"}, "redirect_uri: Not matching configuration"),
        ({"redirect_uri": "https://127.0.0.1:5000/callback"}, "redirect_uri: Not matching configuration"),
        ({"redirect_uri": "http://localhost:5000/callback"}, "INVALID_CLIENT: Insecure redirect URI"),
        ({"redirect_uri": "http://login.example/callback"}, "INVALID_CLIENT: Insecure redirect URI"),
        ({"scope": "user-read-email user-personalized"}, "Illegal scope"),
        ({"code_challenge_method": "plain"}, "code_challenge_method must be S256"),
        ({"code_challenge": "short"}, "Invalid code_challenge"),
    ],
)
def test_rejects_an_invalid_request_with_an_error_page_and_no_redirect(
    spotify: FlaskClient, changes: dict[str, str], text: str
) -> None:
    for method in ("GET", "POST"):
        reply = spotify.open("/authorize", method=method, query_string={**REQUEST, **changes})
        assert reply.status_code == 400
        assert text in reply.text
        assert "Location" not in reply.headers


def test_accepts_localhost_if_it_is_allowed_and_registered() -> None:
    localhost = "http://localhost:5000/callback"
    relaxed = create_app(Application(redirect_uris=(localhost,), allow_localhost=True)).test_client()
    assert relaxed.get("/authorize", query_string={**REQUEST, "redirect_uri": localhost}).status_code == 303
    elsewhere = {**REQUEST, "redirect_uri": "http://localhost:5001/callback"}
    assert "Not matching" in relaxed.get("/authorize", query_string=elsewhere).text


def test_gives_the_app_a_token_of_its_own(spotify: FlaskClient) -> None:
    form = {"grant_type": "client_credentials"}
    reply = spotify.post("/api/token", data=form, headers={"Authorization": f"Basic {BASIC}"})
    assert reply.json is not None
    assert set(reply.json) == {"access_token", "token_type", "expires_in"}
    token = {"Authorization": f"Bearer {reply.json['access_token']}"}
    assert spotify.get("/v1/me", headers=token).status_code == 401, "it belongs to no user"
    wrong = base64.b64encode(b"simulated-client-id:wrong").decode()
    refused = spotify.post("/api/token", data=form, headers={"Authorization": f"Basic {wrong}"})
    assert refused.json == {"error": "invalid_client", "error_description": "Invalid client secret"}


def test_exchanges_a_code_only_once(spotify: FlaskClient) -> None:
    code = agree(spotify)
    token = exchange(spotify, code).json
    assert token["token_type"] == "Bearer"
    assert token["scope"] == EVERY_SCOPE
    assert exchange(spotify, code).json == {
        "error": "invalid_grant",
        "error_description": "Invalid authorization code",
    }


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"code": ""}, "invalid_request", "code must be supplied"),
        ({"code": "x"}, "invalid_grant", "Invalid authorization code"),
        ({"redirect_uri": "http://127.0.0.1:5001/callback"}, "invalid_grant", "Invalid redirect URI"),
        ({"code_verifier": ""}, "invalid_request", "code_verifier required"),
        ({"code_verifier": "w" * 43}, "invalid_grant", "code_verifier was incorrect"),
        ({"basic": base64.b64encode(b"x:y").decode()}, "invalid_client", "Invalid client"),
        (
            {"basic": base64.b64encode(f"{Application.client_id}:y".encode()).decode()},
            "invalid_client",
            "Invalid client secret",
        ),
        (
            {"grant_type": "password"},
            "unsupported_grant_type",
            "grant_type must be client_credentials, authorization_code or refresh_token",
        ),
    ],
)
def test_rejects_an_invalid_token_request_with_spotifys_error(
    spotify: FlaskClient, changes: dict[str, str], error: str, description: str
) -> None:
    reply = exchange(spotify, changes.pop("code", agree(spotify)), **changes)
    assert reply.status_code == 400
    assert reply.json == {"error": error, "error_description": description}


def test_rejects_an_expired_code() -> None:
    spotify = create_app(Application(code_lifetime=0)).test_client()
    assert exchange(spotify, agree(spotify)).json["error_description"] == "Authorization code expired"


def test_rejects_a_token_request_that_is_not_a_form(spotify: FlaskClient) -> None:
    reply = spotify.post(
        "/api/token", json={"code": agree(spotify)}, headers={"Authorization": f"Basic {BASIC}"}
    )
    assert reply.status_code == 400


@pytest.mark.parametrize("header", ["", "Bearer x", "Basic x"])
def test_rejects_a_profile_request_without_a_valid_token(spotify: FlaskClient, header: str) -> None:
    reply: Any = spotify.get("/v1/me", headers={"Authorization": header})
    assert reply.status_code == 401
    assert reply.json["error"]["status"] == 401


def test_sends_only_the_fields_that_the_scopes_allow(spotify: FlaskClient) -> None:
    token = exchange(spotify, agree(spotify, scope="user-top-read")).json["access_token"]
    profile: Any = spotify.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).json
    assert profile["id"] == "pia.premium"
    assert not {"email", "country", "product"} & set(profile)


def test_counts_the_requests_to_each_endpoint(spotify: FlaskClient) -> None:
    exchange(spotify, agree(spotify))
    assert spotify.get("/_simulator/asked").json == {"POST /authorize": 1, "POST /api/token": 1}
