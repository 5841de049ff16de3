"""After the login: returning, who is logged in as JSON, front ends, protected routes. Through API Gateway."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import pytest
from chalice import Chalice

from chalicelib.cookies import Seal, encode
from chalicelib.login import COOKIE, MOST, Attempt, Attempts
from tests.support.gateway import DOMAIN, STAGE_URL, GatewayVisitor, event, reply_of
from tests.support.table import Table
from tests.support.visitor import Reply
from tests.support.world import SECRET_KEY
from tests.unit.test_chalice import forked

FRONTEND = "https://app.example.com"
JSON = {"Accept": "application/json"}
SAME_SITE = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
LINK = {**SAME_SITE, "Referer": f"{FRONTEND}/"}


PROTECTED = "/items/7?tab=a%20b"
"""A page for logged-in users only."""


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONTEND_ORIGINS", f"{FRONTEND},https://other.example.com:8443")


def aged(cookie: str) -> str:
    """A session cookie as if its login had been a minute earlier."""
    seal = Seal("session", [SECRET_KEY])
    fields = seal.open(cookie)
    assert fields
    *fields, login_time, issued = fields
    return seal.sign(*fields, str(int(login_time) - 60), issued)


class TestReturning:
    @pytest.mark.promise("L1", "L4")
    @pytest.mark.parametrize(
        ("return_to", "target"),
        [
            ("/account?tab=2", f"{STAGE_URL}/account?tab=2"),
            (f"{FRONTEND}/a?b=c#d", f"{FRONTEND}/a?b=c#d"),
            ("/artist/Guns%20N'%20Roses?q={it's|}", f"{STAGE_URL}/artist/Guns%20N'%20Roses?q={{it%27s|}}"),
            (f"{FRONTEND}/a|b^?genre=rock|pop#`", f"{FRONTEND}/a%7Cb%5E?genre=rock|pop#%60"),
            ("//evil.example", f"{STAGE_URL}/"),
            ("/logout", f"{STAGE_URL}/"),
            ("/a&return_to=/b", f"{STAGE_URL}/"),
        ],
    )
    def test_a_login_and_its_reloaded_callback_return_to_where_it_was_asked_to(
        self, visitor: GatewayVisitor, return_to: str, target: str
    ) -> None:
        begun = visitor.get(f"/login?return_to={quote(return_to, safe='&=/')}")
        callback = visitor.agree(begun.location)
        assert visitor.get(callback).location == visitor.get(callback).location == target

    @pytest.mark.promise("L3")
    def test_a_refused_page_is_logged_without_its_value_and_the_login_goes_on(
        self, visitor: GatewayVisitor, log: list[dict[str, Any]]
    ) -> None:
        visitor.get(visitor.agree(visitor.get("/login?return_to=https://evil.example/").location))
        assert [line.get("detail") for line in log] == ["return_to_refused", None]
        assert "evil" not in json.dumps(log)

    @pytest.mark.promise("L1")
    def test_the_page_is_judged_again_at_the_end_of_the_login_and_for_each_link(
        self, visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = [visitor.get(f"/login?return_to={FRONTEND}/").location for _ in range(2)]
        monkeypatch.setenv("FRONTEND_ORIGINS", "")
        assert visitor.get(visitor.agree(begun[0])).location == f"{STAGE_URL}/"
        assert f"{STAGE_URL}/login" in visitor.get(visitor.cancel(begun[1])).links

    @pytest.mark.promise("L3")
    def test_the_page_is_only_in_the_attempts_cookie(
        self, visitor: GatewayVisitor, log: list[dict[str, Any]]
    ) -> None:
        begun = visitor.get("/login?return_to=/a-page-of-mine")
        assert "a-page-of-mine" not in begun.location
        callback = visitor.agree(begun.location)
        assert "a-page-of-mine" not in callback
        visitor.get(callback)
        assert encode("/a-page-of-mine") not in visitor.cookies["__Host-spotify-session"]
        assert "a-page-of-mine" not in json.dumps(log)

    def test_a_logout_returns_to_where_it_was_asked_to(self, visitor: GatewayVisitor) -> None:
        visitor.log_in()
        assert visitor.get(f"/logout?return_to={FRONTEND}/bye").location == f"{FRONTEND}/bye"
        assert visitor.get("/logout?return_to=//evil.example").location == f"{STAGE_URL}/"

    @pytest.mark.promise("E4")
    @pytest.mark.parametrize("path", ["/login", "/logout"])
    def test_a_page_that_asks_leads_either_way_to_a_listed_front_end_but_to_no_page_of_the_app(
        self, visitor: GatewayVisitor, path: str
    ) -> None:
        """The page's links are the app's own, so a page that another site chose would seem to be chosen by the user."""
        visitor.log_in()
        foreign = {"Sec-Fetch-Site": "cross-site"}
        moved = visitor.get(f"{path}?return_to={FRONTEND}/bye", foreign).location
        go_on, cancel = visitor.get(moved, foreign).links
        assert cancel == f"{FRONTEND}/bye"
        assert go_on.endswith(f"return_to={quote(cancel, safe='')}")
        for asked in (f"{path}?return_to=/delete?id=7", f"{path}?ask=1&return_to=/delete?id=7"):
            reply = visitor.get(asked, foreign)
            reply = visitor.get(reply.location, foreign) if reply.status == 307 else reply
            go_on, cancel = reply.links
            assert cancel == f"{STAGE_URL}/"
            assert "delete" not in go_on
        ended = visitor.get(go_on)
        if path == "/logout":
            assert ended.location == f"{STAGE_URL}/"
        else:
            assert visitor.get(visitor.agree(ended.location)).location == f"{STAGE_URL}/"

    @pytest.mark.promise("L6")
    def test_five_attempts_of_the_longest_length_fit_into_the_headers(self, visitor: GatewayVisitor) -> None:
        now = str(int(time.time()))
        longest = Seal("session", [SECRET_KEY]).sign(encode("k" * 2048), "l" * 22, "s" * 16, now, now)
        visitor.cookies["__Host-spotify-session"] = longest
        for number in range(MOST):
            begun = visitor.get("/login?return_to=" + quote(f"/?{number}".ljust(512, "'"))).location
        header = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        assert len([name for name in visitor.cookies if COOKIE in name]) == MOST
        target = visitor.get(visitor.agree(begun)).location
        assert len(target) == len(f"{STAGE_URL}/?0") + 3 * 509, "each ' is encoded"
        assert 6000 < len(header) < 7200
        assert len(header) + len(target) < 10_240 - 1500, (
            "API Gateway's limit, less a browser's other headers"
        )


class TestWhoAmI:
    @pytest.mark.promise("L9")
    def test_json_has_four_fields_of_the_user_and_the_end_of_the_session(
        self, visitor: GatewayVisitor
    ) -> None:
        visitor.log_in()
        document = json.loads(visitor.get("/", JSON).text)
        assert set(document) == {"user", "session_ends"}
        assert set(document["user"]) == {"account_id", "id", "display_name", "picture"}
        assert document["user"]["id"] == "pia.premium"
        ends = time.mktime(time.strptime(document["session_ends"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        assert abs(ends - time.time() - 7 * 24 * 3600) < 10

    @pytest.mark.parametrize(
        ("accept", "is_json"),
        [
            ("APPLICATION/JSON;q=0.9, */*", True),
            ("application/json, text/html", False),
            ("text/*, application/json ; Q=0.000", False),
            ("application/json;q=0.001", True),
            ("application/json, text/html;q=0", True),
            ("application/jsonx", False),
            ("", False),
        ],
    )
    def test_only_a_request_that_asks_for_json_and_not_for_html_gets_it(
        self, visitor: GatewayVisitor, accept: str, is_json: bool
    ) -> None:
        assert visitor.get("/", {"Accept": accept}).text.startswith("{") == is_json

    @pytest.mark.promise("D7", "L14")
    def test_an_ended_session_is_explained_until_the_next_login(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        sentence = "Your session has ended"
        assert sentence not in visitor.get("/").words
        visitor.log_in()
        (item,) = table.items()
        table.delete(item["account_id"]["S"])
        for _ in range(2):
            reply = visitor.get("/")
            assert sentence in reply.words
            assert reply.user_id == "None"
            assert reply.set_cookies == []
        assert json.loads(visitor.get("/", JSON).text) == {"user": None, "ended": True}
        assert "/authorize?" in visitor.get("/login", {"Sec-Fetch-Site": "cross-site"}).location, "not asked"
        visitor.log_in()
        assert sentence not in visitor.get("/").words

    @pytest.mark.promise("L14")
    def test_a_forged_cookie_is_not_explained_and_causes_no_read_of_the_table(
        self, visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("USERS_TABLE", "missing")
        forged = Seal("session", ["another key of sufficient length, but another"])
        now = str(int(time.time()))
        visitor.cookies["__Host-spotify-session"] = forged.sign(encode("x"), "login", "session", now, now)
        assert "Your session has ended" not in visitor.get("/").words
        assert visitor.get("/", JSON).text == '{"user": null}'

    @pytest.mark.promise("L11")
    def test_an_error_is_a_problem_document_with_the_pages_status_and_reason(
        self, visitor: GatewayVisitor, log: list[dict[str, Any]]
    ) -> None:
        page, problem = visitor.get("/callback?code=c&state=s"), visitor.get("/callback?code=c&state=s", JSON)
        document = json.loads(problem.text)
        assert set(document) == {"type", "title", "status", "detail", "reason", "reference"}
        assert document["status"] == problem.status == page.status == 400
        assert document["reason"] == "login_unknown" == log[-1]["reason"]
        assert document["reference"] == log[-1]["request_id"]
        assert document["title"] == "Bad Request", "RFC 9457 §4.2.1: about:blank has the title of the status"

    @pytest.mark.promise("L11")
    def test_a_fetch_from_a_listed_front_end_can_read_why_it_failed_and_a_navigation_gets_a_page(
        self, visitor: GatewayVisitor
    ) -> None:
        for destination, content_type, reader in (
            ("empty", "application/problem+json", FRONTEND),
            ("document", "text/html; charset=utf-8", None),
        ):
            headers = {"Accept": "*/*", "Origin": FRONTEND, "Sec-Fetch-Dest": destination}
            reply = visitor.get("/callback", headers)
            assert (reply.status, reply.headers["content-type"]) == (400, content_type)
            assert reply.headers.get("access-control-allow-origin") == reader


class TestFrontEnds:
    @pytest.mark.promise("L10")
    def test_a_listed_front_end_may_read_json_and_errors_with_credentials_but_no_pages(
        self, visitor: GatewayVisitor
    ) -> None:
        for path in ("/", "/callback"):
            headers = visitor.get(path, {**JSON, "Origin": FRONTEND}).headers
            assert headers["access-control-allow-origin"] == FRONTEND
            assert headers["access-control-allow-credentials"] == "true"
        assert "access-control-allow-origin" not in visitor.get("/", {"Origin": FRONTEND}).headers

    @pytest.mark.promise("L10")
    @pytest.mark.parametrize(
        "origin",
        [
            "null",
            "*",
            "https://app.example.com:8443",
            "https://APP.example.com",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            f"{FRONTEND},https://other.example.com:8443",
            STAGE_URL.removesuffix("/api"),
        ],
    )
    def test_any_other_origin_gets_nothing(self, visitor: GatewayVisitor, origin: str) -> None:
        headers = visitor.get("/", {**JSON, "Origin": origin}).headers
        assert not [name for name in headers if name.startswith("access-control")]

    @pytest.mark.promise("L10")
    @pytest.mark.parametrize(
        "origins",
        [
            "*",
            "https://app.example.com/",
            "http://app.example.com",
            "http://127.0.0.1:3000",
            f"{FRONTEND},https://other.example.com/x",
            "https://localhost",
            "https://a.0x7f",
            STAGE_URL.removesuffix("/api"),
        ],
    )
    def test_an_unusable_origin_is_a_configuration_error_that_names_the_setting(
        self,
        visitor: GatewayVisitor,
        monkeypatch: pytest.MonkeyPatch,
        log: list[dict[str, Any]],
        origins: str,
    ) -> None:
        monkeypatch.setenv("FRONTEND_ORIGINS", origins)
        reply = visitor.get("/", {**JSON, "Origin": origins})
        assert (reply.status, log[-1]["settings"]) == (500, ["FRONTEND_ORIGINS"])
        assert "access-control-allow-origin" not in reply.headers

    @pytest.mark.promise("E4", "L12")
    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": f"https://{DOMAIN}"},
            {"Referer": f"{STAGE_URL}/"},
            LINK,
            {**SAME_SITE, "Origin": FRONTEND},
        ],
    )
    def test_a_link_of_the_app_or_a_listed_front_end_or_a_typed_address_logs_in_or_out_at_once(
        self, visitor: GatewayVisitor, headers: dict[str, str]
    ) -> None:
        visitor.log_in()
        assert "/authorize?" in visitor.get("/login", headers).location
        assert visitor.get("/logout", headers).location == f"{STAGE_URL}/"
        assert visitor.see_id() == "None"

    @pytest.mark.promise("E4", "L12")
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            SAME_SITE,
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "cross-site", "Referer": f"{STAGE_URL}/"},
            {"Origin": "https://evil.example"},
            {"Referer": "https://evil.example/page"},
            {"Referer": f"https://{DOMAIN}.evil.example/"},
            {"Referer": f"{STAGE_URL}/", "Origin": "https://evil.example"},
            {"Referer": f"{FRONTEND}/"},
            {**LINK, "Origin": "https://sibling.example.com"},
            {**LINK, "Sec-Fetch-Site": "cross-site"},
            {**LINK, "Sec-Fetch-Dest": "iframe"},
            {**LINK, "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "no-cors"},
            {**LINK, "Referer": "https://app.example.com@evil.example/"},
        ],
    )
    def test_anything_else_from_elsewhere_is_asked_before_a_logout_or_another_login(
        self, visitor: GatewayVisitor, table: Table, headers: dict[str, str]
    ) -> None:
        visitor.log_in()
        for path in ("/login", "/logout") if headers else ("/logout",):
            moved = visitor.get(path, headers)
            assert (moved.status, moved.location, moved.set_cookies) == (307, f"{STAGE_URL}{path}?ask=1", [])
            for reloaded in (headers, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}):
                reply = visitor.get(moved.location, reloaded)
                assert (reply.status, reply.set_cookies) == (200, []), "it also asks when it is reloaded"
        assert "Log out?" in reply.words
        assert visitor.see_id() == "pia.premium"
        (link,) = [link for link in reply.links if "logout" in link]
        visitor.get(f"{link}x", headers)
        assert len(table.items()) == 1, "the link carries a token"
        visitor.get(link, headers)
        assert table.items() == [], "which confirms, whatever the browser says about the request"


class TestProtectedRoutes:
    @pytest.fixture
    def account(self, visitor: GatewayVisitor) -> Chalice:
        """The app with a protected route, with a parameter in its path, as a fork would add it."""
        return forked()

    def send(
        self,
        fork: Chalice,
        visitor: GatewayVisitor,
        method: str = "GET",
        path: str = PROTECTED,
        **headers: str,
    ) -> Reply:
        cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        headers |= {"Cookie": cookies} if cookies else {}
        return reply_of(fork(event(path, headers, route="/items/{number}", method=method), None))

    @pytest.mark.promise("L7", "L15")
    @pytest.mark.parametrize(
        ("path", "back"),
        [
            ("/items/7?tab=a%20b", "/items/7?tab=a+b"),
            ("/items/a%20b", "/items/a%20b"),
            ("/items/%C3%A9?tab=1|2", "/items/%C3%A9?tab=1%7C2"),
        ],
    )
    def test_a_visitor_logs_in_and_returns_to_the_protected_page(
        self, account: Chalice, visitor: GatewayVisitor, path: str, back: str
    ) -> None:
        away = self.send(account, visitor, path=path)
        assert away.status == 307
        assert away.location == f"{STAGE_URL}/login?return_to={quote(back, safe='')}"
        assert (
            visitor.get(visitor.agree(visitor.get(away.location).location)).location == f"{STAGE_URL}{back}"
        )
        shown = self.send(account, visitor, path=path).text
        assert shown == self.send(account, visitor, path=back).text
        assert shown.endswith(" of pia.premium")

    @pytest.mark.promise("L7")
    @pytest.mark.parametrize(
        ("method", "headers"),
        [
            ("GET", {"Sec-Fetch-Dest": "image"}),
            ("GET", {"Accept": "application/json"}),
            ("POST", {"Sec-Fetch-Dest": "document"}),
        ],
    )
    def test_anything_but_a_navigation_gets_401_and_begins_no_attempt(
        self, account: Chalice, visitor: GatewayVisitor, method: str, headers: dict[str, str]
    ) -> None:
        reply = self.send(account, visitor, method, **headers)
        assert (reply.status, reply.headers["www-authenticate"], reply.set_cookies) == (401, "Cookie", [])
        assert "return_to" not in reply.text, "a login would return with GET"

    @pytest.mark.promise("L8")
    @pytest.mark.parametrize("waiting", [0, 1, MOST])
    @pytest.mark.parametrize("key", [SECRET_KEY, "the key of another instance of this app"])
    def test_a_login_that_does_not_stick_ends_in_a_page_among_any_number_of_open_logins(
        self,
        account: Chalice,
        visitor: GatewayVisitor,
        log: list[dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        waiting: int,
        key: str,
    ) -> None:
        for _ in range(waiting):
            visitor.begin()
        for path in (f"{PROTECTED}&moved=1", PROTECTED):
            away = self.send(account, visitor, path=path)
            assert away.status == 307
            monkeypatch.setenv("SECRET_KEY", key)
            visitor.get(visitor.agree(visitor.get(away.location).location))
            monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
            del visitor.cookies["__Host-spotify-session"]
        assert self.send(account, visitor, path=f"{PROTECTED}&moved=1").status == 401
        end = self.send(account, visitor)
        assert (end.status, log[-1]["reason"]) == (401, "login_loops")
        assert "You are still not logged in" in end.words

    @pytest.mark.promise("L8")
    def test_ten_tabs_of_protected_pages_all_end_at_their_pages(
        self, account: Chalice, visitor: GatewayVisitor
    ) -> None:
        pages = [f"/account/{number}" for number in range(10)]
        urls = [visitor.get(f"/login?return_to={page}").location for page in pages]
        callbacks = [visitor.agree(url) for url in urls]
        early = visitor.get(callbacks[0])
        assert (early.status, early.links[-1]) == (400, f"{STAGE_URL}/login?return_to=%2Faccount%2F0")
        assert "newer logins in this browser replaced it" in early.words
        for page, callback in reversed([*zip(pages, callbacks, strict=True)]):
            assert visitor.get(callback).location == STAGE_URL + page

    @pytest.mark.promise("L8")
    def test_a_replaced_login_with_another_account_is_not_taken_for_one_that_succeeded(
        self, visitor: GatewayVisitor
    ) -> None:
        visitor.log_in("premium")
        visitor.cookies["__Host-spotify-session"] = aged(visitor.cookies["__Host-spotify-session"])
        url = visitor.get("/login?return_to=/account&show_dialog=true").location
        for number in range(MOST):
            visitor.get(f"/login?return_to=/tab/{number}")
        reply = visitor.get(visitor.agree(url, "development"))
        assert reply.status == 400
        assert "newer logins in this browser replaced it" in reply.words

    @pytest.mark.promise("L8")
    def test_pages_are_remembered_as_long_as_any_attempt_that_replaced_theirs(
        self, visitor: GatewayVisitor
    ) -> None:
        urls = [visitor.get(f"/login?return_to=/tab/{number}").location for number in range(MOST)]
        visitor.log_in()
        for _ in range(2 * MOST):
            visitor.begin()
        visitor.log_in()
        assert visitor.get(visitor.agree(urls[0])).location == f"{STAGE_URL}/tab/0"

    @pytest.mark.promise("L8")
    def test_pages_that_do_not_fit_are_forgotten_and_the_headers_stay_small(
        self, visitor: GatewayVisitor
    ) -> None:
        urls = [
            visitor.get(f"/login?return_to=/{number}".ljust(200 + number * 40, "x")).location
            for number in range(10)
        ]
        assert sum(len(value) for value in visitor.cookies.values()) < MOST * 900
        visitor.log_in()
        replies = [visitor.get(visitor.agree(url)) for url in urls]
        assert replies[-1].status == 307
        assert 400 in [reply.status for reply in replies], "the oldest were dropped with their pages"

    @pytest.mark.promise("L8")
    def test_cancelling_or_logging_out_twice_is_no_loop(
        self, account: Chalice, visitor: GatewayVisitor
    ) -> None:
        for _ in range(2):
            visitor.get(visitor.cancel(visitor.get(self.send(account, visitor).location).location))
        for _ in range(2):
            visitor.get(visitor.agree(visitor.get(self.send(account, visitor).location).location))
            assert self.send(account, visitor).status == 200
            visitor.get("/logout")
        assert self.send(account, visitor).status == 307

    @pytest.mark.promise("L8")
    def test_two_finished_logins_long_ago_are_no_loop(
        self, account: Chalice, visitor: GatewayVisitor
    ) -> None:
        seal = Seal(Attempts.PURPOSE, [SECRET_KEY])
        for number in range(2):
            attempt = Attempt(f"{number:022}.{int(time.time()) - 40}", "", "0" * 16, "/items/7?tab=a+b")
            value = seal.sign(attempt.state, "", attempt.spent_on, encode(attempt.return_to))
            visitor.cookies[f"__Host-{COOKIE}0000000{number}"] = value
        assert self.send(account, visitor).status == 307
