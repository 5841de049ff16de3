"""`make smoke URL=…`: check the rows of docs/security.md that can be checked from outside, at any URL."""

from __future__ import annotations

import argparse
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import requests

from simulator.spotify import SCOPES

PATHS = ("/", "/login", "/callback", "/logout", "/callback?state=s&code=c")
ATTEMPTS = 200
SPOTIFY = "https://accounts.spotify.com/authorize"
SIMULATED = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/authorize")

Check = Callable[["Site"], None]
ROWS: dict[str, Check] = {}


def row(name: str) -> Callable[[Check], Check]:
    """Register the check of a row. Its docstring is the promise that it checks."""

    def register(check: Check) -> Check:
        ROWS[name] = check
        return check

    return register


@dataclass
class Site:
    """A login server at a URL, accessed from outside and without an account."""

    url: str

    @property
    def secure(self) -> bool:
        """Whether the URL is https."""
        return self.url.startswith("https://")

    def send(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> requests.Response:
        """Send a request without cookies; retry it if it is throttled."""
        for _ in range(20):
            reply = requests.request(
                method, self.url + path, headers=dict(headers or {}), allow_redirects=False, timeout=30
            )
            if reply.status_code != requests.codes.too_many:
                break
            time.sleep(0.5)
        return reply

    def login(self, path: str = "/login", headers: Mapping[str, str] | None = None) -> dict[str, list[str]]:
        """Start a login; returns the query of the authorization request."""
        reply = self.send(path, headers)
        equal(reply.status_code, 307, "status of /login")
        target, _, query = reply.headers["Location"].partition("?")
        expect(target == SPOTIFY or SIMULATED.fullmatch(target), f"/login redirects to {target}")
        return parse_qs(query, keep_blank_values=True)

    def cookies(self, path: str) -> list[str]:
        """The Set-Cookie headers of a response."""
        return list(self.send(path).raw.headers.getlist("Set-Cookie"))


class NotHere(Exception):
    """Raised where a row does not apply to the URL. Its argument is the reason."""


def expect(holds: object, otherwise: str) -> None:
    """Fail a row with a message unless a condition holds."""
    if not holds:
        raise AssertionError(otherwise)


def equal(found: object, wanted: object, what: str) -> None:
    """Fail a row unless two values are equal."""
    expect(found == wanted, f"{what} is {found!r}, not {wanted!r}")


@row("A1")
def state(site: Site) -> None:
    """Each of 200 logins has its own state, of 128 bits or more."""
    states = [site.login()["state"][0] for _ in range(ATTEMPTS)]
    equal(len(set(states)), ATTEMPTS, "number of different states")
    for text in states:
        expect(
            re.fullmatch(r"[\w.~-]{22,}", text, re.ASCII),
            f"the state {text!r} is not 22 or more URL-safe characters",
        )


@row("A2")
def pkce(site: Site) -> None:
    """Each login has its own PKCE challenge, with method S256."""
    queries = [site.login() for _ in range(3)]
    equal(len({query["code_challenge"][0] for query in queries}), 3, "number of different challenges")
    for query in queries:
        equal(len(query["code_challenge"][0]), 43, "length of the challenge")
        equal(query["code_challenge_method"], ["S256"], "code_challenge_method")


@row("A3")
def attempts(site: Site) -> None:
    """Each login is bound to its browser by its own HttpOnly cookie, for ten minutes at most."""
    lines = [line for _ in range(2) for line in site.cookies("/login")]
    names = {line.partition("=")[0] for line in lines}
    equal(len(names), 2, "number of cookies after two logins")
    for line in lines:
        expect("; HttpOnly" in line, "a cookie is not HttpOnly")
        max_age = re.search(r"; Max-Age=(\d+)", line)
        expect(max_age and 0 < int(max_age[1]) <= 600, f"Max-Age is {max_age and max_age[1]}, not 1 to 600")


@row("A4")
def authorization_request(site: Site) -> None:
    """The authorization request has each parameter once, and none from the visitor."""
    query = site.login(
        "/login?redirect_uri=https://evil.example&client_id=x&scope=y&state=z&response_type=token"
    )
    expect(all(len(values) == 1 for values in query.values()), "a parameter is repeated")
    equal(query["response_type"], ["code"], "response_type")
    expect(query["state"] != ["z"] and query["client_id"] != ["x"], "a parameter comes from the visitor")
    expect("evil" not in query["redirect_uri"][0], f"redirect_uri is {query['redirect_uri'][0]}")


@row("A5")
def scopes(site: Site) -> None:
    """All scopes are ones that Spotify documents."""
    asked = set(site.login()["scope"][0].split())
    expect(asked and asked <= SCOPES, f"unknown scopes: {sorted(asked - SCOPES)}")


@row("B1")
def wrong_state(site: Site) -> None:
    """A callback with no state, or with an unknown one, is rejected."""
    for query in ("", "?code=c", "?code=c&state=wrong", "?error=access_denied&state=wrong"):
        equal(site.send(f"/callback{query}").status_code, 400, f"status of /callback{query}")


@row("B2")
def other_browser(site: Site) -> None:
    """A valid state from another browser is rejected."""
    right = site.login()["state"][0]
    reply = site.send(f"/callback?code=c&state={right}")
    equal(reply.status_code, 400, "status of the callback")
    equal(reply.headers.get("Set-Cookie"), None, "Set-Cookie")


@row("B7")
def odd_callbacks(site: Site) -> None:
    """Repeated, empty, long and non-ASCII parameters of the callback are rejected."""
    for query in ("state=s&state=s&code=c", "state=s&code=c&code=c", "state=&code=", "state=%C3%A9&code=c"):
        equal(site.send(f"/callback?{query}").status_code, 400, f"status of /callback?{query}")
    long = site.send(f"/callback?state=s&code={'c' * 8192}").status_code
    expect(long in {400, 413, 414}, f"status of a long code is {long}")


@row("C1")
def cookie_attributes(site: Site) -> None:
    """Every cookie is HttpOnly and SameSite=Lax, and Secure on https."""
    for line in site.cookies("/login"):
        expect("; HttpOnly" in line and "; SameSite=Lax" in line, f"attributes: {line.partition(';')[2]}")
        equal("; Secure" in line, site.secure, "presence of Secure")


@row("C2")
def cookie_names(site: Site) -> None:
    """Every cookie is limited to this host: Path=/, no Domain, and `__Host-` on https."""
    for line in site.cookies("/login"):
        expect("; Path=/" in line and "domain=" not in line.lower(), f"attributes: {line.partition(';')[2]}")
        equal(line.startswith("__Host-"), site.secure, "presence of __Host-")


@row("E3")
def logout_without_session(site: Site) -> None:
    """A logout without a cookie, or with an invalid one, redirects home."""
    for cookie in ("", "__Host-spotify-session=x", "spotify-session=x.y.z", "other=1"):
        reply = site.send("/logout", {"Cookie": cookie} if cookie else {})
        equal(reply.status_code, 307, "status of /logout")
        equal(
            urlsplit(reply.headers["Location"]).path.rstrip("/"),
            urlsplit(site.url).path.rstrip("/"),
            "target of the redirect",
        )


@row("F1")
def redirects(site: Site) -> None:
    """No parameter changes the target of a redirect."""
    for target in (
        "//evil.example",
        "/%5cevil.example",
        "/%09/evil.example",
        "https:evil.example",
        "%0d%0aX:y",
    ):
        for name in ("next", "redirect_uri", "return_to", "url", "state"):
            for path in ("/login", "/logout", "/"):
                location = site.send(f"{path}?{name}={target}").headers.get("Location", "")
                expect(
                    "evil" not in location.partition("?")[0],
                    f"{path}?{name}={target} redirects to {location}",
                )


@row("F2")
def forged_hosts(site: Site) -> None:
    """No header changes a link or the redirect URI."""
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "ftp",
        "X-Forwarded-Uri": "/evil",
        "X-Original-URL": "/evil",
        "Forwarded": "host=evil.example;proto=ftp",
    }
    usual = site.login()["redirect_uri"]
    equal(site.login(headers=forged)["redirect_uri"], usual, "redirect_uri")
    expect("evil" not in site.send("/", forged).text, "the home page has a forged link")
    if not site.secure:  # over https, a forged Host does not reach the app
        expect("evil" not in site.send("/", {"Host": "evil.example"}).text, "a forged Host changed a link")


