"""Where a login may return to: hostile values, judged by a parser that reads URLs as browsers do."""

from __future__ import annotations

from urllib.parse import unquote

import ada_url
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.return_to import resolve

ORIGIN = "https://login.example.com"
APP = f"{ORIGIN}/api"
FRONTENDS = ("https://app.example.com", "https://app.example.com:8443", "http://127.0.0.1:3000")
HERE = f"{APP}/login"

ACCEPTED = {
    "/": f"{APP}/",
    "/account?tab=2": f"{APP}/account?tab=2",
    "/a/b;c=1/d%20e#part": f"{APP}/a/b;c=1/d%20e#part",
    "/search?q=%2Fa%2f..%5C&next=https://evil.example": f"{APP}/search?q=%2Fa%2f..%5C&next=https://evil.example",
    "/logins": f"{APP}/logins",
    "/login/help": f"{APP}/login/help",
    "https://app.example.com": "https://app.example.com/",
    "https://app.example.com?a=1": "https://app.example.com/?a=1",
    "https://app.example.com/login": "https://app.example.com/login",
    "https://app.example.com:8443/x#y": "https://app.example.com:8443/x#y",
    "http://127.0.0.1:3000/index.html": "http://127.0.0.1:3000/index.html",
    "/artist/Guns%20N'%20Roses": f"{APP}/artist/Guns%20N'%20Roses",
    "/a^b`c{d|e}?f'g^h`i{j|k}#l'm^n`o{p|q}?'": f"{APP}/a%5Eb%60c%7Bd%7Ce%7D?f%27g^h`i{{j|k}}#l'm^n%60o{{p|q}}?'",
    "https://app.example.com/?genre=rock|pop": "https://app.example.com/?genre=rock|pop",
    "https://app.example.com#it's#`": "https://app.example.com/#it's#%60",
    "/" + "a" * 511: f"{APP}/" + "a" * 511,
}

REFUSED = [
    "", "account", "//evil.example", "/\\evil.example", "\\/evil.example", "/\t/evil.example",
    "/\n/evil.example", "/a b", "/é", "/<script>", "/>", '/"', "/?a b", "/?<", "/?>", '/?"', "/?\\", "/?é",
    "/#a b", "/#<", "/#>", '/#"', "/#\\", "/#é", "/./a", "/../a", "/a/..", "/a/..;x/b", "/a%2e%2e/b",
    "/%2e%2e/b", "/a%2Fb", "/a%5cb", "/%61ccount", "/%09/evil.example", "/%00", "/%0d%0aX:y", "/%7F",
    "/%zz", "/%4", "/login", "/login/", "/login//", "/login;x=1", "/login/;x", "/login?again", "/logout#x",
    "/callback?code=c&state=s", "/%6cogin", "/%6Cogin", "/" + "a" * 512, "https:evil.example",
    "https:/evil.example", "https://evil.example", "HTTPS://app.example.com/", "https://APP.example.com/",
    "https://app.example.com.evil.example/", "https://app.example.com@evil.example/",
    "https://app.example.com:443/", "https://app.example.com:8444/",
    "https://app.example.com//evil.example", "https://app.example.com/../x",
    "https://user@app.example.com/", "http://app.example.com/", "http://127.0.0.1:30000/",
    "http://127.0.0.1/", "http://localhost:3000/", "https://login.example.com/account",
    "javascript:alert(1)", "data:text/html,x", "null",
]  # fmt: skip


@pytest.mark.promise("L1", "L4")
@pytest.mark.parametrize("text", ACCEPTED)
def test_a_path_of_the_app_and_a_page_of_a_listed_front_end_are_accepted(text: str) -> None:
    assert resolve(text, APP, FRONTENDS) == ACCEPTED[text]


@pytest.mark.promise("L1", "L5", "L6")
@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_is_refused(text: str) -> None:
    assert resolve(text, APP, FRONTENDS) == ""


PIECES = [
    "/", "//", "\\", "/\\", "\\\\", "/%09/", "\t", "\n", "\r", " ", "\x00", "@", ":", ":443", ":8443", "?",
    "#", ";", ".", "..", "/./", "/../", "%2e", "%2E%2e", "%2f", "%2F", "%5c", "%5C", "%00", "%0d%0a", "%25",
    "%", "%6c", "https:", "HTTPS:", "hTTps://", "http://", "https:/", "javascript:", "data:", "//user@",
    "[::1]", "[::ffff:1.2.3.4]", "evil.example", "EVIL。example", "xn--e1awd7f.example", "login.example.com",
    "app.example.com", ".evil.example", "https://app.example.com", "https://login.example.com",
    "http://127.0.0.1:3000", "127.0.0.1", "localhost", "api", "{", "}", "`", "^", "'", "|", "login",
    "logout", "callback", "Login", "account", "a", "é", "／", "⁄",
]  # fmt: skip


PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]


@pytest.mark.promise("L1")
@pytest.mark.parametrize("start", ["/x", "/?x", "/#x"])
@pytest.mark.parametrize("origin", ["", FRONTENDS[0]], ids=["app", "front-end"])
def test_every_printable_character_but_five_is_accepted(origin: str, start: str) -> None:
    refused = {
        character for character in PRINTABLE if not resolve(origin + start + character, APP, FRONTENDS)
    }
    assert refused - {"%"} == {*' "<>\\'}
    assert ("%" in refused) == (start == "/x"), "a path has complete escapes only"


PARTS = st.lists(st.sampled_from([*PRINTABLE, *PIECES]), max_size=12).map("".join)
STARTS = st.sampled_from(["", "/", *FRONTENDS, *(f"{origin}/" for origin in FRONTENDS)])


@pytest.mark.promise("L1", "L5")
@settings(max_examples=40 * settings().max_examples)
@given(STARTS, PARTS | st.lists(st.sampled_from(PIECES), max_size=7).map("".join))
@example("/\t/evil.example", "")
@example("https://app.example.com", "\\@evil.example")
def test_what_is_accepted_leads_to_what_was_asked_for_at_the_app_or_at_a_listed_front_end(
    start: str, rest: str
) -> None:
    text = start + rest
    target = resolve(text, APP, FRONTENDS)
    if not target:
        return
    asked, seen = ada_url.URL(APP + text if text[0] == "/" else text), ada_url.URL(target)
    assert target == seen.href == ada_url.join_url(HERE, target), "a browser reads it without changing a byte"
    assert (seen.origin, seen.search, seen.hash) == (asked.origin, asked.search, asked.hash)
    assert seen.pathname == asked.pathname.replace("|", "%7C"), "Chromium encodes it, other browsers do not"
    assert (seen.username, seen.password) == ("", "")
    if seen.origin == ORIGIN:
        assert seen.pathname.startswith("/api/")
        route = unquote(seen.pathname.removeprefix("/api").partition(";")[0]).rstrip("/")
        assert route not in {"/login", "/logout", "/callback"}
    else:
        assert seen.origin in FRONTENDS
        assert len(target) > 512 or resolve(target, APP, FRONTENDS) == target
