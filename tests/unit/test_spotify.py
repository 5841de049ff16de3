"""The calls to Spotify, against a server with prepared responses."""

from __future__ import annotations

import base64
import gzip
import ssl
import time
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from werkzeug.serving import make_ssl_devcert

from chalicelib import errors, transport
from chalicelib.config import Config
from chalicelib.deadline import Deadline
from chalicelib.profile import Profile
from chalicelib.spotify import Spotify, Tokens
from chalicelib.transport import Transport
from tests.support.faults import Behaviour, FaultServer, never_accepting, response
from tests.support.servers import free_port

ISSUED = {"access_token": "BQ-token", "token_type": "Bearer", "expires_in": 3600}
TOKEN = response(200, ISSUED)
ME = response(200, '{"id": "test-user", "display_name": "Zoë"}'.encode())


def client(url: str, deadline: Deadline | None = None) -> Spotify:
    settings = {
        "SPOTIFY_CLIENT_ID": "the-id",
        "SPOTIFY_CLIENT_SECRET": "the-secret",
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuv",
        "USERS_TABLE": "users",
    }
    config = Config(settings)
    config.accounts_url = config.api_url = url
    return Spotify(config, Transport(), deadline or Deadline())


def exchange(server: FaultServer) -> str:
    return (
        client(server.serve()).exchange("the-code", "the-verifier", "https://x.example/callback").access_token
    )


def fetch_profile(server: FaultServer) -> Profile:
    return client(server.serve()).fetch_profile("BQ-token")


@pytest.mark.promise("A2", "J3")
def test_a_code_is_exchanged_with_its_verifier_and_a_token_refreshed_both_with_basic_authentication() -> None:
    server = FaultServer([TOKEN])
    spotify = client(server.serve())
    assert (
        spotify.exchange("the-code", "the-verifier", "https://x.example/callback").access_token == "BQ-token"
    )
    spotify.refresh(Tokens("BQ-old", "AQ-old", "", 0))
    for request in server.requests:
        assert (request.method, request.path) == ("POST", "/api/token")
        assert request.headers["Authorization"] == f"Basic {base64.b64encode(b'the-id:the-secret').decode()}"
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    exchanged, refreshed = (parse_qs(request.body) for request in server.requests)
    assert refreshed == {"grant_type": ["refresh_token"], "refresh_token": ["AQ-old"]}
    assert exchanged == {
        "grant_type": ["authorization_code"],
        "code": ["the-code"],
        "redirect_uri": ["https://x.example/callback"],
        "code_verifier": ["the-verifier"],
    }


def test_the_token_type_is_case_insensitive() -> None:
    """RFC 6749 §5.1. A response without one is harmless."""
    for issued in ({**ISSUED, "token_type": "BEARER"}, {"access_token": "BQ-token"}):
        assert exchange(FaultServer([response(200, issued)])) == "BQ-token"


def test_the_profile_is_requested_with_the_token() -> None:
    server = FaultServer([ME])
    assert fetch_profile(server).display_name == "Zoë"
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/v1/me")
    assert request.headers["Authorization"] == "Bearer BQ-token"
    assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.promise("B13")
def test_a_cookie_from_one_login_is_not_sent_with_the_next() -> None:
    server = FaultServer([response(200, ISSUED, Set_Cookie="sp_t=of-one-visitor; Path=/")])
    spotify = client(server.serve())
    for _ in range(2):
        spotify.exchange("c", "v", "u")
    assert all("Cookie" not in request.headers for request in server.requests)


@pytest.mark.promise("J3")
def test_proxy_variables_and_netrc_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = FaultServer([ME])
    fetch_profile(server)
    assert server.requests[0].headers["Authorization"] == "Bearer BQ-token"


@pytest.mark.promise("J3")
def test_a_redirect_is_not_followed() -> None:
    elsewhere = FaultServer([TOKEN])
    server = FaultServer([response(307, Location=f"{elsewhere.serve()}/api/token")])
    with pytest.raises(errors.SpotifyMalformed):
        exchange(server)
    assert elsewhere.requests == []


def test_a_code_is_sent_again_after_a_short_rate_limit_but_three_times_at_most_and_only_in_time() -> None:
    limit = response(429, Retry_After="1")
    server = FaultServer([limit, TOKEN])
    assert exchange(server) == "BQ-token"
    assert server.requests[0] == server.requests[1]
    server = FaultServer([limit])
    with pytest.raises(errors.SpotifyRateLimited):
        exchange(server)
    assert len(server.requests) == 3
    limited = client(server.serve(), Deadline(time.monotonic() + 2.5))
    with pytest.raises(errors.SpotifyTimeout):
        limited.exchange("c", "v", "u")
    assert len(server.requests) == 4


