"""Tests for the rows of docs/security.md that the tests of single modules and routes do not cover."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from chalicelib.claims import Claims
from chalicelib.config import EVERY_SCOPE
from chalicelib.cookies import Seal, encode
from chalicelib.deadline import Deadline
from chalicelib.profile import Profile
from chalicelib.users import Users
from simulator.spotify import SCOPES, Application
from tests.support.gateway import STAGE_URL, GatewayVisitor, event, invoke
from tests.support.table import Table
from tests.support.visitor import Reply, query_of
from tests.support.world import SECRET_KEY

SESSION = "__Host-spotify-session"
ATTEMPT = "__Host-spotify-login-"


@pytest.fixture
def token_requests(spotify: str) -> Callable[[], int]:
    """A function that counts the token requests to Spotify since the test started."""

    def count() -> int:
        counts = requests.get(f"{spotify}/_simulator/asked", timeout=30).json()
        return int(counts.get("POST /api/token", 0))

    before = count()
    return lambda: count() - before


def attempt_cookie(visitor: GatewayVisitor) -> tuple[str, str]:
    (pair,) = ((name, value) for name, value in visitor.cookies.items() if name.startswith(ATTEMPT))
    return pair


def changed_by_a_byte(text: str) -> list[str]:
    """Copies of a text with one character changed. One replacement is the character that follows it: in the
    last position, base64 may decode both to the same bytes.
    """
    return [
        text[:place] + other + text[place + 1 :]
        for place in range(len(text))
        for other in ("A", "B", "-", chr(ord(text[place]) + 1))
        if other != text[place]
    ]


class TestStarting:
    @pytest.mark.promise("A5")
    def test_the_default_scopes_are_the_17_of_the_web_api(self) -> None:
        assert len(EVERY_SCOPE.split()) == 17
        assert set(EVERY_SCOPE.split()) == SCOPES - {"app-remote-control", "streaming"}

    @pytest.mark.promise("A6")
    def test_no_response_contains_a_secret_or_a_token(self, visitor: GatewayVisitor) -> None:
        replies: list[Reply] = []
        send = visitor.send

        def recorded(path: str, headers: Any) -> Reply:
            replies.append(send(path, headers))
            return replies[-1]

        visitor.send = recorded  # type: ignore[method-assign]
        for persona in ("premium", "unlisted", "garbage", "down"):
            visitor.log_in(persona)
            visitor.get("/")
        visitor.get("/logout")
        everything = str(replies)
        assert len(replies) == 13
        assert Application.client_secret not in everything
        assert SECRET_KEY not in everything
        assert not re.search(r"[AB]Q[\w-]{128}", everything), "a Spotify token or code"


class TestCallback:
    @pytest.mark.promise("B1")
    @pytest.mark.parametrize("state", ["wrong", "x" * 22 + ".1795478400", ""])
    def test_an_unknown_state_is_rejected_before_spotify_is_called(
        self, visitor: GatewayVisitor, token_requests: Callable[[], int], state: str
    ) -> None:
        visitor.begin()
        assert visitor.get(f"/callback?code=c&state={state}").status == 400
        assert token_requests() == 0

    @pytest.mark.promise("B7")
    @pytest.mark.parametrize(
        "query",
        [
            "state={state}&code=c&code=d",
            "state={state}&state={state}&code=c",
            "state={state}&code=",
            "state={state}&code=c&error=access_denied",
            "state={state}&code=%C3%A9",
            "state={state}&code=a%20b",
            "state={state}&code=" + "c" * 8192,
            "state={state}&code=c&iss=https://evil.example",
        ],
    )
    def test_a_malformed_query_is_rejected_and_the_attempt_stays_valid(
        self, visitor: GatewayVisitor, token_requests: Callable[[], int], query: str
    ) -> None:
        callback = visitor.agree(visitor.begin())
        reply = visitor.get(f"/callback?{query.format(state=query_of(callback)['state'])}")
        assert (reply.status, reply.set_cookies, token_requests()) == (400, [], 0)
        assert visitor.get(callback).status == 307

    @pytest.mark.promise("B3")
    def test_an_attackers_callback_starts_no_session_in_the_victims_browser(
        self, visitor: GatewayVisitor, table: Table, token_requests: Callable[[], int]
    ) -> None:
        attacker = GatewayVisitor()
        for victim_is_logged_in in (False, True):
            callback = attacker.agree(attacker.begin(), "development")
            if victim_is_logged_in:
                visitor.log_in("premium")
            before, requests_before = dict(visitor.cookies), token_requests()
            assert visitor.get(callback).status == 400
            assert token_requests() == requests_before
            assert visitor.cookies == before
            assert visitor.see_id() == ("pia.premium" if victim_is_logged_in else "None")
        assert "d3v3l0pm3n7m0d3u53r000" not in str(table.items())

    @pytest.mark.promise("B6")
    def test_an_attempt_cookie_with_a_changed_byte_is_rejected(
        self, visitor: GatewayVisitor, token_requests: Callable[[], int]
    ) -> None:
        callback = visitor.agree(visitor.begin())
        name, value = attempt_cookie(visitor)
        for changed in changed_by_a_byte(value):
            reply = visitor.get(callback, {"Cookie": f"{name}={changed}"})
            assert reply.status == 400, changed
        assert token_requests() == 0
        assert visitor.get(callback).status == 307, "the unchanged cookie still works"

    @pytest.mark.promise("B8")
    def test_an_error_with_a_wrong_state_is_rejected_like_any_wrong_state(
        self, visitor: GatewayVisitor
    ) -> None:
        visitor.begin()
        cancelled = visitor.get("/callback?error=access_denied&state=wrong")
        wrong = visitor.get("/callback?code=c&state=wrong")
        assert (cancelled.status, cancelled.words) == (wrong.status, wrong.words)

    @pytest.mark.promise("B14")
    def test_a_finished_login_leaves_no_code_or_state_in_a_url_or_page(self, visitor: GatewayVisitor) -> None:
        callback = visitor.agree(visitor.begin())
        query = query_of(callback)
        reply = visitor.get(callback)
        assert reply.location == f"{STAGE_URL}/"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.text == ""
        again = GatewayVisitor().get(callback)
        for page in (visitor.get("/"), again):
            assert query["code"] not in page.text
            assert query["state"] not in page.text

    @pytest.mark.promise("B13")
    def test_simultaneous_logins_in_threads_never_mix_up_users(self, table: Table, spotify: str) -> None:
        seen: list[tuple[str, str]] = []

        def log_in(user_id: str) -> None:
            visitor = GatewayVisitor()
            visitor.log_in("development", user_id)
            seen.append((user_id, visitor.see_id()))

        for pair in range(25):
            threads = [threading.Thread(target=log_in, args=(f"user-{pair}-{side}",)) for side in "ab"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(seen) == 50
        assert all(wanted == found for wanted, found in seen)


class TestCookies:
    @pytest.mark.promise("C7")
    def test_a_session_cookie_with_a_changed_byte_counts_as_logged_out(self, visitor: GatewayVisitor) -> None:
        visitor.log_in()
        value = visitor.cookies[SESSION]
        malformed = [*changed_by_a_byte(value), *(value[:length] for length in range(0, len(value), 7))]
        for changed in malformed:
            reply = visitor.get("/", {"Cookie": f"{SESSION}={changed}"})
            assert (reply.status, reply.user_id) == (200, "None"), changed

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


class TestSessions:
    @pytest.mark.promise("D1")
    @pytest.mark.no_cover
    def test_10_000_login_ids_do_not_repeat(self) -> None:
        class Recorder:
            """Responds like DynamoDB when a new user is stored."""

            def update_item(self, **call: Any) -> dict[str, Any]:
                return {"Attributes": {"login_id": call["ExpressionAttributeValues"][":fresh"]}}

        users = Users(Recorder, "users", Deadline(time.monotonic() + 60))
        user = Profile.parse('{"id": "x"}')
        ids = {users.remember(user) for _ in range(10_000)}
        assert len(ids) == 10_000
        assert all(re.fullmatch(r"[\w-]{22}", login_id, re.ASCII) for login_id in ids), "128 bits"

    @pytest.mark.promise("D2", "D7")
    def test_deleting_the_item_logs_the_user_out_at_the_next_request(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        visitor.log_in()
        table.delete("7h3pr3m1uml1573n3r0000")
        assert visitor.see_id() == "None"

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
        assert visitor.get("/", {"Cookie": f"{SESSION}={'.'.join(fields)}."}).user_id == "None"

    @pytest.mark.promise("D9")
    @pytest.mark.no_cover
    def test_a_login_is_visible_to_the_very_next_request(self, visitor: GatewayVisitor) -> None:
        for number in range(200):
            visitor.log_in("development", f"user-{number}")
            assert visitor.see_id() == f"user-{number}"

    @pytest.mark.promise("D9")
    def test_reads_are_strongly_consistent_and_use_the_table_itself(self) -> None:
        class Recorder:
            calls: list[dict[str, Any]] = []  # noqa: RUF012 - used by this test only

            def get_item(self, **call: Any) -> dict[str, Any]:
                self.calls.append(call)
                return {}

        Users(Recorder, "users", Deadline()).find(Claims("key", "login", "session", 0, 0))
        (call,) = Recorder.calls
        assert call == {"TableName": "users", "Key": {"account_id": {"S": "key"}}, "ConsistentRead": True}


class TestLogout:
    @pytest.mark.promise("E3")
    @pytest.mark.parametrize("cookie", ["", "x", "x.y.z", "=", "%00", "a" * 4000])
    def test_a_logout_with_an_invalid_cookie_erases_nothing_and_redirects_home(
        self, visitor: GatewayVisitor, table: Table, cookie: str
    ) -> None:
        visitor.log_in()
        reply = visitor.get("/logout", {"Cookie": f"{SESSION}={cookie}", "Sec-Fetch-Site": "same-origin"})
        assert (reply.status, reply.location) == (307, f"{STAGE_URL}/")
        assert len(table.items()) == 1

    @pytest.mark.promise("E7")
    def test_logging_out_twice_or_in_two_tabs_has_the_same_result(
        self, visitor: GatewayVisitor, table: Table
    ) -> None:
        visitor.log_in()
        tab = GatewayVisitor(cookies=dict(visitor.cookies))
        assert [visitor.get("/logout").status for _ in range(2)] == [307, 307]
        assert tab.get("/logout").status == 307
        assert table.items() == []
        assert visitor.see_id() == tab.see_id() == "None"


class TestRedirects:
    @pytest.mark.promise("F1")
    @pytest.mark.parametrize("path", ["/", "/login", "/callback", "/logout"])
    @pytest.mark.parametrize(
        "target",
        ["//evil.example", "/%5Cevil.example", "/%09/evil.example", "https:evil.example", "%0d%0aX:y"],
    )
    def test_no_query_parameter_changes_a_redirect_target(
        self, visitor: GatewayVisitor, spotify: str, path: str, target: str
    ) -> None:
        names = ("next", "redirect_uri", "return_to", "url", "state", "code", "moved")
        reply = visitor.get(f"{path}?{'&'.join(f'{name}={target}' for name in names)}")
        location = reply.headers.get("location", f"{STAGE_URL}/").partition("?")[0]
        assert location in {f"{STAGE_URL}/", f"{spotify}/authorize"}

    @pytest.mark.promise("H2")
    @pytest.mark.parametrize("ending", ["\r\n", "\n", "\r", "\u2028", "\u560a"])
    def test_no_line_break_in_a_request_reaches_a_response_header(
        self, visitor: GatewayVisitor, ending: str
    ) -> None:
        for path in ("/", "/login", "/callback", "/logout"):
            sent = event(path, {"Cookie": f"a=b{ending}X: y", "Host": f"x{ending}X: y"})
            sent["multiValueQueryStringParameters"] = {"state": [f"x{ending}X: y"], "code": ["c"]}
            reply = invoke(sent)
            assert reply.status != 500
            lines = [*reply.headers.values(), *reply.set_cookies]
            assert all(line.isprintable() for line in lines)
            assert "X: y" not in str(lines)


@pytest.mark.promise("H4")
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/login", "/callback", "/logout"])
def test_methods_other_than_get_do_nothing(
    visitor: GatewayVisitor, table: Table, method: str, path: str
) -> None:
    visitor.log_in()
    sent = event(path, {"Cookie": f"{SESSION}={visitor.cookies[SESSION]}"})
    sent["requestContext"]["httpMethod"] = method
    reply = invoke(sent)
    assert reply.status == 405
    assert reply.set_cookies == []
    assert len(table.items()) == 1


@pytest.mark.promise("I2")
def test_debug_logs_contain_no_personal_data_and_no_secret(
    visitor: GatewayVisitor, table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    """Covers every logger, including those of Chalice, botocore and urllib3."""
    caplog.set_level(logging.DEBUG)
    secrets = {SECRET_KEY, Application.client_secret}
    for persona in ("premium", "odd", "unlisted", "garbage", "quota"):
        url = visitor.begin()
        callback = visitor.agree(url, persona)
        secrets |= {query_of(callback)["code"], query_of(callback)["state"], query_of(url)["code_challenge"]}
        secrets |= {
            field for value in visitor.cookies.values() for field in value.split(".") if len(field) > 12
        }
        visitor.get(callback)
        secrets |= set(visitor.cookies.values())
        visitor.get("/")
    secrets |= {item["login_id"]["S"] for item in table.items()}
    visitor.get("/logout")
    secrets |= {"pia@example.com", "Pia Premium", "pia.premium", "7h3pr3m1uml1573n3r0000", "alert(1)"}
    records = [record for record in caplog.records if not record.name.startswith(("werkzeug", "moto"))]
    lines = [logging.Formatter("%(message)s").format(record) for record in records]
    text = "\n".join(line for line in lines if "POST /authorize?" not in line)  # the test's own request
    assert any(record.name == "urllib3.connectionpool" for record in records), "urllib3 logs at this level"
    assert "login_unknown" in text or "not_on_user_list" in text
    assert not {secret for secret in secrets if secret in text}


@pytest.mark.promise("D10")
def test_a_stored_item_has_an_expiry_time(visitor: GatewayVisitor, table: Table) -> None:
    visitor.log_in()
    (item,) = table.items()
    assert int(item["expires_at"]["N"]) > time.time()
    assert json.loads(item["profile"]["S"])["id"] == "pia.premium"


@pytest.mark.promise("B1")
def test_an_attempt_cookie_under_another_attempts_name_is_rejected(
    visitor: GatewayVisitor, token_requests: Callable[[], int]
) -> None:
    """The name only locates a cookie; the state in it has to match."""
    visitor.begin()
    _, value = attempt_cookie(visitor)
    callback = visitor.agree(visitor.begin())
    name = [name for name in visitor.cookies if name.startswith(ATTEMPT)][-1]
    assert visitor.get(callback, {"Cookie": f"{name}={value}"}).status == 400
    assert token_requests() == 0
