"""`make smoke URL=…`: check the rows of docs/security.md that can be checked from outside, at any URL.

Each test's name begins with the ID of its row. The URL is in SMOKE_URL; SMOKE_RATE limits the requests per second.
The app logs a callback with an unknown state as a security event. Each run sends three, and prints their references.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import parse_qs

import pytest
import requests

from simulator.spotify import SCOPES

RATE = 50.0
"""Requests per second over https, half of a stage's limit. The other half is left to visitors."""

FULL, PAUSE, RETRIES = requests.codes.too_many_requests, 1.0, 5
"""API Gateway's status while visitors use up the limit, and how often and after how many seconds to try again."""

SPOTIFY = re.compile(
    r"https://accounts\.spotify\.com/authorize|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/authorize"
)
"""The authorization page, of Spotify or of a simulator."""

PATHS = ("/", "/login", "/callback", "/logout")
"""A page, two redirects, and an error page that the log does not mark as a security event."""

FOREIGN = "https://evil.example"

FIXED = {
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Access-Control-Allow-Origin": None,
}
"""Headers that are the same in every response."""


class Site:
    """A login server at a URL, accessed from outside and without an account."""

    def __init__(self, url: str, rate: float) -> None:
        self.url = url
        self.secure = url.startswith("https://")
        self.references: list[str] = []
        self._pause = 1 / rate
        self._next = 0.0
        self._session = requests.Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> requests.Response:
        """Send a request without cookies, no faster than the rate. While the limit is used up, wait and retry."""
        for attempt in range(RETRIES + 1):
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + self._pause
            reply = self._session.request(
                method, self.url + path, headers=headers, allow_redirects=False, timeout=30
            )
            if reply.status_code != FULL or attempt == RETRIES:
                break
            self._next += PAUSE
        return reply

    @cache  # noqa: B019 - there is one site
    def get(self, path: str, accept: str = "text/html", origin: str = FOREIGN) -> requests.Response:
        """The response to a script of another origin. Each is requested once, for all tests."""
        return self.send(path, {"Accept": accept, "Origin": origin})

    def attack(self, query: str) -> requests.Response:
        """Send a callback whose state is not this browser's, and keep its reference in the log."""
        reply = self.send(f"/callback?{query}")
        self.references += re.findall(r"Reference: <code>([^<]+)", reply.text)
        return reply

    def login(self, path: str = "/login", headers: Mapping[str, str] | None = None) -> dict[str, list[str]]:
        """Start a login; returns the query of the authorization request."""
        reply = self.send(path, headers)
        assert reply.status_code == requests.codes.temporary_redirect
        target, _, query = reply.headers["Location"].partition("?")
        assert SPOTIFY.fullmatch(target)
        return parse_qs(query, keep_blank_values=True)

    def cookies(self, path: str) -> list[str]:
        """The Set-Cookie headers of a response."""
        return list(self.send(path).raw.headers.getlist("Set-Cookie"))


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    url = os.environ["SMOKE_URL"].rstrip("/")
    rate = float(os.environ.get("SMOKE_RATE", RATE if url.startswith("https://") else math.inf))
    try:
        Site(url, rate).send("/")
    except requests.RequestException:
        other = "Start the app:\n    make run\nOr check another URL:\n    make smoke URL=https://…"
        pytest.exit(f"{url}/ did not respond.\n{other}\n", 2)
    site = Site(url, rate)
    yield site
    if site.references:
        print("\n\nSecurity events in the log that are of this run:", ", ".join(site.references))


def assert_headers(site: Site, *names: str) -> None:
    for path in PATHS:
        headers = site.get(path).headers
        assert {name: headers.get(name) for name in names} == {name: FIXED[name] for name in names}, path


def test_a1_each_of_20_logins_has_its_own_state_of_128_bits_or_more(site: Site) -> None:
    states = [site.login()["state"][0] for _ in range(20)]
    assert len(set(states)) == 20
    assert all(re.fullmatch(r"[\w.~-]{22,}", state, re.ASCII) for state in states)


