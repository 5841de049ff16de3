"""What the contract cannot see of the simulated Spotify: people, their tokens, and what tests make it do."""

from __future__ import annotations

import ast
import base64
import hashlib
import re
import sys
from typing import Any

import pytest
from flask.testing import FlaskClient

from chalicelib.config import EVERY_SCOPE
from deploy import PROJECT
from simulator import library, music
from simulator.personas import PERSONAS
from simulator.spotify import SCOPES, Application, create_app
from simulator.web_api import ENDPOINTS
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
RECENTLY = "/v1/me/player/recently-played"
PLAYING = "/v1/me/player/currently-playing"
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


def call(spotify: FlaskClient, method: str, path: str, access_token: str, body: Any = None) -> Any:
    """Call the Web API, with a body in JSON, or with text as it is."""
    sent = {} if body is None else {"data": body} if isinstance(body, str) else {"json": body}
    return spotify.open(path, method=method, headers={"Authorization": f"Bearer {access_token}"}, **sent)


def create(spotify: FlaskClient, access_token: str, name: str = "A playlist", **settings: Any) -> Any:
    return call(spotify, "POST", "/v1/me/playlists", access_token, {"name": name, **settings}).json


def add(spotify: FlaskClient, access_token: str, identifier: str, uris: list[str]) -> Any:
    return call(spotify, "POST", f"/v1/playlists/{identifier}/items", access_token, {"uris": uris})


def tracks_of(spotify: FlaskClient, access_token: str, identifier: str) -> list[str]:
    page = get(spotify, f"/v1/playlists/{identifier}/items", access_token, limit="100").json
    return [entry["item"]["uri"] for entry in page["items"]]


def play(spotify: FlaskClient, uri: str) -> None:
    form = {"user_id": "pia.premium", "uri": uri}
    assert spotify.post("/_simulator/play", data=form).status_code == 204


def error_of(reply: Any) -> tuple[int, str]:
    """The status and text of an error of the token endpoint, or of the Web API."""
    error = reply.json["error"]
    return reply.status_code, error["message"] if isinstance(error, dict) else reply.json["error_description"]


def test_the_consent_page_shows_people_with_pictures_and_then_failures(spotify: FlaskClient) -> None:
    scopes = " ".join(sorted(SCOPES))
    reply = spotify.get("/authorize", query_string={**REQUEST, "scope": scopes}, follow_redirects=True)
    assert "Set-Cookie" not in reply.headers
    assert re.findall("<li>[A-Za-z ,-]+ <code>([a-z-]+)</code>", reply.text) == sorted(SCOPES)
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


def test_a_token_gives_only_what_its_scopes_allow(spotify: FlaskClient) -> None:
    profile = get(spotify, "/v1/me", log_in(spotify, scope="user-read-private")["access_token"]).json
    assert {"id", "country", "product"} <= set(profile)
    assert "email" not in profile


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_needs_a_valid_token_with_one_of_its_scopes(spotify: FlaskClient, endpoint: str) -> None:
    _, scopes = ENDPOINTS[endpoint]
    method, _, path = endpoint.replace("{id}", "unknown").partition(" ")

    def error(token: str) -> tuple[int, str]:
        return error_of(call(spotify, method, path, token))

    assert error_of(spotify.open(path, method=method)) == (401, "No token provided")
    assert error("made-up") == (401, "Invalid access token")
    if scopes:
        others = " ".join(SCOPES - {*scopes})
        assert error(log_in(spotify, scope=others)["access_token"]) == (403, "Insufficient client scope")
    for scope in scopes:
        token = log_in(spotify, scope=scope)["access_token"]
        assert call(spotify, method, path, token).status_code in {200, 400, 404}
    expired = log_in(spotify)["access_token"]
    spotify.post("/_simulator/expire", data={"user_id": "pia.premium"})
    assert error(expired) == (401, "The access token expired")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("GET /v1/albums/1", (404, "Service not found")),
        ("POST /v1/users/pia.premium/playlists", (404, "Service not found")),
        ("POST /v1/playlists/1/tracks", (404, "Service not found")),
        ("DELETE /v1/me", (405, "Method Not Allowed")),
        ("POST /v1/me/top/artists", (405, "Method Not Allowed")),
        ("GET /v1/me/top/artists?limit=51", (400, "Invalid limit")),
        ("GET /v1/me/top/artists?limit=0", (400, "Invalid limit")),
        ("GET /v1/me/top/tracks?offset=x", (400, "Invalid offset")),
        ("GET /v1/me/top/tracks?time_range=forever", (400, "Invalid time_range")),
        ("GET /v1/me/player/recently-played?before=-1", (400, "Invalid before")),
        ("GET /v1/me/player/recently-played?after=1&before=2", (400, "Only one of after and before can be specified")),
        ("GET /v1/playlists/unknown", (404, "Resource not found")),
        ("GET /v1/playlists/unknown/items", (404, "Resource not found")),
        ("POST /v1/playlists/unknown/items?uris=x", (404, "Resource not found")),
    ],
)  # fmt: skip
def test_an_error_is_json_as_spotify_sends_it(
    spotify: FlaskClient, request_: str, error: tuple[int, str]
) -> None:
    method, _, path = request_.partition(" ")
    reply = call(spotify, method, path, log_in(spotify)["access_token"])
    assert error_of(reply) == error
    assert reply.json == {"error": {"status": error[0], "message": error[1]}}


