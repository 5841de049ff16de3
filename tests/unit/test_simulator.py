"""The simulated Spotify is as strict as the real one."""

from __future__ import annotations

import base64
import hashlib
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import tekore
import tekore._client.base
from flask.testing import FlaskClient

from chalicelib.config import EVERY_SCOPE
from simulator import __main__ as command
from simulator import failures, music
from simulator.loopback import serve
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


def log_in(spotify: FlaskClient, persona: str = "premium", user_id: str = "", **changes: str) -> Any:
    """Agree as a persona, and return the response to the code."""
    form = {"decision": "agree", "persona": persona, "user_id": user_id}
    reply = spotify.post("/authorize", query_string={**REQUEST, **changes}, data=form)
    return exchange(spotify, query_of(reply.location)["code"]).json


def refresh(spotify: FlaskClient, refresh_token: str, basic: str = BASIC) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return spotify.post("/api/token", data=form, headers={"Authorization": f"Basic {basic}"})


def get(spotify: FlaskClient, path: str, access_token: str, **query: str) -> Any:
    return spotify.get(path, query_string=query, headers={"Authorization": f"Bearer {access_token}"})


def message_of(reply: Any) -> str:
    """The message of an error of the Web API, which repeats the status."""
    assert set(reply.json) == {"error"}
    assert reply.json["error"]["status"] == reply.status_code
    return str(reply.json["error"]["message"])


def control(spotify: FlaskClient, path: str, **form: str) -> None:
    reply = spotify.post(f"/_simulator/{path}", data=form)
    assert reply.status_code == 204, reply.text


def test_shows_a_consent_page_and_redirects_to_the_app(spotify: FlaskClient) -> None:
    reply = spotify.get("/authorize", query_string=REQUEST)
    assert reply.status_code == 303, "Spotify redirects a valid request, to its login"
    page = spotify.get(reply.location)
    assert page.status_code == 200
    assert all(persona.name in page.text for persona in PERSONAS.values())
    assert "Set-Cookie" not in page.headers
    reply = spotify.post("/authorize", query_string=REQUEST, data={"decision": "cancel"})
    assert reply.location == "http://127.0.0.1:5000/callback?error=access_denied&state=a+state"


def test_the_consent_page_shows_people_with_pictures_and_then_failures(spotify: FlaskClient) -> None:
    page = spotify.get("/authorize/consent", query_string=REQUEST).text
    people, _, failures = page.partition("<summary>Try a failure</summary>")
    assert re.findall('name="persona" value="([^"]+)"', people) == ["premium", "development", "odd"]
    pictures = re.findall('<img src="([^"]+)" alt=""', people)
    assert len(pictures) == 3
    assert all(spotify.get(path).status_code == 200 for path in pictures)
    assert len(re.findall('name="persona" value="', failures)) == len(PERSONAS) - 3


def test_the_consent_page_explains_every_scope(spotify: FlaskClient) -> None:
    scopes = " ".join(sorted(SCOPES))
    page = spotify.get("/authorize/consent", query_string={**REQUEST, "scope": scopes}).text
    assert re.findall("<li>[A-Za-z ,-]+ <code>([a-z-]+)</code></li>", page) == sorted(SCOPES)


def test_a_profile_names_a_picture_that_the_simulator_serves_to_every_site(spotify: FlaskClient) -> None:
    profile = get(spotify, "/v1/me", log_in(spotify)["access_token"]).json
    (image,) = profile["images"]
    assert image["url"] == "http://localhost/_simulator/pictures/pia.svg"
    reply = spotify.get(image["url"])
    assert (reply.status_code, reply.mimetype) == (200, "image/svg+xml")
    assert reply.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert reply.headers["Cache-Control"] == "public, max-age=86400"
    assert spotify.get("/_simulator/pictures/unknown.svg").status_code == 404


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


@pytest.fixture
def rotating() -> FlaskClient:
    return create_app(Application(rotates=True)).test_client()


