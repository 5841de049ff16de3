"""The four routes, through API Gateway."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import requests

from chalicelib.cookies import Seal, encode
from simulator.spotify import SCOPES, Application
from tests.support.gateway import STAGE_URL, GatewayVisitor, event, invoke
from tests.support.table import Table
from tests.support.visitor import query_of
from tests.support.world import SECRET_KEY

SESSION = "__Host-spotify-session"
ATTEMPT = "__Host-spotify-login-"
DAY = 24 * 60 * 60


def session_cookie(
    account_key: str, login_id: str, login_age: int, cookie_age: int, key: str = SECRET_KEY
) -> str:
    """A session cookie that the app issued `cookie_age` seconds ago, after a login `login_age` seconds ago."""
    now = int(time.time())
    fields = (login_id, "session-of-test", str(now - login_age), str(now - cookie_age))
    return Seal("session", [key]).sign(encode(account_key), *fields)


def login_of(table: Table) -> tuple[str, str]:
    """The account key and login ID of the only stored user."""
    (item,) = table.items()
    return item["account_id"]["S"], item["login_id"]["S"]


@pytest.fixture
def token_requests(spotify: str) -> Callable[[], int]:
    """A function that counts the token requests to Spotify since the test started."""

    def count() -> int:
        counts = requests.get(f"{spotify}/_simulator/asked", timeout=30).json()
        return int(counts.get("POST /api/token", 0))

    before = count()
    return lambda: count() - before


class TestHome:
    @pytest.mark.promise("L9")
    def test_the_home_page_shows_none_with_nothing_configured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET", "SECRET_KEY", "USERS_TABLE"):
            monkeypatch.delenv(name, raising=False)
        reply = invoke(event("/"))
        assert reply.status == 200
        assert "User ID: None" in reply.text
        assert reply.links == [f"{STAGE_URL}/login", f"{STAGE_URL}/logout"]
        document = invoke(event("/", {"Accept": "application/json"}))
        assert (document.headers["content-type"], document.text) == ("application/json", '{"user": null}')

    def test_the_home_page_shows_when_the_session_ends_and_what_is_stored(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        visitor.log_in("premium")
        (item,) = table.items()
        stored = {"id": "pia.premium", "display_name": "Pia Premium", "email": "p@x", "<new>_field": 1}
        table.put({**item, "profile": {"S": json.dumps(stored)}})
        visitor.cookies[SESSION] = session_cookie(*login_of(table), 25 * DAY, 0)
        reply = visitor.get("/")
        assert (reply.user_id, "Pia Premium" in reply.words) == ("pia.premium", True)
        end = datetime.fromisoformat(re.findall(r'<time datetime="([^"]+)"', reply.text)[0])
        assert abs(end.timestamp() - time.time() - 5 * DAY) < 10, "30 days after the login"
        assert f">{end.day} {end:%B %Y}</time>" in reply.text
        fields = re.findall("<li>(.*)</li>", reply.text)
        assert fields == ["Spotify ID", "name", "e-mail address", "&lt;new&gt;_field"]
        (shown,) = re.findall("(?s)<pre>(.*?)</pre>", reply.text)
        assert json.loads(html.unescape(shown)) == stored
        noindex = '<meta name="robots" content="noindex">'
        assert noindex in reply.text
        assert noindex not in GatewayVisitor().get("/").text, "search engines may list it"

    @pytest.mark.promise("G2")
    def test_a_picture_is_allowed_and_shown_only_from_spotify_or_the_simulator_in_use(
        self, visitor: GatewayVisitor, spotify: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        visitor.log_in("premium")
        reply = visitor.get("/")
        assert f'src="{spotify}/_simulator/pictures/pia.svg"' in reply.text
        allowed = "data: https://i.scdn.co https://platform-lookaside.fbsbx.com"
        assert f"img-src {allowed} {spotify};" in reply.headers["content-security-policy"]
        monkeypatch.delenv("SPOTIFY_API_URL")
        reply = visitor.get("/")
        assert reply.user_id == "pia.premium"
        assert '<img class="picture"' not in reply.text
        assert f"img-src {allowed};" in reply.headers["content-security-policy"]
        assert spotify not in str(reply.headers)

    @pytest.mark.promise("H1")
    def test_names_from_spotify_are_escaped(self, visitor: GatewayVisitor) -> None:
        visitor.log_in("odd")
        reply = visitor.get("/")
        assert reply.user_id == "<b>\"'&#?/%+ 🎧"
        assert "<b>" not in reply.text
        assert "<script" not in reply.text
        assert "<img" not in reply.text.replace('<img src="data:', "")

    @pytest.mark.promise("D3", "D4")
    @pytest.mark.parametrize(
        ("login_age", "cookie_age", "user_id", "reissued_for"),
        [
            (0, 0, "pia.premium", []),
            (20 * DAY, DAY - 60, "pia.premium", []),
            (6 * DAY, 6 * DAY, "pia.premium", [7 * DAY]),
            (29 * DAY, 2 * DAY, "pia.premium", [DAY]),
            (7 * DAY, 7 * DAY, "None", []),
            (30 * DAY, 0, "None", []),
        ],
    )
    def test_a_session_ends_after_7_idle_days_or_30_days_after_the_login_and_its_cookie_is_reissued_once_a_day(
        self,
        visitor: GatewayVisitor,
        table: Table,
        login_age: int,
        cookie_age: int,
        user_id: str,
        reissued_for: list[int],
    ) -> None:
        visitor.log_in()
        visitor.cookies[SESSION] = session_cookie(*login_of(table), login_age, cookie_age)
        reply = visitor.get("/")
        assert reply.user_id == user_id
        ages = [int(line.partition("Max-Age=")[2].partition(";")[0]) for line in reply.set_cookies]
        assert ages == pytest.approx(reissued_for, abs=5)

    @pytest.mark.promise("D3")
    @pytest.mark.parametrize(
        "change",
        [
            {"expires_at": {"N": "1795478400"}},
            {"expires_at": {"S": "soon"}},
            {"expires_at": {"N": "1.5"}},
            {"login_id": {"N": "7"}},
            {"profile": {"S": "{}"}},
            {"profile": {"S": "not JSON"}},
        ],
    )
    def test_an_expired_item_or_one_of_another_version_counts_as_logged_out(
        self, visitor: GatewayVisitor, table: Table, change: dict[str, Any]
    ) -> None:
        visitor.log_in()
        (item,) = table.items()
        table.put({**item, **change})
        reply = visitor.get("/")
        assert reply.user_id == "None"
        assert reply.set_cookies == [], "the cookie is not cleared"

    def test_several_cookie_headers_are_read_as_one(self, visitor: GatewayVisitor) -> None:
        visitor.log_in()
        sent = event("/", {"Cookie": "other=1"})
        sent["multiValueHeaders"] = {
            "cookie": ["a=1", f"{SESSION}={visitor.cookies[SESSION]}", "bad cookie here"]
        }
        assert invoke(sent).user_id == "pia.premium"

    @pytest.mark.promise("C3", "C7")
    @pytest.mark.parametrize(
        "malformed",
        [
            "{name}={value}; {name}={value}",
            "\u2000{name}={value}",
            "spotify-session={value}",
            '{name}="{value}"',
        ],
    )
    def test_a_duplicate_or_misspelled_session_cookie_is_ignored(
        self, visitor: GatewayVisitor, malformed: str
    ) -> None:
        visitor.log_in()
        cookie = malformed.format(name=SESSION, value=visitor.cookies[SESSION])
        assert visitor.get("/", {"Cookie": cookie}).user_id == "None"


class TestLogin:
    @pytest.mark.promise("A2", "A4", "A5")
    def test_a_login_requests_17_scopes_with_state_and_challenge_and_takes_no_parameter_from_its_query(
        self, visitor: GatewayVisitor
    ) -> None:
        query = query_of(
            visitor.get("/login?redirect_uri=https://evil.example&client_id=x&scope=y&state=z").location
        )
        assert len(query.pop("state")) == 33
        assert len(query.pop("code_challenge")) == 43
        scopes = query.pop("scope").split()
        assert len(scopes) == 17
        assert set(scopes) == SCOPES - {"app-remote-control", "streaming"}
        assert query == {
            "client_id": Application.client_id,
            "response_type": "code",
            "redirect_uri": f"{STAGE_URL}/callback",
            "code_challenge_method": "S256",
        }

    @pytest.mark.promise("A5")
    def test_a_login_requests_only_the_configured_scopes_and_the_home_page_says_how_many(
        self, visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = {
            "": (17, "17 permissions"),
            "user-read-email": (1, "1 permission"),
            "none": (0, "no permissions"),
        }
        for scope, (number, words) in expected.items():
            monkeypatch.setenv("SPOTIFY_SCOPE", scope)
            assert f"Spotify will ask you for {words}." in visitor.get("/").words
            assert len(query_of(visitor.begin()).get("scope", "").split()) == number
        visitor.log_in()
        assert visitor.see_id() == "pia.premium", "also without a scope"

    def test_show_dialog_is_passed_on_only_as_a_single_true(self, visitor: GatewayVisitor) -> None:
        assert query_of(visitor.get("/login?show_dialog=true").location)["show_dialog"] == "true"
        for query in ("show_dialog=TRUE", "show_dialog=", "show_dialog=true&show_dialog=true"):
            assert "show_dialog" not in query_of(visitor.get(f"/login?{query}").location)

    @pytest.mark.promise("F5")
    def test_a_request_at_another_host_is_redirected_once_with_its_query_to_the_apps_own_address(
        self, visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home, wants_json = "https://login.example.com", {"Accept": "application/json"}
        monkeypatch.setenv("SPOTIFY_REDIRECT_URI", f"{home}/callback")
        for headers in ({}, wants_json):
            reply = visitor.get("/login?show_dialog=true&a=%0d%0ab", headers)
            assert (reply.status, reply.set_cookies) == (307, [])
            assert reply.location == f"{home}/login?moved=1&show_dialog=true&a=%0D%0Ab", "escaped again"
        again = visitor.get("/login?moved=1")
        assert query_of(again.location)["redirect_uri"] == f"{home}/callback"
        assert (visitor.get("/", {}).status, visitor.get("/", wants_json).status) == (307, 200)

    @pytest.mark.promise("C4")
    def test_a_browser_keeps_five_attempts_at_most_and_under_1_kb_of_cookies(
        self, visitor: GatewayVisitor
    ) -> None:
        visitor.log_in()
        urls = [visitor.begin() for _ in range(50)]
        attempts = [name for name in visitor.cookies if name.startswith("__Host-spotify-login-")]
        assert len(attempts) == 5
        assert len("; ".join(f"{name}={value}" for name, value in visitor.cookies.items())) < 1024
        assert visitor.get(visitor.agree(urls[-5])).status == 307, "the fifth newest still works"
        assert visitor.get(visitor.agree(urls[-6])).status == 400, "the sixth newest was dropped"

    @pytest.mark.promise("A3", "C1", "C2", "C5", "C6")
    def test_cookies_have_the_documented_names_attributes_and_lifetimes(
        self, visitor: GatewayVisitor
    ) -> None:
        attributes = "Path=/; HttpOnly; SameSite=Lax; Secure"
        url = visitor.begin()
        (name,) = visitor.cookies
        assert name.startswith(ATTEMPT)
        begun, done, ended = visitor.get("/login"), visitor.get(visitor.agree(url)), visitor.get("/logout")
        assert begun.set_cookies[-1].partition("; ")[2] == f"Max-Age=600; {attributes}"
        assert done.set_cookies[-1].startswith(f"{SESSION}=")
        assert done.set_cookies[-1].partition("; ")[2] == f"Max-Age={7 * DAY}; {attributes}"
        assert ended.set_cookies[-1] == f"{SESSION}=; Max-Age=0; {attributes}"


class TestCallback:
    @pytest.mark.promise("B14", "D10", "F3")
    def test_a_callback_stores_the_user_and_redirects_home_without_code_and_state(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        callback = visitor.agree(visitor.begin())
        reply = visitor.get(callback)
        assert (reply.status, reply.location, reply.text) == (307, f"{STAGE_URL}/", "")
        for page in (visitor.get("/"), GatewayVisitor().get(callback)):
            assert query_of(callback)["code"] not in page.text
            assert query_of(callback)["state"] not in page.text
        (item,) = table.items()
        assert set(item) == {"account_id", "login_id", "profile", "expires_at"}
        assert item["account_id"] == {"S": "7h3pr3m1uml1573n3r0000"}
        assert json.loads(item["profile"]["S"])["email"] == "pia@example.com"
        assert abs(int(item["expires_at"]["N"]) - time.time() - 30 * DAY) < 10

    @pytest.mark.promise("B1", "B7")
    @pytest.mark.parametrize(
        "query",
        [
            "",
            "code=c",
            "code=c&state=",
            "code=c&state=" + "x" * 22 + ".1795478400",
            "code=c&state=%C3%A9",
            "state={state}",
            "state={state}&code=",
            "state={state}&code=c&code=d",
            "state={state}&state={state}&code=c",
            "state={state}&code=c&error=access_denied",
            "state={state}&code=%C3%A9",
            "state={state}&code=%0d%0aSet-Cookie:x",
            "state={state}&code=" + "c" * 8192,
            "state={state}&code=c&iss=https://evil.example",
        ],
    )
    def test_a_wrong_state_or_a_malformed_query_is_rejected_before_spotify_is_called_and_the_attempt_stays_valid(
        self, visitor: GatewayVisitor, token_requests: Callable[[], int], query: str
    ) -> None:
        callback = visitor.agree(visitor.begin())
        reply = visitor.get(f"/callback?{query.format(state=query_of(callback)['state'])}")
        assert (reply.status, reply.set_cookies, token_requests()) == (400, [], 0)
        assert visitor.get(callback).status == 307

    @pytest.mark.promise("B1")
    def test_an_attempt_cookie_under_another_attempts_name_is_rejected(
        self, visitor: GatewayVisitor, token_requests: Callable[[], int]
    ) -> None:
        """The name only locates a cookie; the state in it has to match."""
        visitor.begin()
        (value,) = visitor.cookies.values()
        callback = visitor.agree(visitor.begin())
        name = [name for name in visitor.cookies if name.startswith(ATTEMPT)][-1]
        assert visitor.get(callback, {"Cookie": f"{name}={value}"}).status == 400
        assert token_requests() == 0

    @pytest.mark.promise("B2", "B3")
    @pytest.mark.parametrize("logged_in", [False, True])
    def test_a_callback_from_another_browser_is_rejected_changes_nothing_there_and_stays_valid(
        self, visitor: GatewayVisitor, table: Table, token_requests: Callable[[], int], logged_in: bool
    ) -> None:
        callback, victim = visitor.agree(visitor.begin(), "development"), GatewayVisitor()
        if logged_in:
            victim.log_in("premium")
        victim.begin()
        before = (dict(victim.cookies), table.items(), token_requests())
        reply = victim.get(callback)
        assert reply.status == 400
        assert "another browser" in reply.words
        assert (victim.cookies, table.items(), token_requests()) == before
        assert victim.see_id() == ("pia.premium" if logged_in else "None")
        assert visitor.get(callback).status == 307, "its own browser can still finish it"

    @pytest.mark.promise("B5")
    def test_an_attempt_expires_after_ten_minutes(self, visitor: GatewayVisitor) -> None:
        seal = Seal("login attempt", [SECRET_KEY])
        state = f"{'s' * 22}.{int(time.time()) - 601}"
        visitor.begin()
        name = f"__Host-spotify-login-{hashlib.sha256(state.encode()).hexdigest()[:8]}"
        for cookies in ({}, {name: seal.sign(state, "v" * 43, "", "")}):
            visitor.cookies = dict(cookies)
            reply = visitor.get(f"/callback?state={state}&code=c")
            assert reply.status == 400
            assert "expired" in reply.words

    @pytest.mark.promise("B4", "B8")
    def test_cancelling_ends_the_attempt_and_keeps_an_existing_session(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        callback = visitor.cancel(visitor.begin())
        wrong = [visitor.get(f"/callback?state=wrong&{other}") for other in ("error=access_denied", "code=c")]
        assert wrong[0] == wrong[1], "an error with a wrong state is rejected like any wrong state"
        reply = visitor.get(callback)
        assert reply.status == 400
        assert "You cancelled the login" in reply.words
        assert f"{STAGE_URL}/login" in reply.links
        assert table.items() == []
        assert "no longer valid" in visitor.get(callback).words
        assert "no longer valid" in visitor.get(callback.replace("error=access_denied", "code=another")).words
        visitor.log_in()
        visitor.get(visitor.cancel(visitor.begin()))
        assert visitor.see_id() == "pia.premium"

    @pytest.mark.promise("B9")
    def test_an_error_text_from_spotify_is_not_shown(self, visitor: GatewayVisitor) -> None:
        state = query_of(visitor.begin())["state"]
        reply = visitor.get(f"/callback?state={state}&error=%3Cb%3Eserver_error&error_description=%3Cb%3E")
        assert reply.status == 400
        assert "<b>" not in reply.text

    @pytest.mark.promise("B4")
    def test_a_reloaded_callback_redirects_home_while_logged_in_and_is_rejected_after_a_logout(
        self, visitor: GatewayVisitor, table: Table, token_requests: Callable[[], int]
    ) -> None:
        callback = visitor.agree(visitor.begin())
        simultaneous = GatewayVisitor(cookies=dict(visitor.cookies))
        visitor.get(callback)
        before = table.items()
        reply = visitor.get(callback)
        assert (reply.status, reply.location) == (307, f"{STAGE_URL}/")
        assert visitor.get(callback.replace("code=", "code=x")).status == 400, "another response"
        assert table.items() == before
        visitor.get("/logout")
        reply = visitor.get(callback)
        assert (reply.status, table.items()) == (400, [])
        assert "no longer valid" in reply.words
        assert token_requests() == 1, "the code is not sent again"
        assert simultaneous.get(callback).status == 400, "Spotify accepts a code once"

    @pytest.mark.promise("A3", "B15")
    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_two_attempts_in_one_browser_finish_in_either_order(
        self, visitor: GatewayVisitor, order: tuple[int, int]
    ) -> None:
        callbacks = [visitor.agree(visitor.begin()) for _ in range(2)]
        assert [visitor.get(callbacks[tab]).status for tab in order] == [307, 307]
        assert visitor.see_id() == "pia.premium"

    @pytest.mark.promise("B12", "D5")
    def test_logging_in_again_ends_every_copy_of_the_old_cookie_but_no_session_on_another_device(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        laptop = GatewayVisitor()
        laptop.log_in()
        visitor.log_in()
        for _ in range(2):
            copy = GatewayVisitor(cookies=dict(visitor.cookies))
            visitor.log_in()
            assert [each.see_id() for each in (visitor, laptop, copy)] == ["pia.premium"] * 2 + ["None"]
        assert len(table.items()) == 1

    @pytest.mark.promise("B12")
    def test_a_login_over_a_planted_session_of_another_account_ends_it_but_keeps_that_accounts_item(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        attacker, laptop = GatewayVisitor(), GatewayVisitor()
        attacker.log_in("development")
        laptop.log_in("development")
        visitor.cookies[SESSION] = attacker.cookies[SESSION]
        assert visitor.log_in("premium").status == 307
        seen = [each.see_id() for each in (visitor, attacker, laptop)]
        assert seen == ["pia.premium", "None", "31deva"]
        assert len(table.items()) == 2
        laptop.get("/logout")
        assert [item["account_id"]["S"] for item in table.items()] == ["7h3pr3m1uml1573n3r0000"]


class TestCookies:
    @pytest.mark.promise("C8")
    def test_attempt_and_session_cookies_are_not_interchangeable(self, visitor: GatewayVisitor) -> None:
        visitor.log_in()
        callback = visitor.agree(visitor.begin())
        name = next(name for name in visitor.cookies if name.startswith(ATTEMPT))
        attempt, session = visitor.cookies[name], visitor.cookies[SESSION]
        assert visitor.get("/", {"Cookie": f"{SESSION}={attempt}"}).user_id == "None"
        assert visitor.get(callback, {"Cookie": f"{name}={session}"}).status == 400

    @pytest.mark.promise("C9", "D1")
    def test_a_session_cookie_contains_only_the_account_key_ids_and_times(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        visitor.log_in()
        (item,) = table.items()
        key, login_id, session_id, login_time, issued, _signature = visitor.cookies[SESSION].split(".")
        assert base64.urlsafe_b64decode(key + "==").decode() == item["account_id"]["S"]
        assert login_id == item["login_id"]["S"]
        assert re.fullmatch(r"[\w-]{16}", session_id, re.ASCII), "96 random bits"
        assert abs(int(login_time) - time.time()) < 10
        assert abs(int(issued) - time.time()) < 10

    @pytest.mark.promise("D6", "D7")
    def test_a_rotated_key_keeps_sessions_valid_until_it_is_removed(
        self, visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        visitor.log_in()
        callback = visitor.agree(visitor.begin())
        newer = "a newer signing key that is used only in tests"
        monkeypatch.setenv("SECRET_KEY", newer)
        monkeypatch.setenv("SECRET_KEY_FALLBACKS", SECRET_KEY)
        assert visitor.see_id() == "pia.premium"
        before = visitor.cookies[SESSION]
        assert visitor.get(callback).status == 307, "started with the old key, finished with the new one"
        monkeypatch.delenv("SECRET_KEY_FALLBACKS")
        assert visitor.see_id() == "pia.premium", "the new key signs"
        visitor.cookies[SESSION] = before
        assert visitor.see_id() == "None"

    @pytest.mark.promise("D8")
    def test_the_table_alone_is_not_enough_to_log_in(self, visitor: GatewayVisitor, table: Table) -> None:
        visitor.log_in()
        (item,) = table.items()
        now = str(int(time.time()))
        fields = (encode(item["account_id"]["S"]), item["login_id"]["S"], "s" * 16, now, now)
        for key in ("", "another key, also 32 bytes or longer", item["login_id"]["S"]):
            forged = Seal("session", [key]).sign(*fields)
            assert visitor.get("/", {"Cookie": f"{SESSION}={forged}"}).user_id == "None"
        another_version = Seal("session", [SECRET_KEY]).sign(*fields[1:])
        for value in (f"{'.'.join(fields)}.", another_version, "é"):
            assert visitor.get("/", {"Cookie": f"{SESSION}={value}"}).user_id == "None"


class TestLogout:
    @pytest.mark.promise("E1", "E2")
    def test_a_logout_erases_the_user_and_ends_every_session_for_good(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        visitor.log_in()
        copy, elsewhere = GatewayVisitor(cookies=dict(visitor.cookies)), GatewayVisitor()
        elsewhere.log_in()
        reply = visitor.get("/logout")
        assert (reply.status, reply.location) == (307, f"{STAGE_URL}/")
        assert table.items() == []
        assert [browser.see_id() for browser in (visitor, copy, elsewhere)] == ["None"] * 3
        visitor.log_in()
        assert copy.see_id() == "None"
        copy.get("/logout")
        assert visitor.see_id() == "pia.premium", "an ended session cannot end another one"

    @pytest.mark.promise("E3", "E8")
    def test_a_logout_without_a_session_redirects_home_with_nothing_configured_and_does_not_ask(self) -> None:
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}):
            reply = invoke(event("/logout", headers))
            assert (reply.status, reply.location, reply.set_cookies) == (307, f"{STAGE_URL}/", [])
            assert "clear-site-data" not in reply.headers

    @pytest.mark.promise("E3", "E8")
    @pytest.mark.parametrize("cookie", ["", "x.y.z", "%00", "a" * 4000, "{own}; {name}={own}"])
    def test_a_logout_with_an_invalid_cookie_erases_nothing_clears_it_and_redirects_home(
        self, visitor: GatewayVisitor, table: Table, cookie: str
    ) -> None:
        visitor.log_in()
        sent = f"{SESSION}={cookie.format(own=visitor.cookies[SESSION], name=SESSION)}"
        reply = visitor.get("/logout", {"Cookie": sent, "Sec-Fetch-Site": "same-origin"})
        assert (reply.status, reply.location) == (307, f"{STAGE_URL}/")
        assert reply.set_cookies[0].startswith(f"{SESSION}=;")
        assert "clear-site-data" not in reply.headers
        assert len(table.items()) == 1

    @pytest.mark.promise("E7", "E8")
    def test_logging_out_twice_or_in_two_tabs_has_the_same_result_and_clears_the_browsers_page_cache(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        visitor.log_in()
        tab = GatewayVisitor(cookies=dict(visitor.cookies))
        assert "clear-site-data" not in visitor.get("/").headers
        for browser in (visitor, tab):
            reply = browser.get("/logout")
            assert (reply.status, reply.headers["clear-site-data"]) == (307, '"cache"')
            assert (table.items(), browser.see_id()) == ([], "None")
        assert visitor.get("/logout").status == 307


PATHS = ("/", "/login", "/callback", "/logout", "/callback?state=s&code=c")


@pytest.mark.promise("E5")
@pytest.mark.parametrize("name", ["Sec-Purpose", "Purpose", "X-Moz"])
def test_a_prefetch_changes_nothing(
    visitor: GatewayVisitor, table: Table, log: list[dict[str, Any]], name: str
) -> None:
    visitor.log_in()
    log.clear()
    for path in PATHS:
        reply = visitor.get(path, {name: "prefetch;prerender" if name == "Sec-Purpose" else "prefetch"})
        assert (reply.status, reply.set_cookies) == (403, [])
    assert len(table.items()) == 1
    assert log == []


@pytest.mark.promise("E8", "G1", "G2", "G3", "G4", "G5", "L11")
@pytest.mark.parametrize("path", PATHS)
def test_every_response_has_the_security_headers_whatever_its_type(
    visitor: GatewayVisitor, path: str
) -> None:
    types = set()
    for accept in ("text/html", "application/json"):
        headers = visitor.get(path, {"Accept": accept}).headers
        types.add(headers["content-type"])
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["strict-transport-security"] == "max-age=31536000"
        assert headers["vary"] == "Accept, Origin"
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        for name in ("default-src", "object-src", "base-uri", "frame-ancestors", "form-action"):
            assert policy[name] == "'none'"
        assert not any(name.startswith("access-control-") for name in headers)
    assert "text/html; charset=utf-8" in types


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
def test_a_content_type_in_the_request_is_ignored(visitor: GatewayVisitor, name: str) -> None:
    """WebKit keeps the type of Spotify's form on the redirects that follow; Chalice would respond with 415."""
    assert visitor.get("/", {name: "application/x-www-form-urlencoded"}).status == 200