@row("F4")
def prefix(site: Site) -> None:
    """Every link and redirect has the base path of the URL exactly once."""
    links = {link.partition("?")[0] for link in re.findall(r'<a href="([^"]+)"', site.send("/").text)}
    targets = [*sorted(links), site.send("/logout").headers["Location"], site.login()["redirect_uri"][0]]
    own = site.url.rstrip("/")
    for target, path in zip(targets, ("/login", "/logout", "/", "/callback"), strict=True):
        equal(target, own + path, "a link")


@row("G1")
def hsts(site: Site) -> None:
    """On https, every response requires https for a year."""
    if not site.secure:
        raise NotHere("only over https")
    for path in PATHS:
        header = site.send(path).headers.get("Strict-Transport-Security", "")
        max_age = re.search(r"max-age=(\d+)", header)
        expect(max_age and int(max_age[1]) >= 31536000, f"Strict-Transport-Security of {path} is {header!r}")


@row("G2")
def csp(site: Site) -> None:
    """Every response has a content security policy that allows only what the page uses."""
    for path in PATHS:
        header = site.send(path).headers.get("Content-Security-Policy", "")
        policy = dict(part.strip().split(" ", 1) for part in header.split(";") if " " in part.strip())
        for name in ("default-src", "object-src", "base-uri", "frame-ancestors", "form-action"):
            equal(policy.get(name), "'none'", f"{name} of {path}")
        expect("unsafe" not in header and "*" not in header, f"the policy of {path} is too wide: {header}")