REVOKED = {"error": "invalid_grant", "error_description": "Refresh token revoked"}
INVALID = {"error": "invalid_grant", "error_description": "Invalid refresh token"}


class TestRefreshing:
    def test_a_refresh_returns_an_access_token_and_no_refresh_token(self, spotify: FlaskClient) -> None:
        tokens = log_in(spotify, scope="user-read-email")
        reply = refresh(spotify, tokens["refresh_token"])
        assert reply.status_code == 200
        body = dict(reply.json)
        access_token = body.pop("access_token")
        assert body == {"token_type": "Bearer", "scope": "user-read-email", "expires_in": 3600}
        assert access_token != tokens["access_token"]
        assert get(spotify, "/v1/me", access_token).json["id"] == "pia.premium"
        assert get(spotify, "/v1/me", tokens["access_token"]).status_code == 200

    def test_a_refresh_token_stays_valid(self, spotify: FlaskClient) -> None:
        refresh_token = log_in(spotify)["refresh_token"]
        issued = {refresh(spotify, refresh_token).json["access_token"] for _ in range(3)}
        assert len(issued) == 3

    @pytest.mark.parametrize(
        ("refresh_token", "body"),
        [
            ("", {"error": "invalid_request", "error_description": "refresh_token must be supplied"}),
            ("x", INVALID),
        ],
    )
    def test_rejects_a_missing_or_unknown_refresh_token(
        self, spotify: FlaskClient, refresh_token: str, body: dict[str, str]
    ) -> None:
        reply = refresh(spotify, refresh_token)
        assert (reply.status_code, reply.json) == (400, body)

    def test_an_access_token_is_not_a_refresh_token(self, spotify: FlaskClient) -> None:
        tokens = log_in(spotify)
        assert refresh(spotify, tokens["access_token"]).json == INVALID
        assert get(spotify, "/v1/me", tokens["refresh_token"]).status_code == 401

    def test_rejects_a_refresh_with_a_wrong_secret_and_keeps_the_token(self, rotating: FlaskClient) -> None:
        refresh_token = log_in(rotating)["refresh_token"]
        wrong = base64.b64encode(b"simulated-client-id:wrong").decode()
        assert refresh(rotating, refresh_token, wrong).json["error"] == "invalid_client"
        assert refresh(rotating, refresh_token).status_code == 200


class TestRotation:
    def test_a_refresh_replaces_the_refresh_token(self, rotating: FlaskClient) -> None:
        first = log_in(rotating)["refresh_token"]
        second = refresh(rotating, first).json["refresh_token"]
        assert second != first
        reply = refresh(rotating, first)
        assert (reply.status_code, reply.json) == (400, INVALID)
        assert refresh(rotating, second).json["refresh_token"] not in {first, second}

    def test_of_simultaneous_refreshes_with_one_token_exactly_one_succeeds(self) -> None:
        app = create_app(Application(rotates=True))
        url, spotify = serve(app), app.test_client()
        together = threading.Barrier(2)

        def use(refresh_token: str) -> requests.Response:
            together.wait(5)
            form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
            client = (Application.client_id, Application.client_secret)
            return requests.post(f"{url}/api/token", form, auth=client, timeout=30)

        refresh_token = log_in(spotify)["refresh_token"]
        with ThreadPoolExecutor(2) as pool:
            for _ in range(20):
                replies = sorted(pool.map(use, [refresh_token] * 2), key=lambda reply: reply.status_code)
                assert [reply.status_code for reply in replies] == [200, 400]
                assert replies[1].json() == INVALID
                refresh_token = replies[0].json()["refresh_token"]
        assert spotify.get("/_simulator/refreshes").json == {"pia.premium": 20}