def test_a2_each_login_has_its_own_pkce_challenge_with_method_s256(site: Site) -> None:
    queries = [site.login() for _ in range(3)]
    assert len({query["code_challenge"][0] for query in queries}) == 3
    assert {len(query["code_challenge"][0]) for query in queries} == {43}
    assert [query["code_challenge_method"] for query in queries] == [["S256"]] * 3


def test_a3_each_login_has_its_own_httponly_cookie_for_ten_minutes_at_most(site: Site) -> None:
    lines = [line for _ in range(2) for line in site.cookies("/login")]
    assert len({line.partition("=")[0] for line in lines}) == 2
    for line in lines:
        assert "; HttpOnly" in line
        assert 0 < int(line.partition("; Max-Age=")[2].partition(";")[0]) <= 600


def test_a4_the_authorization_request_takes_no_parameter_from_the_visitor(site: Site) -> None:
    query = site.login(
        "/login?redirect_uri=https://evil.example&client_id=x&scope=y&state=z&response_type=token"
    )
    assert {len(values) for values in query.values()} == {1}
    assert query["response_type"] == ["code"]
    assert query["state"] != ["z"]
    assert query["client_id"] != ["x"]
    assert "evil" not in query["redirect_uri"][0]


def test_a5_all_scopes_are_ones_that_spotify_documents(site: Site) -> None:
    asked = set(site.login()["scope"][0].split())
    assert asked
    assert asked <= SCOPES


def test_b1_a_callback_with_no_state_or_an_unknown_one_is_rejected(site: Site) -> None:
    for query in ("", "code=c"):
        assert site.send(f"/callback?{query}").status_code == 400, query
    for query in ("code=c&state=wrong", "error=access_denied&state=wrong"):
        assert site.attack(query).status_code == 400, query


def test_b2_a_valid_state_from_another_browser_is_rejected(site: Site) -> None:
    reply = site.attack(f"code=c&state={site.login()['state'][0]}")
    assert reply.status_code == 400
    assert "Set-Cookie" not in reply.headers


def test_b7_repeated_empty_long_and_non_ascii_parameters_are_rejected(site: Site) -> None:
    for query in ("state=s&state=s&code=c", "state=s&code=c&code=c", "state=&code=", "state=%C3%A9&code=c"):
        assert site.send(f"/callback?{query}").status_code == 400, query
    assert site.send(f"/callback?state=s&code={'c' * 8192}").status_code in {400, 413, 414}


def test_c1_every_cookie_is_httponly_and_lax_and_secure_on_https(site: Site) -> None:
    for line in site.cookies("/login"):
        assert "; HttpOnly" in line
        assert "; SameSite=Lax" in line
        assert ("; Secure" in line) == site.secure


def test_c2_every_cookie_is_limited_to_this_host(site: Site) -> None:
    for line in site.cookies("/login"):
        assert "; Path=/" in line
        assert "domain=" not in line.lower()
        assert line.startswith("__Host-") == site.secure


def test_e3_a_logout_without_a_valid_cookie_redirects_home(site: Site) -> None:
    for cookie in (None, "__Host-spotify-session=x", "spotify-session=x.y.z", "other=1"):
        reply = site.send("/logout", {"Cookie": cookie} if cookie else {})
        assert reply.status_code == 307, cookie
        assert reply.headers["Location"] == f"{site.url}/"


def test_f1_no_parameter_changes_the_target_of_a_redirect(site: Site) -> None:
    targets = ("//evil.example", "/%5cevil.example", "/%09/evil.example", "https:evil.example", "%0d%0aX:y")
    names = ("next", "redirect_uri", "return_to", "url", "state")
    for query in ("&".join(f"{name}={target}" for name in names) for target in targets):
        for path in ("/login", "/logout", "/"):
            location = site.send(f"{path}?{query}").headers.get("Location", "")
            assert "evil" not in location.partition("?")[0], query


def test_f2_no_header_changes_a_link_or_the_redirect_uri(site: Site) -> None:
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "ftp",
        "X-Forwarded-Uri": "/evil",
        "X-Original-URL": "/evil",
        "Forwarded": "host=evil.example;proto=ftp",
    }
    assert site.login(headers=forged)["redirect_uri"] == site.login()["redirect_uri"]
    assert "evil" not in site.send("/", forged).text
    if not site.secure:  # over https, a forged Host does not reach the app
        assert "evil" not in site.send("/", {"Host": "evil.example"}).text


