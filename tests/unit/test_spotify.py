"""The calls to Spotify, against a server with prepared responses."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from werkzeug.serving import make_server

from chalicelib import errors, transport
from chalicelib.config import EVERY_SCOPE, Config
from chalicelib.deadline import Deadline
from chalicelib.profile import Profile
from chalicelib.spotify import Spotify, Tokens
from chalicelib.transport import Transport
from deploy import roots
from tests.support.faults import never_accepting
from tests.support.script import Script
from tests.support.servers import free_port

JSON = {"Content-Type": "application/json"}
TOKEN = (200, JSON, b'{"access_token": "BQ-token", "token_type": "Bearer", "expires_in": 3600}')
ME = (200, JSON, '{"id": "test-user", "display_name": "Zoë"}'.encode())


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


def exchange(script: Script) -> str:
    return (
        client(script.serve()).exchange("the-code", "the-verifier", "https://x.example/callback").access_token
    )


def fetch_profile(script: Script) -> Profile:
    return client(script.serve()).fetch_profile("BQ-token")


@pytest.mark.promise("A2", "J3")
def test_a_code_is_exchanged_with_basic_authentication_and_its_verifier() -> None:
    script = Script([TOKEN])
    assert exchange(script) == "BQ-token"
    (request,) = script.requests
    assert (request.method, request.path) == ("POST", "/api/token")
    assert request.headers["Authorization"] == f"Basic {base64.b64encode(b'the-id:the-secret').decode()}"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body) == {
        "grant_type": ["authorization_code"],
        "code": ["the-code"],
        "redirect_uri": ["https://x.example/callback"],
        "code_verifier": ["the-verifier"],
    }


@pytest.mark.parametrize("token_type", [{}, {"token_type": "bearer"}, {"token_type": "BEARER"}])
def test_the_token_type_is_case_insensitive_and_may_be_missing(token_type: dict[str, str]) -> None:
    """RFC 6749 §5.1: the type is case insensitive; it is required, but a response without one is harmless."""
    body = json.dumps({"access_token": "BQ-token", **token_type}).encode()
    assert exchange(Script([(200, JSON, body)])) == "BQ-token"


def test_the_profile_is_requested_with_the_token() -> None:
    script = Script([ME])
    assert fetch_profile(script).display_name == "Zoë"
    (request,) = script.requests
    assert (request.method, request.path) == ("GET", "/v1/me")
    assert request.headers["Authorization"] == "Bearer BQ-token"
    assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.promise("B13")
def test_a_cookie_from_one_login_is_not_sent_with_the_next() -> None:
    script = Script([(200, {**JSON, "Set-Cookie": "sp_t=of-one-visitor; Path=/"}, TOKEN[2])])
    spotify = client(script.serve())
    for _ in range(2):
        spotify.exchange("c", "v", "u")
    assert all("Cookie" not in request.headers for request in script.requests)


@pytest.mark.promise("J3")
def test_proxy_variables_and_netrc_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", netrc)
    script = Script([ME])
    fetch_profile(script)
    assert script.requests[0].headers["Authorization"] == "Bearer BQ-token"


@pytest.mark.promise("J3")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    elsewhere = Script([TOKEN])
    script = Script([(status, {"Location": f"{elsewhere.serve()}/api/token"}, b"")])
    with pytest.raises(errors.SpotifyMalformed):
        exchange(script)
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, {"error": "invalid_grant", "error_description": "Authorization code expired"}, errors.CodeRefused),
        (400, {"error": "invalid_client", "error_description": "Invalid client"}, errors.ClientRefused),
        (401, {"error": "invalid_client"}, errors.ClientRefused),
        (400, {"error": "invalid_request"}, errors.SpotifyMalformed),
        (400, {"error": {"status": 400, "message": "odd"}}, errors.SpotifyMalformed),
        (400, "<html>", errors.SpotifyMalformed),
        (200, "<html>", errors.SpotifyMalformed),
        (200, [], errors.SpotifyMalformed),
        (200, {}, errors.SpotifyMalformed),
        (200, {"access_token": 7}, errors.SpotifyMalformed),
        (200, {"access_token": ""}, errors.SpotifyMalformed),
        (200, {"access_token": "a\r\nb: c"}, errors.SpotifyMalformed),
        (200, {"access_token": "BQ-token", "token_type": "mac"}, errors.SpotifyMalformed),
        (200, {"access_token": "BQ-token", "token_type": None}, errors.SpotifyMalformed),
        (201, {"access_token": "BQ-token", "token_type": "Bearer"}, errors.SpotifyMalformed),
        (200, "[" * 100_000, errors.SpotifyMalformed),
        (200, "9" * 5000, errors.SpotifyMalformed),
        (500, "", errors.SpotifyUnavailable),
        (503, {"error": "server_error"}, errors.SpotifyUnavailable),
        (429, "", errors.SpotifyRateLimited),
        (429, {"error": {"status": 429, "reason": "QUOTA_EXCEEDED"}}, errors.QuotaExceeded),
    ],
)  # fmt: skip
def test_a_failed_token_request_raises_a_specific_error_and_is_not_retried(
    status: int, body: object, failure: type[Exception]
) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    script = Script([(status, JSON, content.encode())])
    with pytest.raises(failure):
        exchange(script)
    assert len(script.requests) == 1


@pytest.mark.promise("B11")
@pytest.mark.parametrize(
    ("status", "text", "failure"),
    [
        (403, "The user is not registered for this application. Please check your settings on …", errors.NotOnUserList),
        (403, "Check settings on developer.spotify.com/dashboard, the user may not be registered.", errors.NotOnUserList),
        (403, '{"error": {"status": 403, "message": "User not registered in the Developer Dashboard"}}', errors.NotOnUserList),
        (403, "Active premium subscription required for the owner of the app.", errors.PremiumRequired),
        (404, "", errors.SpotifyMalformed),
        (200, b"\xff", errors.SpotifyMalformed),
    ],
)  # fmt: skip
def test_a_failed_profile_request_raises_a_specific_error(
    status: int, text: str | bytes, failure: type[Exception]
) -> None:
    script = Script([(status, {}, text if isinstance(text, bytes) else text.encode())])
    with pytest.raises(failure):
        fetch_profile(script)
    assert len(script.requests) == 1


EXPIRED = b'{"error": {"status": 401, "message": "The access token expired"}}'


@pytest.mark.parametrize(
    "fault",
    [
        (500, {}, b""),
        (502, {}, b"<html>"),
        (429, {"Retry-After": "1"}, b""),
        (401, {}, EXPIRED),
        (403, {}, b""),
    ],
)
def test_a_profile_request_is_retried_after_a_temporary_fault(
    fault: tuple[int, dict[str, str], bytes],
) -> None:
    script = Script([fault, ME])
    assert fetch_profile(script).id == "test-user"
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    ("status", "failure"),
    [(500, errors.SpotifyUnavailable), (401, errors.SpotifyUnavailable), (403, errors.SpotifyForbids)],
)
def test_a_profile_request_is_sent_three_times_at_most(status: int, failure: type[Exception]) -> None:
    script = Script([(status, {}, b"")])
    with pytest.raises(failure):
        fetch_profile(script)
    assert len(script.requests) == 3


@pytest.mark.parametrize("retry_after", ["0", "2"])
def test_a_code_is_sent_again_after_a_short_rate_limit(retry_after: str) -> None:
    script = Script([(429, {"Retry-After": retry_after}, b""), TOKEN])
    assert exchange(script) == "BQ-token"
    first, second = script.requests
    assert first == second


def test_a_code_is_sent_three_times_at_most_and_not_without_time_for_a_response() -> None:
    script = Script([(429, {"Retry-After": "1"}, b"")])
    with pytest.raises(errors.SpotifyRateLimited):
        exchange(script)
    assert len(script.requests) == 3
    limited = client(script.serve(), Deadline(time.monotonic() + 2.5))
    with pytest.raises(errors.SpotifyTimeout):
        limited.exchange("c", "v", "u")
    assert len(script.requests) == 4


@pytest.mark.promise("I3")
@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/me", "me"),
        ("/v1/users/pia.premium", "users"),
        ("/v1/users/pia.premium/", "users"),
        ("/v1/users/pia?x=/v1/pia", "users"),
        ("/v1/playlists/pia/items?limit=5", "playlists"),
        ("/v1/me/following/contains?ids=pia", "me"),
        ("/v1/search?q=pia", "search"),
        ("/v1/search#pia", "search"),
        ("/v1", ""),
    ],
)
def test_a_failure_names_the_endpoint_without_the_id_of_anyone(
    path: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spotify = client(Script([(503, {}, b"")]).serve())
    assert str(spotify.get(path, "BQ-token")) == f"{endpoint} 503"
    monkeypatch.setattr(transport, "MOST_BYTES", -1)
    with pytest.raises(errors.SpotifyError) as failure:
        spotify.get(path, "BQ-token")
    assert failure.value.detail == f"{endpoint} size"
    with pytest.raises(errors.SpotifyError) as failure:
        client(f"http://127.0.0.1:{free_port()}").get(path, "BQ-token")
    assert failure.value.detail == f"{endpoint} connect"


@pytest.mark.promise("J2")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": {"status": 429, "reason": "QUOTA_EXCEEDED"}}', "spotify_quota_exceeded"),
        (b'{"error": {"status": 429, "reason": ["QUOTA_EXCEEDED"]}}', "spotify_rate_limited"),
        (b'{"error": "QUOTA_EXCEEDED"}', "spotify_rate_limited"),
        (b"", "spotify_rate_limited"),
    ],
)
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("3600", 3600), ("3", 3), ("999999999", 86_400), (None, 30), ("-1", 30), ("soon", 30), ("٣", 30)],
)
def test_a_long_retry_after_is_reported_at_once(
    retry_after: str | None, seconds: int, body: bytes, reason: str
) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after.encode().decode("latin-1")}
    script = Script([(429, headers, body)])
    started = time.monotonic()
    with pytest.raises(errors.SpotifyRateLimited) as failure:
        fetch_profile(script)
    assert (failure.value.retry_after, failure.value.reason) == (seconds, reason)
    assert time.monotonic() - started < 2
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 second"), (1, "1 second"), (119, "119 seconds"), (121, "3 minutes"), (86_400, "24 hours")],
)
def test_the_wait_after_a_rate_limit_is_shown_in_ordinary_units(seconds: int, words: str) -> None:
    assert errors.SpotifyRateLimited("me 429", seconds).remedy == f"Log in again in {words}."


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip bomb"])
def test_a_response_over_256_kb_is_rejected(packed: bool) -> None:
    large = b"x" * 10_000_000
    headers, content = ({"Content-Encoding": "gzip"}, gzip.compress(large)) if packed else ({}, large)
    with pytest.raises(errors.SpotifyMalformed):
        fetch_profile(Script([(200, headers, content)]))


def test_a_refused_connection_is_reported_as_unreachable() -> None:
    spotify = client(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(errors.SpotifyUnreachable):
        spotify.exchange("c", "v", "u")


def test_nothing_is_sent_after_the_deadline() -> None:
    script = Script([TOKEN])
    with pytest.raises(errors.SpotifyTimeout):
        client(script.serve(), Deadline(time.monotonic())).exchange("c", "v", "u")
    assert script.requests == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return file


@pytest.fixture
def secure(certificate: Path) -> int:
    """The port of an https server with that certificate. It closes each connection after one response."""
    server = make_server("127.0.0.1", 0, Script([TOKEN, TOKEN]), ssl_context=(str(certificate),) * 2)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def test_a_server_is_verified_with_a_folder_of_roots(
    secure: int, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, root in roots.folder(certificate.read_text()):
        (tmp_path / name).write_bytes(root)
    monkeypatch.setattr(transport, "VERIFY", str(tmp_path))
    assert client(f"https://127.0.0.1:{secure}").exchange("c", "v", "u").access_token == "BQ-token"


@pytest.mark.promise("J3")
def test_no_secret_is_sent_to_a_server_with_another_hosts_certificate(
    secure: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "VERIFY", str(certificate))
    with pytest.raises(errors.SpotifyUnavailable) as failure:
        client(f"https://localhost:{secure}").exchange("c", "v", "u")
    assert failure.value.detail == "token SSLError"


@pytest.mark.promise("J3")
@pytest.mark.parametrize("packaged", [False, True])
def test_no_secret_is_sent_to_a_server_with_an_untrusted_certificate(
    secure: int, packaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if packaged:
        for name, root in roots.folder():
            (tmp_path / name).write_bytes(root)
        monkeypatch.setattr(transport, "VERIFY", str(tmp_path))
    monkeypatch.setenv("CURL_CA_BUNDLE", "")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    with pytest.raises(errors.SpotifyUnavailable) as failure:
        client(f"https://127.0.0.1:{secure}").exchange("c", "v", "u")
    assert failure.value.detail == "token SSLError"
    assert not isinstance(failure.value, errors.SpotifyUnreachable), "it is not retried"


def response(**document: object) -> tuple[int, dict[str, str], bytes]:
    return 200, JSON, json.dumps({"access_token": "BQ-token", **document}).encode()


class TestTokens:
    OLD = Tokens("BQ-old", "AQ-old", "user-top-read", 0)

    def refresh(self, *responses: tuple[int, dict[str, str], bytes]) -> Tokens | None:
        return client(Script([*responses]).serve()).refresh(self.OLD)

    def test_a_refresh_is_sent_with_basic_authentication(self) -> None:
        script = Script([TOKEN])
        client(script.serve()).refresh(self.OLD)
        (request,) = script.requests
        assert parse_qs(request.body) == {"grant_type": ["refresh_token"], "refresh_token": ["AQ-old"]}
        basic = base64.b64encode(b"the-id:the-secret").decode()
        assert request.headers["Authorization"] == f"Basic {basic}"

    def test_refresh_token_and_scope_stay_if_spotify_sends_none(self) -> None:
        tokens = self.refresh(response())
        assert tokens
        assert (tokens.access_token, tokens.refresh_token, tokens.scope) == (
            "BQ-token",
            "AQ-old",
            "user-top-read",
        )

    def test_a_new_refresh_token_and_scope_replace_the_old_ones(self) -> None:
        tokens = self.refresh(response(refresh_token="AQ-new", scope="user-read-email"))
        assert tokens
        assert (tokens.refresh_token, tokens.scope) == ("AQ-new", "user-read-email")

    def test_a_rejected_refresh_token_gives_none(self) -> None:
        assert self.refresh((400, JSON, b'{"error": "invalid_grant"}')) is None

    def test_an_outage_removes_no_tokens_whatever_its_body_says(self) -> None:
        with pytest.raises(errors.SpotifyUnavailable):
            self.refresh((503, JSON, b'{"error": "invalid_grant"}'))

    @pytest.mark.promise("M10")
    @pytest.mark.parametrize("failure", [(503, {}, b""), (429, {"Retry-After": "1"}, b"")])
    def test_a_refresh_is_not_repeated_after_a_failure(
        self, failure: tuple[int, dict[str, str], bytes]
    ) -> None:
        script = Script([failure, TOKEN])
        with pytest.raises(errors.SpotifyError):
            client(script.serve()).refresh(self.OLD)
        assert len(script.requests) == 1

    @pytest.mark.promise("M11")
    def test_a_refresh_is_not_begun_without_time_for_a_response(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = Script([TOKEN])
        with pytest.raises(errors.SpotifyTimeout) as failure:
            client(script.serve(), Deadline(time.monotonic() + 1.9)).refresh(self.OLD)
        assert (failure.value.detail, script.requests) == ("token deadline", [])
        monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.5)
        with pytest.raises(errors.SpotifyTimeout) as failure:
            client(never_accepting(), Deadline(time.monotonic() + 2.4)).refresh(self.OLD)
        assert failure.value.detail == "token deadline", "nor is it sent again after a failure to connect"

    @pytest.mark.parametrize(
        ("document", "lifetime"),
        [
            ({"expires_in": 3600}, 3600),
            ({"expires_in": 600}, 600),
            ({"expires_in": 86400}, 86400),
            ({"expires_in": 599}, 3600),
            ({"expires_in": 86401}, 3600),
            ({"expires_in": -1}, 3600),
            ({"expires_in": "1800"}, 3600),
            ({"expires_in": None}, 3600),
            ({}, 3600),
        ],
    )
    def test_the_lifetime_counts_from_before_the_request_and_an_odd_one_is_an_hour(
        self, document: dict[str, object], lifetime: int
    ) -> None:
        before = int(time.time())
        tokens = self.refresh(response(**document))
        assert tokens
        assert before + lifetime <= tokens.ends <= int(time.time()) + lifetime

    def test_odd_refresh_tokens_and_scopes_count_as_missing(self) -> None:
        script = Script([response(refresh_token=["AQ"], scope=7)])
        tokens = client(script.serve()).exchange("c", "v", "u")
        assert tokens.refresh_token == ""
        assert tokens.scope == EVERY_SCOPE

    @pytest.mark.promise("M2")
    def test_a_repr_shows_no_token(self) -> None:
        assert "AQ" not in repr(self.OLD)
        assert "BQ" not in repr(self.OLD)