@pytest.mark.promise("G1", "H4")
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_methods_other_than_get_do_nothing(visitor: GatewayVisitor, table: Table, method: str) -> None:
    visitor.log_in()
    for path in ("/", "/login", "/callback", "/logout"):
        reply = invoke(event(path, {"Cookie": f"{SESSION}={visitor.cookies[SESSION]}"}, method=method))
        assert (reply.status, reply.set_cookies) == (405, [])
        assert reply.headers["strict-transport-security"] == "max-age=31536000"
    assert len(table.items()) == 1


@pytest.mark.promise("F1")
@pytest.mark.parametrize("target", ["//evil.example", "/%5Cevil.example", "https:evil.example", "%0d%0aX:y"])
def test_no_query_parameter_changes_a_redirect_target(
    visitor: GatewayVisitor, spotify: str, target: str
) -> None:
    names = ("next", "redirect_uri", "return_to", "url", "state", "code", "moved")
    for path in ("/", "/login", "/callback", "/logout"):
        reply = visitor.get(f"{path}?{'&'.join(f'{name}={target}' for name in names)}")
        location = reply.headers.get("location", f"{STAGE_URL}/").partition("?")[0]
        assert location in {f"{STAGE_URL}/", f"{spotify}/authorize"}


@pytest.mark.promise("F4")
def test_a_custom_domain_has_no_stage_in_its_links(table: Table) -> None:
    visitor = GatewayVisitor(home="https://login.example.com", domain="login.example.com", base="")
    assert visitor.log_in().location == "https://login.example.com/"
    links = {link.partition("?")[0] for link in visitor.get("/").links}
    assert {"https://login.example.com/login", "https://login.example.com/logout"} <= links
    assert all(link.startswith("https://login.example.com/") and "/api" not in link for link in links)


@pytest.mark.promise("F2")
def test_no_request_header_changes_a_link(visitor: GatewayVisitor) -> None:
    forged = dict.fromkeys(("Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"), "evil.example")
    assert "evil" not in visitor.get("/", forged).text
    assert query_of(visitor.get("/login", forged).location)["redirect_uri"] == f"{STAGE_URL}/callback"