class TestWithdrawnConsent:
    def test_no_token_of_the_user_works_any_more(self, spotify: FlaskClient) -> None:
        logins = [log_in(spotify), log_in(spotify, scope="user-top-read")]
        refreshed = refresh(spotify, logins[0]["refresh_token"]).json
        control(spotify, "revoke", user_id="pia.premium")
        for tokens in [*logins, refreshed]:
            for path in ("/v1/me", "/v1/me/top/artists", "/v1/me/player/currently-playing"):
                reply = get(spotify, path, tokens["access_token"])
                assert (reply.status_code, message_of(reply)) == (401, "Invalid access token")
        for tokens in logins:
            reply = refresh(spotify, tokens["refresh_token"])
            assert (reply.status_code, reply.json) == (400, REVOKED)

    def test_a_code_of_the_user_no_longer_works(self, spotify: FlaskClient) -> None:
        code = agree(spotify)
        control(spotify, "revoke", user_id="pia.premium")
        assert exchange(spotify, code).json["error_description"] == "Invalid authorization code"

    def test_other_users_keep_their_tokens(self, spotify: FlaskClient) -> None:
        tokens = log_in(spotify, user_id="another")
        control(spotify, "revoke", user_id="pia.premium")
        assert get(spotify, "/v1/me", tokens["access_token"]).json["id"] == "another"
        assert refresh(spotify, tokens["refresh_token"]).status_code == 200

    def test_agreeing_again_makes_a_grant_that_works(self, spotify: FlaskClient) -> None:
        before = log_in(spotify)
        control(spotify, "revoke", user_id="pia.premium")
        tokens = log_in(spotify)
        assert get(spotify, "/v1/me", tokens["access_token"]).status_code == 200
        assert refresh(spotify, tokens["refresh_token"]).status_code == 200
        assert refresh(spotify, before["refresh_token"]).json == REVOKED

    def test_revokes_the_rotated_token_too(self, rotating: FlaskClient) -> None:
        first = log_in(rotating)["refresh_token"]
        second = refresh(rotating, first).json["refresh_token"]
        control(rotating, "revoke", user_id="pia.premium")
        assert refresh(rotating, second).json == REVOKED

    def test_a_revocation_names_a_user(self, spotify: FlaskClient) -> None:
        assert spotify.post("/_simulator/revoke").status_code == 400

    def test_the_persona_withdraws_consent_after_its_first_profile(self, spotify: FlaskClient) -> None:
        for _ in range(2):
            tokens = log_in(spotify, "withdrawn")
            assert refresh(spotify, tokens["refresh_token"]).status_code == 200
            assert get(spotify, "/v1/me/top/artists", tokens["access_token"]).status_code == 200
            profile = get(spotify, "/v1/me", tokens["access_token"]).json
            assert profile["id"] == PERSONAS["withdrawn"].user_id == "31wi"
            assert profile["display_name"] == "Will Withdraw"
            assert message_of(get(spotify, "/v1/me", tokens["access_token"])) == "Invalid access token"
            assert refresh(spotify, tokens["refresh_token"]).json == REVOKED

    def test_the_persona_withdraws_only_the_consent_of_that_login(self, spotify: FlaskClient) -> None:
        first, second = log_in(spotify, "withdrawn"), log_in(spotify, "withdrawn")
        get(spotify, "/v1/me", first["access_token"])
        assert get(spotify, "/v1/me", second["access_token"]).status_code == 200


class TestExpiry:
    def test_an_access_token_lasts_as_long_as_expires_in_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spotify = create_app(Application(token_lifetime=60)).test_client()
        tokens = log_in(spotify)
        assert tokens["expires_in"] == 60
        now = time.monotonic()
        for later, status in ((59, 200), (61, 401)):
            monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
            assert get(spotify, "/v1/me", tokens["access_token"]).status_code == status

    def test_an_expired_token_is_rejected_and_refreshed(self, spotify: FlaskClient) -> None:
        tokens = log_in(spotify)
        control(spotify, "expire")
        reply = get(spotify, "/v1/me", tokens["access_token"])
        assert (reply.status_code, message_of(reply)) == (401, "The access token expired")
        renewed = refresh(spotify, tokens["refresh_token"]).json["access_token"]
        assert get(spotify, "/v1/me", renewed).status_code == 200

    def test_the_tokens_of_one_user_can_be_expired(self, spotify: FlaskClient) -> None:
        users = {user_id: log_in(spotify, user_id=user_id)["access_token"] for user_id in ("one", "other")}
        control(spotify, "expire", user_id="one")
        assert get(spotify, "/v1/me", users["one"]).status_code == 401
        assert get(spotify, "/v1/me", users["other"]).status_code == 200

    def test_an_unknown_token_did_not_expire(self, spotify: FlaskClient) -> None:
        control(spotify, "expire")
        assert message_of(get(spotify, "/v1/me", "x")) == "Invalid access token"