@pytest.mark.promise("I3")
@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/me", "me"),
        ("/v1/users/pia.premium/", "users"),
        ("/v1/users/pia?x=/v1/pia", "users"),
        ("/v1/search?q=pia", "search"),
    ],
)
def test_a_failure_names_the_endpoint_without_the_id_of_anyone(
    path: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spotify = client(FaultServer([response(503)]).serve())
    assert str(spotify.get(path, "BQ-token")) == f"{endpoint} 503"
    monkeypatch.setattr(transport, "MOST_BYTES", -1)
    with pytest.raises(errors.SpotifyError) as failure:
        spotify.get(path, "BQ-token")
    assert failure.value.detail == f"{endpoint} size"
    with pytest.raises(errors.SpotifyError) as failure:
        client(f"http://127.0.0.1:{free_port()}").get(path, "BQ-token")
    assert failure.value.detail == f"{endpoint} connect"


QUOTA = b'{"error": {"status": 429, "reason": "QUOTA_EXCEEDED"}}'


@pytest.mark.promise("J2")
@pytest.mark.parametrize(
    ("retry_after", "seconds", "body", "reason"),
    [
        ("3600", 3600, b"", "spotify_rate_limited"),
        ("3", 3, b"", "spotify_rate_limited"),
        ("999999999", 86_400, b"", "spotify_rate_limited"),
        ("٣", 30, b"", "spotify_rate_limited"),
        (None, 30, QUOTA, "spotify_quota_exceeded"),
        ("3600", 3600, QUOTA, "spotify_quota_exceeded"),
        (None, 30, b'{"error": "QUOTA_EXCEEDED"}', "spotify_rate_limited"),
    ],
)
def test_a_long_retry_after_is_reported_at_once(
    retry_after: str | None, seconds: int, body: bytes, reason: str
) -> None:
    headers = {} if retry_after is None else {"Retry_After": retry_after.encode().decode("latin-1")}
    server = FaultServer([response(429, body, **headers)])
    started = time.monotonic()
    with pytest.raises(errors.SpotifyRateLimited) as failure:
        fetch_profile(server)
    assert (failure.value.retry_after, failure.value.reason) == (seconds, reason)
    assert time.monotonic() - started < 2
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 second"), (119, "119 seconds"), (121, "3 minutes"), (86_400, "24 hours")],
)
def test_the_wait_after_a_rate_limit_is_shown_in_ordinary_units(seconds: int, words: str) -> None:
    assert errors.SpotifyRateLimited("me 429", seconds).remedy == f"Log in again in {words}."


def test_a_small_response_that_unpacks_to_more_than_256_kb_is_rejected() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    with pytest.raises(errors.SpotifyMalformed):
        fetch_profile(FaultServer([response(200, bomb, Content_Encoding="gzip")]))


@pytest.mark.promise("J3")
def test_no_secret_is_sent_to_a_server_with_another_hosts_certificate_or_an_untrusted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FaultServer([TOKEN])
    certificate, key = make_ssl_devcert(str(tmp_path / "server"), "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    url = server.serve(context)
    monkeypatch.setenv("CURL_CA_BUNDLE", "")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    for trusted, host in ((True, "localhost"), (certificate, "127.0.0.1")):
        monkeypatch.setattr(transport, "VERIFY", trusted)
        with pytest.raises(errors.SpotifyUnavailable) as failure:
            client(url.replace("localhost", host)).exchange("c", "v", "u")
        assert failure.value.detail == "token SSLError"
        assert not isinstance(failure.value, errors.SpotifyUnreachable), "it is not retried"
    assert server.requests == []
    monkeypatch.setattr(transport, "VERIFY", certificate)
    client(url).exchange("c", "v", "u")


class TestTokens:
    OLD = Tokens("BQ-old", "AQ-old", "user-top-read", 0)

    def refresh(self, sent: Behaviour) -> Tokens | None:
        return client(FaultServer([sent]).serve()).refresh(self.OLD)

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ({"refresh_token": "AQ-new", "scope": "user-read-email"}, ("AQ-new", "user-read-email")),
            ({"refresh_token": ["AQ"], "scope": 7}, ("AQ-old", "user-top-read")),
        ],
        ids=["new ones", "odd ones"],
    )
    def test_refresh_token_and_scope_stay_unless_spotify_sends_new_ones(
        self, sent: dict[str, object], kept: tuple[str, str]
    ) -> None:
        tokens = self.refresh(response(200, {**ISSUED, **sent}))
        assert tokens
        assert (tokens.refresh_token, tokens.scope) == kept

    def test_a_rejected_refresh_token_gives_none_but_an_outage_removes_no_tokens(self) -> None:
        rejected = {"error": "invalid_grant"}
        assert self.refresh(response(400, rejected)) is None
        with pytest.raises(errors.SpotifyUnavailable):
            self.refresh(response(503, rejected))

    @pytest.mark.promise("M10")
    @pytest.mark.parametrize("failure", [response(503), response(429, Retry_After="1")])
    def test_a_refresh_is_not_repeated_after_a_failure(self, failure: Behaviour) -> None:
        server = FaultServer([failure, TOKEN])
        with pytest.raises(errors.SpotifyError):
            client(server.serve()).refresh(self.OLD)
        assert len(server.requests) == 1

    @pytest.mark.promise("M11")
    def test_a_refresh_is_not_begun_without_time_for_a_response(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = FaultServer([TOKEN])
        with pytest.raises(errors.SpotifyTimeout) as failure:
            client(server.serve(), Deadline(time.monotonic() + 1.9)).refresh(self.OLD)
        assert (failure.value.detail, server.requests) == ("token deadline", [])
        monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.5)
        with pytest.raises(errors.SpotifyTimeout) as failure:
            client(never_accepting(), Deadline(time.monotonic() + 2.4)).refresh(self.OLD)
        assert failure.value.detail == "token deadline", "nor is it sent again after a failure to connect"

    @pytest.mark.parametrize(
        ("sent", "lifetime"), [(600, 600), (86400, 86400), (599, 3600), (86401, 3600), ("1800", 3600)]
    )
    def test_the_lifetime_counts_from_before_the_request_and_an_odd_one_is_an_hour(
        self, sent: object, lifetime: int
    ) -> None:
        before = int(time.time())
        tokens = self.refresh(response(200, {**ISSUED, "expires_in": sent}))
        assert tokens
        assert before + lifetime <= tokens.ends <= int(time.time()) + lifetime

    @pytest.mark.promise("M2")
    def test_a_repr_shows_no_token(self) -> None:
        assert "AQ" not in repr(self.OLD)
        assert "BQ" not in repr(self.OLD)