FIELDS = {
    "artist": "external_urls href id images name type uri",
    "image": "height url width",
    "track": "album artists disc_number duration_ms explicit external_urls href id is_local name track_number type uri",
    "album": "album_type artists external_urls href id images name release_date release_date_precision total_tracks "
    "type uri",
    "page": "href items limit next offset previous total",
    "plays": "cursors href items limit next",
    "play": "context played_at track",
    "playing": "actions context currently_playing_type is_playing item progress_ms timestamp",
    "playlist": "collaborative description external_urls href id images items name owner public snapshot_id type uri",
    "entry": "added_at added_by is_local item",
    "user": "external_urls href id type uri",
}
"""What Spotify's description says of each object, without the deprecated fields, which an app in development mode
does not receive."""

WITHIN = {
    "artists": {"": "page", "items.0": "artist", "items.0.images.0": "image"},
    "tracks": {"": "page", "items.0": "track", "items.0.album": "album", "items.0.album.images.2": "image"},
    "recently-played": {"": "plays", "items.0": "play", "items.0.track": "track"},
    "currently-playing": {"": "playing", "item": "track", "item.album": "album"},
    "me/playlists": {"": "page", "items.0": "playlist", "items.0.owner": "user"},
    "{id}": {"": "playlist", "items": "page", "items.items.0": "entry", "items.items.0.item": "track"},
    "{id}/items": {"": "page", "items.0": "entry", "items.0.item": "track", "items.0.added_by": "user"},
}
"""The objects in the response of each endpoint that sends any, by the end of its path."""


@pytest.mark.parametrize("persona", ["premium", "development"])
def test_a_response_has_the_fields_of_spotifys_description(spotify: FlaskClient, persona: str) -> None:
    token = log_in(spotify, persona)["access_token"]
    identifier = create(spotify, token)["id"]
    assert add(spotify, token, identifier, [music.TRACKS[0]["uri"]]).status_code == 201
    reading = [endpoint for endpoint in ENDPOINTS if endpoint.startswith("GET ")]
    for endpoint in reading:
        (objects,) = [WITHIN[end] for end in WITHIN if endpoint.endswith(f"/{end}")]
        document = get(spotify, endpoint.replace("{id}", identifier).split()[1], token).json
        for place, kind in objects.items():
            found = document
            for step in place.split(".") if place else ():
                found = found[int(step) if step.isdecimal() else step]
            fields = set(FIELDS[kind].split())
            assert fields <= set(found), (endpoint, place)
            if persona == "development":
                extra = {"user": {"display_name"}, "track": {"external_ids", "preview_url"}}.get(kind, set())
                assert set(found) - fields <= extra, (endpoint, place)
    assert len(reading) == len(WITHIN)


