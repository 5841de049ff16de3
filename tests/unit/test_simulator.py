"""What the contract cannot see of the simulated Spotify: people, their tokens, and what tests make it do."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from chalicelib.config import EVERY_SCOPE
from simulator import failures, music
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
INVALID = (400, "Invalid refresh token")
REVOKED = (400, "Refresh token revoked")


@pytest.fixture
def spotify() -> FlaskClient:
    return create_app(Application()).test_client()


@pytest.fixture
def rotating() -> FlaskClient:
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


def refresh(spotify: FlaskClient, refresh_token: str, client: tuple[str, str] = CLIENT) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return spotify.post("/api/token", data=form, auth=client)


def get(spotify: FlaskClient, path: str, access_token: str, **query: str) -> Any:
    return spotify.get(path, query_string=query, headers={"Authorization": f"Bearer {access_token}"})


def error_of(reply: Any) -> tuple[int, str]:
    """The status and text of an error of the token endpoint, or of the Web API."""
    error = reply.json["error"]
    return reply.status_code, error["message"] if isinstance(error, dict) else reply.json["error_description"]


def control(spotify: FlaskClient, path: str, **form: str) -> None:
    assert spotify.post(f"/_simulator/{path}", data=form).status_code == 204


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


def test_codes_and_access_tokens_expire(spotify: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, code = log_in(spotify), agree(spotify)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + tokens["expires_in"] - 1)
    assert get(spotify, "/v1/me", tokens["access_token"]).status_code == 200
    assert error_of(exchange(spotify, code)) == (400, "Authorization code expired")
    monkeypatch.setattr(time, "monotonic", lambda: now + tokens["expires_in"] + 1)
    assert error_of(get(spotify, "/v1/me", tokens["access_token"])) == (401, "The access token expired")


def test_a_profile_has_the_fields_of_its_scopes_and_a_picture_that_every_site_can_show(
    spotify: FlaskClient,
) -> None:
    token = log_in(spotify, scope="user-read-private")["access_token"]
    profile = get(spotify, "/v1/me", token).json
    assert {"id", "country", "product"} <= set(profile)
    assert "email" not in profile
    assert error_of(get(spotify, ARTISTS, token)) == (403, "Insufficient client scope")
    reply = spotify.get(profile["images"][0]["url"])
    assert reply.mimetype == "image/svg+xml"
    assert reply.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_the_web_api_has_a_profile_with_a_slash_and_json_for_endpoints_that_it_lacks(
    spotify: FlaskClient,
) -> None:
    """spotipy and Tekore ask for the profile with a slash."""
    token = log_in(spotify)["access_token"]
    assert get(spotify, "/v1/me/", token).json["id"] == "pia.premium"
    for path in ("/v1/albums/1", f"{ARTISTS}/", "/v1/"):
        assert error_of(get(spotify, path, token)) == (404, "Service not found")
    assert error_of(spotify.put("/v1/me")) == (404, "Service not found")
    assert spotify.get("/nothing").mimetype == "text/html"


def test_pages_of_artists_link_to_each_other_and_hold_less_in_development_mode(
    spotify: FlaskClient,
) -> None:
    token = log_in(spotify)["access_token"]
    page = get(spotify, ARTISTS, token, limit="2").json
    found = page["items"]
    while page["next"]:
        here = page["href"]
        page = get(spotify, urlsplit(page["next"]).path, token, **query_of(page["next"])).json
        assert page["previous"] == here
        found += page["items"]
    assert found == list(music.ARTISTS)
    for wrong in ({"limit": "0"}, {"limit": "51"}, {"limit": "x"}, {"offset": "-1"}):
        assert error_of(get(spotify, ARTISTS, token, **wrong)) == (400, f"Invalid {next(iter(wrong))}")
    (artist, *_) = get(spotify, ARTISTS, log_in(spotify, "development")["access_token"]).json["items"]
    assert set(artist) == {"external_urls", "href", "id", "images", "name", "type", "uri"}


class TestRefreshing:
    def test_a_refresh_token_stays_valid_and_is_not_sent_again(self, spotify: FlaskClient) -> None:
        tokens = log_in(spotify, scope="user-read-email")
        replies = [refresh(spotify, tokens["refresh_token"]).json for _ in range(2)]
        issued = {tokens["access_token"], *(reply.pop("access_token") for reply in replies)}
        assert replies == [{"token_type": "Bearer", "scope": "user-read-email", "expires_in": 3600}] * 2
        assert len(issued) == 3
        assert {get(spotify, "/v1/me", token).status_code for token in issued} == {200}

    def test_rotation_replaces_the_refresh_token(self, rotating: FlaskClient) -> None:
        first = log_in(rotating)["refresh_token"]
        assert refresh(rotating, first, (CLIENT[0], "wrong")).status_code == 400, "which replaces nothing"
        second = refresh(rotating, first).json["refresh_token"]
        assert error_of(refresh(rotating, first)) == INVALID
        assert refresh(rotating, second).json["refresh_token"] not in {first, second}

    def test_an_access_token_and_a_refresh_token_are_not_interchangeable(self, spotify: FlaskClient) -> None:
        tokens = log_in(spotify)
        assert error_of(refresh(spotify, tokens["access_token"])) == INVALID
        assert error_of(refresh(spotify, "")) == (400, "refresh_token must be supplied")
        assert error_of(get(spotify, "/v1/me", tokens["refresh_token"])) == (401, "Invalid access token")


class TestControls:
    def test_a_withdrawn_consent_ends_every_code_and_token_of_one_user(self, rotating: FlaskClient) -> None:
        other = log_in(rotating, user_id="another")
        logins, code = [log_in(rotating), log_in(rotating, scope="user-top-read")], agree(rotating)
        rotated = refresh(rotating, logins[0]["refresh_token"]).json
        control(rotating, "revoke", user_id="pia.premium")
        for tokens in [*logins, rotated]:
            assert error_of(get(rotating, ARTISTS, tokens["access_token"])) == (401, "Invalid access token")
        for tokens in [logins[1], rotated]:
            assert error_of(refresh(rotating, tokens["refresh_token"])) == REVOKED
        assert error_of(exchange(rotating, code)) == (400, "Invalid authorization code")
        for tokens in [other, log_in(rotating)]:
            assert get(rotating, "/v1/me", tokens["access_token"]).status_code == 200
            assert refresh(rotating, tokens["refresh_token"]).status_code == 200
        assert rotating.post("/_simulator/revoke").status_code == 400, "it names no user"

    def test_a_persona_fails_or_withdraws_consent_only_at_the_profile_of_its_own_login(
        self, spotify: FlaskClient
    ) -> None:
        first, second = (log_in(spotify, "withdrawn") for _ in range(2))
        assert get(spotify, "/v1/me", first["access_token"]).json["id"] == "31wi"
        assert error_of(get(spotify, "/v1/me", first["access_token"])) == (401, "Invalid access token")
        assert error_of(refresh(spotify, first["refresh_token"])) == REVOKED
        assert get(spotify, "/v1/me", second["access_token"]).status_code == 200
        down = log_in(spotify, "down")["access_token"]
        assert [get(spotify, path, down).status_code for path in ("/v1/me", ARTISTS)] == [500, 200]

    @pytest.mark.parametrize(("form", "other"), [({"user_id": "one"}, 200), ({}, 401)])
    def test_access_tokens_of_one_or_all_users_can_be_expired(
        self, spotify: FlaskClient, form: dict[str, str], other: int
    ) -> None:
        one, another = (log_in(spotify, user_id=user_id) for user_id in ("one", "another"))
        control(spotify, "expire", **form)
        assert error_of(get(spotify, "/v1/me", one["access_token"])) == (401, "The access token expired")
        assert get(spotify, "/v1/me", another["access_token"]).status_code == other
        renewed = refresh(spotify, one["refresh_token"]).json["access_token"]
        assert get(spotify, "/v1/me", renewed).status_code == 200

    def test_requests_and_the_successful_refreshes_of_each_user_are_counted(
        self, spotify: FlaskClient
    ) -> None:
        for user_id, times in (("one", 1), ("two", 2)):
            refresh_token = log_in(spotify, user_id=user_id)["refresh_token"]
            for _ in range(times):
                refresh(spotify, refresh_token)
        control(spotify, "fail", status="503")
        refresh(spotify, refresh_token)
        control(spotify, "revoke", user_id="two")
        refresh(spotify, refresh_token)
        spotify.get("/nothing")
        assert spotify.get("/_simulator/refreshes").json == {"one": 1, "two": 2}
        counted = {"POST /authorize": 2, "POST /api/token": 7, "POST /api/token refresh_token": 5}
        assert spotify.get("/_simulator/asked").json == counted

    @pytest.mark.parametrize(
        ("plan", "type_", "text"),
        [
            ({"status": "429", "retry_after": "7"}, "application/json", "API rate limit exceeded"),
            ({"status": "403"}, "application/json", "Forbidden"),
            ({"status": "503"}, "text/html", "<h1>503 Service Unavailable</h1>"),
            ({"status": "200", "body": '{"access_tok'}, "application/json", '{"access_tok'),
        ],
    )
    def test_planned_refreshes_fail_and_use_up_no_token(
        self, rotating: FlaskClient, plan: dict[str, str], type_: str, text: str
    ) -> None:
        control(rotating, "fail", status="500", times="9")
        control(rotating, "fail", **plan, times="2")  # in place of the plan before
        refresh_token = log_in(rotating)["refresh_token"]
        for _ in range(2):
            reply = refresh(rotating, refresh_token)
            assert (str(reply.status_code), reply.mimetype) == (plan["status"], type_)
            assert text in reply.text
            assert reply.headers.get("Retry-After") == plan.get("retry_after")
        for wrong in ({}, {"status": "299"}, {"status": "503", "delay": "nan"}):
            assert rotating.post("/_simulator/fail", data=wrong).status_code == 400
        assert refresh(rotating, refresh_token).json["refresh_token"] != refresh_token

    def test_a_late_response_uses_up_its_token_at_once(
        self, rotating: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refresh_token = log_in(rotating)["refresh_token"]
        control(rotating, "fail", status="200", delay="0.3")
        pauses, over = threading.Event(), threading.Event()

        def pause(seconds: float) -> None:
            if seconds == 0.3:
                pauses.set()
                over.wait(5)

        monkeypatch.setattr(failures, "time", SimpleNamespace(sleep=pause))
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(refresh, rotating.application.test_client(), refresh_token)
            assert pauses.wait(5)
            assert error_of(refresh(rotating, refresh_token)) == INVALID
            over.set()
            assert late.result(5).status_code == 200

    @pytest.mark.parametrize(
        "header",
        [{"Origin": "null"}, {"Origin": "http://localhost"}, {"sec-fetch-site": "same-origin"}],
    )
    def test_a_web_page_controls_nothing(self, spotify: FlaskClient, header: dict[str, str]) -> None:
        for path in ("revoke", "expire", "fail"):
            form = {"user_id": "pia.premium", "status": "503"}
            assert spotify.post(f"/_simulator/{path}", data=form, headers=header).status_code == 403
            assert spotify.get(f"/_simulator/{path}").status_code == 405
        reply = spotify.get("/_simulator/asked", headers=header)
        assert not [name for name, _ in reply.headers if name.startswith("Access-Control-")]