class TestPlannedFailures:
    def test_a_rate_limit_is_json_with_retry_after(self, spotify: FlaskClient) -> None:
        refresh_token = log_in(spotify)["refresh_token"]
        control(spotify, "fail", status="429", retry_after="7")
        reply = refresh(spotify, refresh_token)
        assert (reply.status_code, reply.headers["Retry-After"]) == (429, "7")
        assert message_of(reply) == "API rate limit exceeded"
        assert refresh(spotify, refresh_token).status_code == 200, "it fails only once"

    def test_a_rate_limit_can_lack_retry_after(self, spotify: FlaskClient) -> None:
        control(spotify, "fail", status="429")
        assert "Retry-After" not in refresh(spotify, "x").headers

    @pytest.mark.parametrize("status", ["500", "502", "503", "504"])
    def test_a_server_error_is_a_page_of_the_gateway(self, spotify: FlaskClient, status: str) -> None:
        control(spotify, "fail", status=status)
        reply = refresh(spotify, "x")
        assert (str(reply.status_code), reply.mimetype) == (status, "text/html")
        assert f"<h1>{status} " in reply.text

    def test_another_client_error_is_json(self, spotify: FlaskClient) -> None:
        control(spotify, "fail", status="403")
        assert message_of(refresh(spotify, "x")) == "Forbidden"

    @pytest.mark.parametrize(("status", "body"), [("200", '{"access_tok'), ("200", ""), ("400", "[]")])
    def test_a_body_is_sent_as_it_is(self, spotify: FlaskClient, status: str, body: str) -> None:
        refresh_token = log_in(spotify)["refresh_token"]
        control(spotify, "fail", status=status, body=body)
        reply = refresh(spotify, refresh_token)
        assert (str(reply.status_code), reply.mimetype, reply.text) == (status, "application/json", body)
        assert spotify.get("/_simulator/refreshes").json == {}

    def test_only_refreshes_fail_and_only_as_often_as_planned(self, spotify: FlaskClient) -> None:
        control(spotify, "fail", status="503", times="2")
        refresh_token = log_in(spotify)["refresh_token"]
        statuses = [refresh(spotify, refresh_token).status_code for _ in range(3)]
        assert statuses == [503, 503, 200]

    def test_a_plan_replaces_the_one_before(self, spotify: FlaskClient) -> None:
        refresh_token = log_in(spotify)["refresh_token"]
        control(spotify, "fail", status="503", times="5")
        control(spotify, "fail", status="500")
        assert [refresh(spotify, refresh_token).status_code for _ in range(2)] == [500, 200]
        control(spotify, "fail", status="503", times="5")
        control(spotify, "fail", status="503", times="0")
        assert refresh(spotify, refresh_token).status_code == 200

    def test_a_failed_refresh_does_not_use_up_a_rotating_token(self, rotating: FlaskClient) -> None:
        refresh_token = log_in(rotating)["refresh_token"]
        control(rotating, "fail", status="503")
        assert refresh(rotating, refresh_token).status_code == 503
        assert refresh(rotating, refresh_token).status_code == 200

    @pytest.mark.parametrize("status", [503, 200])
    def test_a_response_can_be_late(self, spotify: FlaskClient, status: int) -> None:
        refresh_token = log_in(spotify)["refresh_token"]
        control(spotify, "fail", status=str(status), delay="0.1")
        begun = time.monotonic()
        assert refresh(spotify, refresh_token).status_code == status
        assert time.monotonic() - begun >= 0.1

    def test_an_ordinary_error_can_be_late(self, spotify: FlaskClient) -> None:
        control(spotify, "fail", status="200", delay="0.1")
        begun = time.monotonic()
        assert refresh(spotify, "x").json == INVALID
        assert time.monotonic() - begun >= 0.1

    def test_a_late_response_uses_up_a_rotating_token_at_once(
        self, rotating: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refresh_token = log_in(rotating)["refresh_token"]
        control(rotating, "fail", status="200", delay="0.3")
        pauses, over = threading.Event(), threading.Event()

        def pause(seconds: float) -> None:
            if seconds:
                pauses.set()
                over.wait(5)

        monkeypatch.setattr(failures, "time", SimpleNamespace(sleep=pause))
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(refresh, rotating.application.test_client(), refresh_token)
            assert pauses.wait(5)
            assert refresh(rotating, refresh_token).json == INVALID
            over.set()
            assert late.result(5).status_code == 200

    @pytest.mark.parametrize(
        "form",
        [
            {},
            {"status": "x"},
            {"status": "299"},
            {"status": "503", "times": "x"},
            {"status": "503", "delay": "x"},
            {"status": "503", "delay": "-1"},
            {"status": "503", "delay": "61"},
            {"status": "503", "delay": "nan"},
        ],
    )
    def test_rejects_an_invalid_plan(self, spotify: FlaskClient, form: dict[str, str]) -> None:
        assert spotify.post("/_simulator/fail", data=form).status_code == 400
        assert refresh(spotify, "x").json == INVALID


class TestWebApi:
    ARTISTS = "/v1/me/top/artists"
    PLAYING = "/v1/me/player/currently-playing"

    def test_returns_a_page_of_complete_artists(self, spotify: FlaskClient) -> None:
        page = get(spotify, self.ARTISTS, log_in(spotify)["access_token"]).json
        artists = page.pop("items")
        assert page == {
            "href": "http://localhost/v1/me/top/artists?limit=20&offset=0",
            "limit": 20,
            "next": None,
            "offset": 0,
            "previous": None,
            "total": len(artists),
        }
        fields = "external_urls followers genres href id images name popularity type uri"
        for artist in artists:
            assert set(artist) == set(fields.split())
            assert re.fullmatch(r"[0-9A-Za-z]{22}", artist["id"])
            assert artist["uri"] == f"spotify:artist:{artist['id']}"
            assert artist["images"] == [], "the simulator refers to no pictures on the internet"

    def test_the_links_lead_through_all_pages(self, spotify: FlaskClient) -> None:
        token = log_in(spotify)["access_token"]
        page = get(spotify, self.ARTISTS, token, limit="2").json
        assert page["previous"] is None
        names = [artist["name"] for artist in page["items"]]
        while page["next"]:
            here = page["href"]
            link = urlsplit(page["next"])
            page = get(spotify, link.path, token, **query_of(page["next"])).json
            assert page["previous"] == here
            names += [artist["name"] for artist in page["items"]]
        assert names == [artist["name"] for artist in music.ARTISTS]
        assert get(spotify, self.ARTISTS, token, limit="2", offset="1").json["previous"].endswith("offset=0")
        assert get(spotify, self.ARTISTS, token, offset="99").json["items"] == []

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ({"limit": "0"}, "Invalid limit"),
            ({"limit": "51"}, "Invalid limit"),
            ({"limit": "x"}, "Invalid limit"),
            ({"offset": "-1"}, "Invalid offset"),
        ],
    )
    def test_rejects_a_page_that_is_out_of_range(
        self, spotify: FlaskClient, query: dict[str, str], message: str
    ) -> None:
        reply = get(spotify, self.ARTISTS, log_in(spotify)["access_token"], **query)
        assert (reply.status_code, message_of(reply)) == (400, message)

    def test_an_app_in_development_mode_receives_fewer_fields(self, spotify: FlaskClient) -> None:
        page = get(spotify, self.ARTISTS, log_in(spotify, "development")["access_token"]).json
        assert len(page["items"]) == len(music.ARTISTS)
        for artist in page["items"]:
            assert set(artist) == {"external_urls", "href", "id", "images", "name", "type", "uri"}

    @pytest.mark.parametrize("scope", ["user-read-currently-playing", "user-read-playback-state"])
    def test_returns_the_track_that_is_playing(self, spotify: FlaskClient, scope: str) -> None:
        reply = get(spotify, self.PLAYING, log_in(spotify, scope=scope)["access_token"])
        assert reply.status_code == 200
        assert reply.json["currently_playing_type"] == reply.json["item"]["type"] == "track"
        assert reply.json["context"]["uri"] == reply.json["item"]["album"]["uri"]
        assert reply.json["item"]["album"]["images"] == []

    def test_returns_nothing_if_nothing_is_playing(self, spotify: FlaskClient) -> None:
        reply = get(spotify, self.PLAYING, log_in(spotify, "development")["access_token"])
        assert (reply.status_code, reply.data) == (204, b"")

    @pytest.mark.parametrize("path", [ARTISTS, PLAYING])
    def test_rejects_a_token_without_the_scope(self, spotify: FlaskClient, path: str) -> None:
        reply = get(spotify, path, log_in(spotify, scope="user-read-email")["access_token"])
        assert (reply.status_code, message_of(reply)) == (403, "Insufficient client scope")

    @pytest.mark.parametrize("path", ["/v1/me", ARTISTS, PLAYING])
    def test_rejects_a_missing_or_unknown_token(self, spotify: FlaskClient, path: str) -> None:
        reply: Any = spotify.get(path)
        assert (reply.status_code, message_of(reply)) == (401, "No token provided")
        assert message_of(get(spotify, path, "x")) == "Invalid access token"

    def test_libraries_that_ask_for_the_profile_with_a_slash_receive_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        application = create_app(Application())
        token = log_in(application.test_client())["access_token"]
        url = f"{serve(application)}/v1/"
        monkeypatch.setattr(tekore._client.base, "prefix", url)
        assert tekore.Spotify(token).current_user().id == "pia.premium"
        # What spotipy's current_user() sends. spotipy itself would bring a client of Redis along.
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        reply = requests.get(f"{url}me/", headers=headers, allow_redirects=False, timeout=30)
        assert reply.json()["id"] == "pia.premium"

    @pytest.mark.parametrize("path", ["/v1/albums/1", "/v1/me/top/artists/", "/v1/"])
    def test_an_endpoint_that_is_missing_is_an_error_in_json(self, spotify: FlaskClient, path: str) -> None:
        token = log_in(spotify)["access_token"]
        reply = get(spotify, path, token)
        assert (reply.status_code, message_of(reply)) == (404, "Service not found")
        reply = spotify.put("/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert (reply.status_code, message_of(reply)) == (404, "Service not found")
        assert spotify.get("/nothing").mimetype == "text/html"

    @pytest.mark.parametrize("persona", ["down", "rate-limited", "unlisted"])
    def test_a_persona_fails_only_at_its_profile(self, spotify: FlaskClient, persona: str) -> None:
        token = log_in(spotify, persona)["access_token"]
        assert get(spotify, "/v1/me", token).status_code >= 400
        assert get(spotify, self.ARTISTS, token).status_code == 200
        assert get(spotify, self.PLAYING, token).status_code == 200


class TestControls:
    def test_counts_refreshes_also_separately(self, spotify: FlaskClient) -> None:
        refresh_token = log_in(spotify)["refresh_token"]
        refresh(spotify, refresh_token)
        refresh(spotify, "x")
        counts: Any = spotify.get("/_simulator/asked").json
        assert counts["POST /api/token"] == 3
        assert counts["POST /api/token refresh_token"] == 2

    def test_counts_the_successful_refreshes_of_each_user(self, spotify: FlaskClient) -> None:
        for user_id, times in (("one", 1), ("two", 2), ("none", 0)):
            refresh_token = log_in(spotify, user_id=user_id)["refresh_token"]
            for _ in range(times):
                refresh(spotify, refresh_token)
        refresh(spotify, "x")
        control(spotify, "revoke", user_id="two")
        refresh(spotify, refresh_token)
        control(spotify, "fail", status="503")
        refresh(spotify, refresh_token)
        assert spotify.get("/_simulator/refreshes").json == {"one": 1, "two": 2, "none": 1}

    def test_does_not_count_requests_to_the_controls_or_to_unknown_paths(self, spotify: FlaskClient) -> None:
        control(spotify, "expire")
        assert spotify.get("/nothing").status_code == 404
        assert spotify.get("/_simulator/asked").json == {}

    @pytest.mark.parametrize(
        "header",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost"},
            {"Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Mode": "navigate"},
            {"sec-fetch-dest": "document"},
        ],
    )
    def test_rejects_the_form_of_a_web_page(self, spotify: FlaskClient, header: dict[str, str]) -> None:
        tokens = log_in(spotify)
        form = {"user_id": "pia.premium", "status": "503"}
        for path in ("revoke", "expire", "fail"):
            assert spotify.post(f"/_simulator/{path}", data=form, headers=header).status_code == 403
        assert get(spotify, "/v1/me", tokens["access_token"]).status_code == 200
        assert refresh(spotify, tokens["refresh_token"]).status_code == 200

    def test_a_web_page_cannot_read_the_counts(self, spotify: FlaskClient) -> None:
        for path in ("asked", "refreshes"):
            reply = spotify.get(f"/_simulator/{path}", headers={"Origin": "https://evil.example"})
            assert not [name for name, _ in reply.headers if name.startswith("Access-Control-")]

    @pytest.mark.parametrize("path", ["revoke", "expire", "fail"])
    def test_a_link_causes_nothing(self, spotify: FlaskClient, path: str) -> None:
        assert spotify.get(f"/_simulator/{path}").status_code == 405


