"""spotipy and Tekore against the simulated Spotify, which another project can run on its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import spotipy
import tekore
from requests.adapters import HTTPAdapter

from deploy import PROJECT
from simulator.spotify import SCOPES, Application
from tests.support.servers import clean_environment, python, running
from tests.support.visitor import query_of

REDIRECT_URI = "http://127.0.0.1:8888/callback"
SPOTIFY = ("https://accounts.spotify.com", "https://api.spotify.com")


def at_simulator(url: str, simulator: str) -> str:
    """A URL with the simulator in place of Spotify's hosts."""
    for host in SPOTIFY:
        url = url.replace(host, simulator, 1)
    return url


class ToSimulator(HTTPAdapter):
    """Sends the requests of a requests session to the simulator."""

    def __init__(self, simulator: str) -> None:
        super().__init__()
        self.simulator = simulator

    def send(self, request: requests.PreparedRequest, *rest: Any, **options: Any) -> requests.Response:
        request.url = at_simulator(str(request.url), self.simulator)
        return super().send(request, *rest, **options)


class SimulatorSender(tekore.SyncSender):  # type: ignore[misc] # Tekore is untyped
    """Sends the requests of Tekore to the simulator."""

    def __init__(self, simulator: str) -> None:
        super().__init__()
        self.simulator = simulator

    def send(self, request: tekore.Request) -> tekore.Response:
        return super().send(replace(request, url=at_simulator(request.url, self.simulator)))


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The simulator, from a folder that has nothing else."""
    alone: Path = tmp_path_factory.mktemp("alone")
    shutil.copytree(PROJECT / "simulator", alone / "simulator")
    environment = clean_environment({"PYTHONPATH": str(alone)})
    with running(python("-m", "simulator", "--port", "0"), environment, alone) as process:
        yield process.wait_for(r"SPOTIFY_API_URL=(\S+)\n")[1]


def agree(url: str, simulator: str, persona: str = "premium") -> str:
    """Agree to an authorization request at the simulator. Returns where the browser is sent."""
    form = {"decision": "agree", "persona": persona}
    return requests.post(at_simulator(url, simulator), form, allow_redirects=False, timeout=30).headers[
        "Location"
    ]


@pytest.fixture
def session(simulator: str) -> requests.Session:
    session = requests.Session()
    for host in SPOTIFY:
        session.mount(host, ToSimulator(simulator))
    return session


def spotipy_token(session: requests.Session, simulator: str, persona: str = "premium") -> str:
    """Log in with spotipy, and return an access token."""
    login = spotipy.SpotifyOAuth(
        Application.client_id,
        Application.client_secret,
        REDIRECT_URI,
        scope=" ".join(SCOPES),
        cache_handler=spotipy.MemoryCacheHandler(),
        requests_session=session,
    )
    code = query_of(agree(login.get_authorize_url(), simulator, persona))["code"]
    return str(login.get_access_token(code, as_dict=False, check_cache=False))


def test_spotipy_logs_in_and_saves_top_tracks_as_a_playlist(
    simulator: str, session: requests.Session
) -> None:
    client = spotipy.Spotify(auth=spotipy_token(session, simulator), requests_session=session)
    assert client.me()["id"] == "pia.premium"
    artists = client.current_user_top_artists(limit=2, time_range="short_term")
    assert len(client.next(artists)["items"]) == 2
    uris = [track["uri"] for track in client.current_user_top_tracks(limit=5)["items"]]
    assert len(client.current_user_recently_played()["items"]) == 50
    assert client.current_user_playing_track()["is_playing"] is True
    playlist = client.current_user_playlist_create("Top tracks", public=False)["id"]
    client.playlist_add_items(playlist, uris[1:])
    client.playlist_add_items(playlist, uris[:1], position=0)
    assert [entry["item"]["uri"] for entry in client.playlist_items(playlist)["items"]] == uris
    client.playlist_replace_items(playlist, uris[:2])
    assert client.playlist(playlist)["items"]["total"] == 2
    assert playlist in [one["id"] for one in client.current_user_playlists()["items"]]
    with pytest.raises(spotipy.SpotifyException, match="Service not found"):
        client.search("cheddar")


def test_spotipy_gets_the_retry_after_of_a_persona_that_is_a_failure(
    simulator: str, session: requests.Session
) -> None:
    client = spotipy.Spotify(auth=spotipy_token(session, simulator, "busy"), requests_session=session)
    assert client.me()["id"] == "31bu"
    with pytest.raises(spotipy.SpotifyException) as caught:
        client.current_user_top_tracks()
    assert (caught.value.http_status, caught.value.headers["Retry-After"]) == (429, "5")


def test_tekore_logs_in_and_reads_what_the_user_plays(simulator: str) -> None:
    sender = SimulatorSender(simulator)
    application = (Application.client_id, Application.client_secret, REDIRECT_URI)
    credentials = tekore.Credentials(*application, sender=sender)
    url = credentials.user_authorisation_url(scope=" ".join(SCOPES))
    token = credentials.request_user_token(query_of(agree(url, simulator))["code"])
    assert str(token.scope) == " ".join(sorted(SCOPES))
    client = tekore.Spotify(credentials.refresh(token), sender=sender)
    assert client.current_user().id == "pia.premium"
    assert [image.width for image in client.current_user_top_artists(limit=1).items[0].images] == [
        640,
        300,
        64,
    ]
    tracks = client.current_user_top_tracks(time_range="long_term", limit=3)
    assert client.next(tracks).offset == 3
    recent = client.playback_recently_played(limit=10)
    assert len(client.next(recent).items) == 10
    assert client.playback_recently_played(after=recent.cursors.after).items == []
    assert client.playback_currently_playing().item.id == recent.items[0].track.id


def test_tekore_creates_playlists_at_a_path_that_spotify_has_deprecated(simulator: str) -> None:
    sender = SimulatorSender(simulator)
    url = f"{simulator}/authorize?client_id={Application.client_id}&response_type=code"
    url += f"&redirect_uri={REDIRECT_URI}&scope=playlist-modify-private"
    credentials = tekore.Credentials(Application.client_id, Application.client_secret, REDIRECT_URI, sender)
    token = credentials.request_user_token(query_of(agree(url, simulator))["code"])
    client = tekore.Spotify(token, sender=sender)
    with pytest.raises(tekore.NotFound, match="Service not found"):
        client.playlist_create("pia.premium", "Top tracks", public=False)
    with pytest.raises(tekore.Forbidden, match="Insufficient client scope"):
        client.current_user_top_tracks()
