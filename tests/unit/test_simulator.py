"""What the contract cannot see of the simulated Spotify: people, their tokens, and what tests make it do."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from chalicelib.config import EVERY_SCOPE
from simulator import music
from simulator.personas import PERSONAS
from simulator.spotify import SCOPES, Application, create_app
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
CLIENT = (Application.client_id, Application.client_secret)
ARTISTS = "/v1/me/top/artists"
REVOKED = (400, "Refresh token revoked")


@pytest.fixture
def spotify() -> FlaskClient:
    return create_app(Application(rotates=True)).test_client()


def agree(spotify: FlaskClient, persona: str = "premium", user_id: str = "", **changes: str) -> str:
    """Agree as a persona, and return the code."""
    form = {"decision": "agree", "persona": persona, "user_id": user_id}
    reply = spotify.post("/authorize", query_string={**REQUEST, **changes}, data=form)
    return query_of(reply.location)["code"]


def exchange(spotify: FlaskClient, code: str, **changes: str) -> Any:
    form = {"code": code, "redirect_uri": REQUEST["redirect_uri"], "code_verifier": VERIFIER, **changes}
    return spotify.post("/api/token", data={"grant_type": "authorization_code", **form}, auth=CLIENT)


def log_in(spotify: FlaskClient, persona: str = "premium", user_id: str = "", **changes: str) -> Any:
    """Agree as a persona, and return the response to the code."""
    return exchange(spotify, agree(spotify, persona, user_id, **changes)).json


def refresh(spotify: FlaskClient, refresh_token: str) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return spotify.post("/api/token", data=form, auth=CLIENT)


def get(spotify: FlaskClient, path: str, access_token: str, **query: str) -> Any:
    return spotify.get(path, query_string=query, headers={"Authorization": f"Bearer {access_token}"})


def error_of(reply: Any) -> tuple[int, str]:
    """The status and text of an error of the token endpoint, or of the Web API."""
    error = reply.json["error"]
    return reply.status_code, error["message"] if isinstance(error, dict) else reply.json["error_description"]


def test_the_consent_page_shows_people_with_pictures_and_then_failures(spotify: FlaskClient) -> None:
    scopes = " ".join(sorted(SCOPES))
    reply = spotify.get("/authorize", query_string={**REQUEST, "scope": scopes}, follow_redirects=True)
    assert "Set-Cookie" not in reply.headers
    assert re.findall("<li>[A-Za-z ,-]+ <code>([a-z-]+)</code></li>", reply.text) == sorted(SCOPES)
    people, _, rest = reply.text.partition("<summary>Try a failure</summary>")
    assert re.findall('name="persona" value="([^"]+)"', people) == ["premium", "development", "odd"]
    assert len(re.findall('name="persona" value="', rest)) == len(PERSONAS) - 3
    assert len(pictures := re.findall('<img src="([^"]+)" alt=""', people)) == 3
    assert all(spotify.get(path).status_code == 200 for path in pictures)
    reply = spotify.post("/authorize", query_string=REQUEST, data={"decision": "cancel"})
    assert reply.location == "http://127.0.0.1:5000/callback?error=access_denied&state=a+state"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"response_type": "id_token"}, "response_type must be code or token"),
        ({"redirect_uri": "https://127.0.0.1:5000/callback"}, "redirect_uri: Not matching configuration"),
        ({"scope": ["user-read-email", "user-read-private"]}, "Duplicate parameter"),
        ({"code_challenge_method": "plain"}, "code_challenge_method must be S256"),
        ({"code_challenge": "short"}, "Invalid code_challenge"),
    ],
)
def test_an_invalid_request_gets_an_error_page_even_after_the_consent_page(
    spotify: FlaskClient, changes: dict[str, Any], text: str
) -> None:
    for method in ("GET", "POST"):
        reply = spotify.open("/authorize", method=method, query_string={**REQUEST, **changes})
        assert (reply.status_code, "Location" in reply.headers) == (400, False)
        assert text in reply.text


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"redirect_uri": "http://127.0.0.1:5001/callback"}, "Invalid redirect URI"),
        ({"code_verifier": ""}, "code_verifier required"),
        ({"code_verifier": "w" * 43}, "code_verifier was incorrect"),
    ],
)
def test_a_code_works_once_and_only_as_it_was_requested(
    spotify: FlaskClient, changes: dict[str, str], description: str
) -> None:
    code = agree(spotify)
    assert error_of(exchange(spotify, code, **changes)) == (400, description)
    assert error_of(exchange(spotify, code)) == (400, "Invalid authorization code")


def test_a_token_gives_only_what_its_scopes_allow_and_json_for_an_endpoint_that_is_missing(
    spotify: FlaskClient,
) -> None:
    token = log_in(spotify, scope="user-read-private")["access_token"]
    profile = get(spotify, "/v1/me", token).json
    assert {"id", "country", "product"} <= set(profile)
    assert "email" not in profile
    assert error_of(get(spotify, ARTISTS, token)) == (403, "Insufficient client scope")
    assert error_of(get(spotify, "/v1/albums/1", token)) == (404, "Service not found")


def test_pages_of_artists_link_to_each_other_and_hold_less_in_development_mode(
    spotify: FlaskClient,
) -> None:
    token = log_in(spotify)["access_token"]
    page = get(spotify, ARTISTS, token, limit="2").json
    found = page["items"]
    while page["next"]:
        here = page["href"]
        page = get(spotify, ARTISTS, token, **query_of(page["next"])).json
        assert page["previous"] == here
        found += page["items"]
    assert found == list(music.ARTISTS)
    for wrong in ({"limit": "51"}, {"offset": "x"}):
        assert error_of(get(spotify, ARTISTS, token, **wrong)) == (400, f"Invalid {next(iter(wrong))}")
    (artist, *_) = get(spotify, ARTISTS, log_in(spotify, "development")["access_token"]).json["items"]
    assert set(artist) == {"external_urls", "href", "id", "images", "name", "type", "uri"}


def test_a_withdrawn_consent_ends_every_code_and_token_of_one_user(spotify: FlaskClient) -> None:
    other, tokens, code = log_in(spotify, user_id="another"), log_in(spotify), agree(spotify)
    rotated = refresh(spotify, tokens["refresh_token"]).json
    assert error_of(refresh(spotify, tokens["refresh_token"])) == (400, "Invalid refresh token")
    form = {"user_id": "pia.premium"}
    assert spotify.post("/_simulator/revoke", data=form).status_code == 204
    for ended in (tokens, rotated):
        assert error_of(get(spotify, "/v1/me", ended["access_token"])) == (401, "Invalid access token")
    assert error_of(refresh(spotify, rotated["refresh_token"])) == REVOKED
    assert error_of(exchange(spotify, code)) == (400, "Invalid authorization code")
    for valid in (other, log_in(spotify)):
        assert get(spotify, "/v1/me", valid["access_token"]).status_code == 200
        assert refresh(spotify, valid["refresh_token"]).status_code == 200


def test_the_persona_that_withdraws_consent_does_so_only_for_its_own_login(spotify: FlaskClient) -> None:
    first, second = (log_in(spotify, "withdrawn") for _ in range(2))
    assert get(spotify, "/v1/me", first["access_token"]).json["id"] == "31wi"
    assert error_of(get(spotify, "/v1/me", first["access_token"])) == (401, "Invalid access token")
    assert error_of(refresh(spotify, first["refresh_token"])) == REVOKED
    assert get(spotify, "/v1/me", second["access_token"]).status_code == 200


@pytest.mark.parametrize("header", [{"Origin": "null"}, {"sec-fetch-site": "same-origin"}])
def test_a_web_page_controls_nothing(spotify: FlaskClient, header: dict[str, str]) -> None:
    for path in ("revoke", "expire", "fail"):
        form = {"user_id": "pia.premium", "status": "503"}
        assert spotify.post(f"/_simulator/{path}", data=form, headers=header).status_code == 403
        assert spotify.get(f"/_simulator/{path}").status_code == 405
    reply = spotify.get("/_simulator/asked", headers=header)
    assert not [name for name, _ in reply.headers if name.startswith("Access-Control-")]