@pytest.mark.parametrize("kind", ["artists", "tracks"])
def test_pages_of_favorites_link_to_each_other_and_differ_by_time_range(
    spotify: FlaskClient, kind: str
) -> None:
    token, path = log_in(spotify)["access_token"], f"/v1/me/top/{kind}"
    ranges = {}
    for time_range in ("short_term", "medium_term", "long_term"):
        page = get(spotify, path, token, limit="2", time_range=time_range).json
        found = page["items"]
        while page["next"]:
            here = page["href"]
            page = get(spotify, path, token, **query_of(page["next"])).json
            assert page["previous"] == here
            found += page["items"]
        ranges[time_range] = [one["id"] for one in found]
        assert len(found) == page["total"] == len({*ranges[time_range]}) > 2
    assert len({*map(tuple, ranges.values())}) == 3
    assert [one["id"] for one in get(spotify, path, token).json["items"]] == ranges["medium_term"]


def test_artists_and_albums_have_pictures_that_the_simulator_serves(spotify: FlaskClient) -> None:
    token = log_in(spotify)["access_token"]
    artists, tracks = (
        get(spotify, f"/v1/me/top/{kind}", token).json["items"] for kind in ("artists", "tracks")
    )
    urls = {image["url"] for one in artists for image in one["images"]}
    urls |= {image["url"] for one in tracks for image in one["album"]["images"]}
    assert len(urls) >= len(tracks)
    for url in urls:
        assert spotify.get(url).mimetype == "image/svg+xml"
    for name in ("cover-x", "cover-100", "cover", "none"):
        assert spotify.get(f"/_simulator/pictures/{name}.svg").status_code == 404


def plays_of(spotify: FlaskClient, access_token: str) -> list[dict[str, Any]]:
    """All plays that the simulator remembers, from pages of 20."""
    query, found = {"limit": "20"}, []
    while True:
        page = get(spotify, RECENTLY, access_token, **query).json
        found += page["items"]
        if not page["next"]:
            assert len(page["items"]) < 20
            return found
        query = query_of(page["next"])


def test_the_last_50_plays_are_pages_by_time_and_a_new_play_is_after_them(spotify: FlaskClient) -> None:
    token = log_in(spotify)["access_token"]
    times = [play["played_at"] for play in plays_of(spotify, token)]
    assert (len(times), times) == (50, sorted({*times}, reverse=True))
    newest = get(spotify, RECENTLY, token).json["cursors"]["after"]
    page = get(spotify, RECENTLY, token, after=newest).json
    assert (page["items"], page["cursors"], page["next"]) == ([], None, None)
    track = music.TRACKS[3]
    play(spotify, track["uri"])
    page = get(spotify, RECENTLY, token, after=newest).json
    assert ([play["track"]["id"] for play in page["items"]], page["next"]) == ([track["id"]], None)
    assert [play["played_at"] for play in plays_of(spotify, token)][1:] == times[:-1]
    other = log_in(spotify, user_id="another")["access_token"]
    assert get(spotify, RECENTLY, other).json["items"][0]["track"]["id"] != track["id"]