class TestCommand:
    @pytest.fixture
    def start(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., str]:
        """A function that runs the command until it waits, and returns the URL it prints."""

        def start(*options: str) -> str:
            monkeypatch.setattr("sys.argv", ["simulator", "--port", "0", *options])
            monkeypatch.setattr(signal, "signal", lambda *_: None)
            waiting = SimpleNamespace(Event=lambda: SimpleNamespace(wait=lambda: None))
            monkeypatch.setattr(command, "threading", waiting)
            command.main()
            return capsys.readouterr().out.split()[3]

        return start

    def tokens(self, url: str, **form: str) -> Any:
        client = (Application.client_id, Application.client_secret)
        return requests.post(f"{url}/api/token", form, auth=client, timeout=30).json()

    def tokens_of_a_login(self, url: str) -> Any:
        agreed = requests.post(
            f"{url}/authorize",
            {"decision": "agree"},
            params=REQUEST,
            allow_redirects=False,
            timeout=30,
        )
        return self.tokens(
            url,
            grant_type="authorization_code",
            code=query_of(agreed.headers["Location"])["code"],
            redirect_uri=REQUEST["redirect_uri"],
            code_verifier=VERIFIER,
        )

    @pytest.mark.parametrize(("options", "rotates"), [([], False), (["--rotate"], True)])
    def test_rotates_refresh_tokens_if_told_to(
        self, start: Callable[..., str], options: list[str], rotates: bool
    ) -> None:
        url = start(*options)
        refresh_token = self.tokens_of_a_login(url)["refresh_token"]
        renewed = self.tokens(url, grant_type="refresh_token", refresh_token=refresh_token)
        assert ("refresh_token" in renewed) == rotates

    @pytest.mark.parametrize(("options", "lifetime"), [([], 3600), (["--token-lifetime", "5"], 5)])
    def test_sets_the_lifetime_of_access_tokens(
        self, start: Callable[..., str], options: list[str], lifetime: int
    ) -> None:
        url = start(*options)
        assert self.tokens_of_a_login(url)["expires_in"] == lifetime
        assert self.tokens(url, grant_type="client_credentials")["expires_in"] == lifetime