def test_f4_every_link_and_redirect_has_the_base_path_exactly_once(site: Site) -> None:
    links = {link.partition("?")[0] for link in re.findall(r'<a href="([^"]+)"', site.send("/").text)}
    targets = [*sorted(links), site.send("/logout").headers["Location"], site.login()["redirect_uri"][0]]
    assert targets == [site.url + path for path in ("/login", "/logout", "/", "/callback")]


def test_g1_every_response_requires_https_for_a_year(site: Site) -> None:
    if not site.secure:
        pytest.skip("only over https")
    for path in PATHS:
        header = site.get(path).headers["Strict-Transport-Security"]
        assert int(header.partition("max-age=")[2].partition(";")[0]) >= 31536000


def test_g2_every_response_has_a_policy_that_allows_only_what_the_page_uses(site: Site) -> None:
    for path in PATHS:
        header = site.get(path).headers["Content-Security-Policy"]
        policy = dict(part.strip().split(" ", 1) for part in header.split(";") if " " in part.strip())
        closed = ("default-src", "object-src", "base-uri", "frame-ancestors", "form-action")
        assert {policy.get(name) for name in closed} == {"'none'"}
        assert not re.search(r"unsafe|\*", header)


def test_g3_every_response_is_html_in_utf_8_and_never_another_type(site: Site) -> None:
    assert_headers(site, "Content-Type", "X-Content-Type-Options")


def test_g4_every_response_is_isolated_from_other_sites(site: Site) -> None:
    assert_headers(site, "Referrer-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy")


def test_g5_no_response_is_cached_or_readable_by_another_origin(site: Site) -> None:
    assert_headers(site, "Cache-Control", "Access-Control-Allow-Origin")


def test_h2_no_line_break_in_a_request_reaches_a_response_header(site: Site) -> None:
    for path in ("/", "/login", "/callback", "/logout"):
        for text in ("%0d%0aX-Injected:%20y", "%0aX-Injected:y", "%0dX-Injected:y", "%E5%98%8AX-Injected:y"):
            assert "X-Injected" not in site.send(f"{path}?state={text}&code={text}&moved={text}").headers
    assert site.send("/", {"Cookie": "a=\x0b\x0cb; "}).status_code in {200, 400}


def test_h4_methods_other_than_get_do_nothing(site: Site) -> None:
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        for path in ("/login", "/logout", "/callback?state=s&code=c"):
            reply = site.send(path, method=method)
            assert reply.status_code == 200 or reply.status_code >= 400, method
            assert not {"Set-Cookie", "Location"} & {*reply.headers}, method


def test_l1_a_hostile_return_to_ends_at_the_home_page(site: Site) -> None:
    hostile = (
        "//evil.example",
        "/%5cevil.example",
        "/%09/evil.example",
        "https://evil.example/",
        "/login",
        "/..//x",
    )
    for value in hostile:
        assert site.send(f"/logout?return_to={value}").headers["Location"] == f"{site.url}/", value
        assert "evil" not in site.send(f"/login?return_to={value}").headers["Location"], value


def test_l4_a_return_to_is_completed_with_the_base_path(site: Site) -> None:
    assert site.send("/logout?return_to=/a%3Fb=c").headers["Location"] == f"{site.url}/a?b=c"


def test_l10_an_unlisted_origin_gets_nothing(site: Site) -> None:
    for origin in (FOREIGN, "null", site.url):
        for path in PATHS:
            headers = site.get(path, "application/json", origin).headers
            assert not [name for name in headers if name.lower().startswith("access-control-")], path


def test_l11_every_response_varies_and_errors_can_be_problem_documents(site: Site) -> None:
    for accept in ("text/html", "application/json"):
        for path in PATHS:
            assert site.get(path, accept).headers["Vary"] == "Accept, Origin", path
    problem = site.get("/callback", "application/json")
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert problem.json()["status"] == problem.status_code == 400