def test_a_user_plays_a_track_until_it_is_over_or_stopped(
    spotify: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = log_in(spotify)["access_token"]
    assert get(spotify, PLAYING, token).json["is_playing"] is True
    play(spotify, "")
    reply = get(spotify, PLAYING, token)
    assert (reply.status_code, reply.data) == (204, b"")
    play(spotify, music.TRACKS[3]["uri"])
    playing = get(spotify, PLAYING, token).json
    assert playing["item"]["name"] == music.TRACKS[3]["name"]
    assert playing["progress_ms"] < playing["item"]["duration_ms"]
    later = library.now() + playing["item"]["duration_ms"] + 1
    monkeypatch.setattr(library, "now", lambda: later)
    assert get(spotify, PLAYING, token).status_code == 204


def test_a_playlist_holds_the_tracks_that_its_owner_adds_at_a_place_or_replaces(spotify: FlaskClient) -> None:
    token = log_in(spotify)["access_token"]
    first, second, third, *_ = uris = [track["uri"] for track in music.TRACKS]
    playlist = create(spotify, token, name="Office", description="For work", public=False)
    assert (playlist["name"], playlist["description"], playlist["public"]) == ("Office", "For work", False)
    snapshots = {playlist["snapshot_id"]}
    path = f"/v1/playlists/{playlist['id']}"
    for changes in ({"uris": [first, second]}, {"uris": [third], "position": 1}, [first]):
        snapshots.add(call(spotify, "POST", f"{path}/items", token, changes).json["snapshot_id"])
    query = f"{path}/items?uris={second},{third}&position=0"
    assert call(spotify, "POST", query, token).status_code == 201
    assert tracks_of(spotify, token, playlist["id"]) == [second, third, first, third, second, first]
    whole = get(spotify, path, token).json
    assert [entry["track"]["uri"] for entry in whole["tracks"]["items"]] == [
        second,
        third,
        first,
        third,
        second,
        first,
    ]
    page = get(spotify, f"{path}/items", token, limit="4", offset="4").json
    assert (page["total"], page["next"], len(page["items"])) == (6, None, 2)
    assert len(snapshots) == 4
    for changes, rest in (({"uris": uris * 10}, uris * 10), ({"uris": []}, [])):
        assert call(spotify, "PUT", f"{path}/items", token, changes).status_code == 200
        assert tracks_of(spotify, token, playlist["id"]) == rest
    newer = create(spotify, token)
    own = get(spotify, "/v1/me/playlists", token).json
    assert [one["id"] for one in own["items"]] == [newer["id"], playlist["id"]]
    assert own["items"][0]["items"]["total"] == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "Error parsing JSON."),
        ('"uris"', "Error parsing JSON."),
        ({}, "No uris provided"),
        ([], "No uris provided"),
        ({"uris": "spotify:track:1"}, "No uris provided"),
        ({"uris": [music.TRACKS[0]["uri"]] * 101}, "You can add a maximum of 100 tracks per request."),
        ({"uris": ["spotify:track:1"]}, "Invalid track uri: spotify:track:1"),
        ({"uris": [1]}, "Invalid track uri: 1"),
        ({"uris": [music.TRACKS[0]["uri"]], "position": 1}, "Index out of bounds."),
        ({"uris": [music.TRACKS[0]["uri"]], "position": "0"}, "Index out of bounds."),
    ],
)
def test_tracks_that_cannot_be_added_change_nothing(spotify: FlaskClient, body: Any, message: str) -> None:
    token = log_in(spotify)["access_token"]
    playlist = create(spotify, token)
    path = f"/v1/playlists/{playlist['id']}"
    assert error_of(call(spotify, "POST", f"{path}/items", token, body)) == (400, message)
    assert get(spotify, path, token).json["snapshot_id"] == playlist["snapshot_id"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Missing required field: name"),
        ({"name": ""}, "Missing required field: name"),
        ({"name": 1}, "Error parsing JSON."),
        ({"name": "x", "public": "no"}, "Error parsing JSON."),
        (["x"], "Error parsing JSON."),
    ],
)
def test_a_playlist_needs_a_name(spotify: FlaskClient, body: Any, message: str) -> None:
    token = log_in(spotify)["access_token"]
    assert error_of(call(spotify, "POST", "/v1/me/playlists", token, body)) == (400, message)
    assert get(spotify, "/v1/me/playlists", token).json["total"] == 0


@pytest.mark.parametrize("public", [True, False])
def test_a_playlist_needs_the_scope_of_its_kind(spotify: FlaskClient, public: bool) -> None:
    identifier = create(spotify, log_in(spotify)["access_token"], public=public)["id"]
    for kind in (True, False):
        scope = f"playlist-modify-{'public' if kind else 'private'}"
        token = log_in(spotify, scope=scope)["access_token"]
        replies = [
            call(spotify, "POST", "/v1/me/playlists", token, {"name": "x", "public": public}),
            add(spotify, token, identifier, [music.TRACKS[0]["uri"]]),
        ]
        assert [reply.status_code for reply in replies] == [201 if kind is public else 403] * 2


def test_another_user_neither_changes_a_playlist_nor_sees_its_tracks(spotify: FlaskClient) -> None:
    token, uris = log_in(spotify)["access_token"], [music.TRACKS[0]["uri"]]
    identifier = create(spotify, token)["id"]
    other = log_in(spotify, user_id="another")["access_token"]
    path = f"/v1/playlists/{identifier}"
    own = "You cannot add tracks to a playlist you don't own."
    assert error_of(add(spotify, other, identifier, uris)) == (403, own)
    assert error_of(call(spotify, "PUT", f"{path}/items", other, {"uris": uris})) == (403, own)
    assert error_of(get(spotify, f"{path}/items", other)) == (403, "Forbidden")
    assert not {"items", "tracks"} & set(get(spotify, path, other).json)
    assert get(spotify, "/v1/me/playlists", other).json["total"] == 0
    assert tracks_of(spotify, token, identifier) == []
    assert create_app(Application()).test_client().get(path).status_code == 401