@row("G3")
def content_type(site: Site) -> None:
    """Every response is HTML in UTF-8, and forbids browsers from guessing another type."""
    for path in PATHS:
        headers = site.send(path).headers
        equal(headers.get("Content-Type"), "text/html; charset=utf-8", f"Content-Type of {path}")
        equal(headers.get("X-Content-Type-Options"), "nosniff", f"X-Content-Type-Options of {path}")


@row("G4")
def isolation(site: Site) -> None:
    """Every response is isolated from other sites, and sends them no referrer."""
    wanted = {
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    for path in PATHS:
        headers = site.send(path).headers
        for name, value in wanted.items():
            equal(headers.get(name), value, f"{name} of {path}")


@row("G5")
def caching(site: Site) -> None:
    """No response is cached, and no other origin can read one."""
    for path in PATHS:
        headers = site.send(path, {"Origin": "https://evil.example"}).headers
        equal(headers.get("Cache-Control"), "no-store", f"Cache-Control of {path}")
        equal(headers.get("Access-Control-Allow-Origin"), None, f"Access-Control-Allow-Origin of {path}")


@row("H2")
def header_injection(site: Site) -> None:
    """No line break in a request reaches a response header."""
    for path in ("/", "/login", "/callback", "/logout"):
        for text in ("%0d%0aX-Injected:%20y", "%0aX-Injected:y", "%0dX-Injected:y", "%E5%98%8AX-Injected:y"):
            reply = site.send(f"{path}?state={text}&code={text}&moved={text}")
            expect("X-Injected" not in reply.headers, f"{path} puts {text} into a header")
    response = raw(
        site, "GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: a=\x0b\x0cb; \r\nConnection: close\r\n\r\n"
    )
    expect(response.startswith(b"HTTP/1."), "a malformed Cookie header gets no HTTP response")


@row("H4")
def methods(site: Site) -> None:
    """Methods other than GET do nothing."""
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        for path in ("/login", "/logout", "/callback?state=s&code=c"):
            reply = site.send(path, method=method)
            status = reply.status_code
            expect(status == requests.codes.ok or 400 <= status < 600, f"{method} {path} returns {status}")
            equal(reply.headers.get("Set-Cookie"), None, f"Set-Cookie of {method} {path}")
            equal(reply.headers.get("Location"), None, f"Location of {method} {path}")


def raw(site: Site, request: str) -> bytes:
    """Send bytes that no client library would send; returns the beginning of the response."""
    parts = urlsplit(site.url)
    host = parts.hostname or ""
    with socket.create_connection((host, parts.port or (443 if site.secure else 80)), timeout=10) as plain:
        connection = plain
        if site.secure:
            connection = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        text = request.format(path=f"{parts.path}/", host=parts.netloc)
        connection.sendall(text.encode("latin-1"))
        return connection.recv(1024)


def main() -> int:
    """Check a URL; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("url", help="the URL of the home page, such as http://127.0.0.1:5000")
    url = parser.parse_args().url.rstrip("/")
    try:
        Site(url).send("/")
    except (requests.RequestException, OSError):
        print(
            f"{url}/ did not respond.\nStart the app:\n    make run\nOr check another URL:\n    make smoke URL=https://…"
        )
        return 2
    return 1 if check(url) else 0


def check(url: str) -> list[str]:
    """Check all rows at a URL and print the results; returns the names of the rows that fail."""
    site = Site(url)
    failed, elsewhere = [], 0
    for name, holds in ROWS.items():
        promise = (holds.__doc__ or "").partition("\n")[0]
        try:
            holds(site)
        except NotHere as reason:
            elsewhere += 1
            print(f"-     {name}  {promise} ({reason})", flush=True)
        except (AssertionError, KeyError, requests.RequestException, OSError) as failure:
            failed.append(name)
            print(f"FAIL  {name}  {promise}\n          {type(failure).__name__}: {failure}", flush=True)
        else:
            print(f"ok    {name}  {promise}", flush=True)
    holding = len(ROWS) - len(failed) - elsewhere
    print(f"{len(ROWS)} rows at {site.url}: {holding} pass, {elsewhere} not applicable, {len(failed)} fail.")
    return failed


if __name__ == "__main__":
    sys.exit(main())