@pytest.mark.parametrize(
    ("persona", "status", "headers"),
    [
        ("busy", 429, {"Retry-After": "5"}),
        ("rate-limited-hour", 429, {"Retry-After": "3600"}),
        ("quota", 429, {}),
        ("unlisted", 403, {}),
        ("down", 500, {}),
        ("failing", 503, {}),
    ],
)
def test_a_persona_that_is_a_failure_fails_every_call(
    spotify: FlaskClient, persona: str, status: int, headers: dict[str, str]
) -> None:
    token = log_in(spotify, persona)["access_token"]
    logs_in = persona in {"busy", "failing"}
    assert get(spotify, "/v1/me", token).status_code == (200 if logs_in else status)
    for path in (ARTISTS, RECENTLY, "/v1/playlists/unknown"):
        reply = get(spotify, path, token)
        assert reply.status_code == status
        assert headers.items() <= dict(reply.headers).items()
    assert error_of(get(spotify, ARTISTS, "made-up")) == (401, "Invalid access token")


def test_a_user_refuses_single_scopes_and_a_later_login_adds_them_only_to_its_own_token(
    spotify: FlaskClient,
) -> None:
    few, many = "user-read-private", "user-read-private user-top-read"
    form = {"decision": "agree", "persona": "premium", "refused": ["user-top-read"]}
    assert "Allowed before" not in spotify.get("/authorize/consent", query_string=REQUEST).text
    reply = spotify.post("/authorize", query_string={**REQUEST, "scope": many}, data=form)
    first = exchange(spotify, query_of(reply.location)["code"]).json
    assert first["scope"] == few
    page = spotify.get("/authorize/consent", query_string={**REQUEST, "scope": many}).text
    assert page.count("Allowed before: 1 of 2") == 1
    assert re.findall('name="refused" value="([^"]+)"', page) == many.split()
    second = log_in(spotify, scope=many)
    assert second["scope"] == many
    assert refresh(spotify, first["refresh_token"]).json["scope"] == few
    assert log_in(spotify, scope=few)["scope"] == few
    assert get(spotify, ARTISTS, second["access_token"]).status_code == 200
    assert error_of(get(spotify, ARTISTS, first["access_token"])) == (403, "Insufficient client scope")
    page = spotify.get("/authorize/consent", query_string={**REQUEST, "scope": many}).text
    assert page.count("Allowed before: 2 of 2") == 1
    spotify.post("/_simulator/revoke", data={"user_id": "pia.premium"})
    assert "Allowed before" not in spotify.get("/authorize/consent", query_string=REQUEST).text


def test_the_readme_lists_every_endpoint_and_control_with_its_scopes(spotify: FlaskClient) -> None:
    text = (PROJECT / "simulator" / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    documented = {endpoint.strip(" `"): tuple(re.findall("`([a-z-]+)`", scope)) for endpoint, scope in rows}
    rules = spotify.application.url_map.iter_rules()
    served = {
        f"{method} {rule.rule}".replace("<identifier>", "{id}").removesuffix("/")
        for rule in rules
        if rule.rule.startswith(("/v1", "/_simulator")) and "pictures" not in rule.rule
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(documented) == served
    web_api = {name: scopes for name, scopes in documented.items() if " /v1/" in name}
    assert web_api == {"GET /v1/me": (), **{name: scopes for name, (_, scopes) in ENDPOINTS.items()}}


def test_the_simulator_imports_only_flask_and_werkzeug() -> None:
    found = set()
    for path in (PROJECT / "simulator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
            found |= {name.split(".")[0] for name in names}
    assert found - {*sys.stdlib_module_names} == {"flask", "werkzeug", "simulator"}


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
    for path in ("revoke", "expire", "fail", "play"):
        form = {"user_id": "pia.premium", "status": "503"}
        assert spotify.post(f"/_simulator/{path}", data=form, headers=header).status_code == 403
        assert spotify.get(f"/_simulator/{path}").status_code == 405
    reply = spotify.get("/_simulator/asked", headers=header)
    assert not [name for name, _ in reply.headers if name.startswith("Access-Control-")]
