"""Kept access: a user's access token, from the login to the logout. Through API Gateway, with DynamoDB, KMS and Spotify.

What happens when several requests refresh at once is in test_tokens_together.py.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
import requests
from chalice.app import Request as ChaliceRequest

from app import app
from chalicelib import tokens, vault, web
from chalicelib.config import EVERY_SCOPE
from chalicelib.deadline import SECONDS, Deadline
from chalicelib.errors import AccessDelayed, UsersUnavailable
from chalicelib.process import Process
from chalicelib.request import Request
from chalicelib.spotify import Tokens
from chalicelib.tokens import KeptAccess, Parts
from chalicelib.vault import MOST_REMEMBERED, Memory, Owner
from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.support.cloud import Fault, Service
from tests.support.gateway import STAGE_URL, GatewayVisitor, event, reply_of
from tests.support.kept import Kept
from tests.support.table import Table
from tests.support.visitor import Reply

PIA = "7h3pr3m1uml1573n3r0000"
TOP = "user-top-read"
PERSISTENT = 9
"""More faults in a row than there are attempts at a call."""


class Visitor(GatewayVisitor):
    """A visitor of the app with a route that shows an access token, as a fork would use one."""

    def __init__(self, kept: Kept, aws: Service, spotify: str) -> None:
        super().__init__()
        self.kept = kept
        self.aws = aws
        self.spotify = spotify
        self._fork = web.App()
        self._fork.route("/token")(_token)

    def token(self, accept: str = "", **query: str | list[str]) -> Reply:
        """Open /token. Of the query, `scope` and `rejected` are arguments; several `rejected` are several calls."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Cookie": cookies} | ({"Accept": accept} if accept else {})
        self.aws.calls.clear()
        self._fork.process = app.process
        return reply_of(self._fork(event(f"/token?{urlencode(query, doseq=True)}", headers), None))

    def ask(self, what: str, **form: str) -> None:
        """Have the simulated Spotify do something, such as `expire`."""
        assert requests.post(f"{self.spotify}/_simulator/{what}", data=form, timeout=30).status_code == 204

    @property
    def refreshes(self) -> int:
        """The number of refresh requests that Spotify has received."""
        asked = requests.get(f"{self.spotify}/_simulator/asked", timeout=30).json()
        return int(asked.get("POST /api/token refresh_token", 0))

    def status_at_spotify(self, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{self.spotify}/v1/me", headers=headers, timeout=30).status_code


@web.view("token")
def _token(request: Request) -> web.Result:
    (scope,) = request.query.get("scope", [""])
    assert "BQ" not in repr(request.user)
    for rejected in request.query.get("rejected", [""]):
        token = request.access_token(scope, rejected)
    assert request.access_token() == token, "it is remembered for the request"
    return web.page(token)


@pytest.fixture
def application() -> Application:
    return Application(redirect_uris=(f"{STAGE_URL}/callback",))


@pytest.fixture
def visitor(aws: Service, application: Application, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    """A visitor without cookies. Spotify is this test's own, and the table is empty."""
    table, spotify = Table(), serve(create_app(application))
    alias = f"alias/{table.name}"
    monkeypatch.setenv("TOKENS_KMS_ALIAS", alias)
    monkeypatch.setenv("SPOTIFY_ACCOUNTS_URL", spotify)
    monkeypatch.setenv("SPOTIFY_API_URL", spotify)
    return Visitor(Kept(table, boto3.client("kms"), alias), aws, spotify)


@pytest.fixture
def logged_in(visitor: Visitor) -> Visitor:
    assert visitor.log_in().status == 307
    return visitor


def forget() -> None:
    """Make this process forget what it has decrypted, as a new instance would not know it."""
    app.process = Process()


def remember(visitor: Visitor) -> None:
    """Make this process know what is stored, as an instance does that has decrypted it before."""
    stored = visitor.kept.read(PIA)
    known = Tokens(*(stored[name] for name in ("access_token", "refresh_token", "scope", "ends")))
    app.process.memory.put(Owner(PIA, Application.client_id), visitor.kept.item(PIA)["tokens"]["B"], known)


class TestStoring:
    @pytest.mark.promise("M2")
    def test_a_login_stores_only_ciphertext_in_its_one_write(self, visitor: Visitor) -> None:
        callback = visitor.agree(visitor.begin())
        visitor.aws.calls.clear()
        visitor.get(callback)
        assert visitor.aws.calls == ["Encrypt", "UpdateItem"]
        item = visitor.kept.item(PIA)
        assert set(item) == {"account_id", "login_id", "profile", "expires_at", "tokens"}
        stored = visitor.kept.read(PIA)
        assert set(stored) == {"account_key", "client_id", "access_token", "refresh_token", "scope", "ends"}
        assert stored["access_token"].encode() not in item["tokens"]["B"]
        assert stored["scope"] == EVERY_SCOPE
        assert time.time() + 3500 < stored["ends"] <= time.time() + 3600

    @pytest.mark.promise("M6", "M14")
    @pytest.mark.parametrize(
        ("faults", "status"), [([], 307), ([Fault(500, applied=True)] * PERSISTENT, 503)], ids=["", "lost"]
    )
    def test_a_logout_erases_the_tokens_and_forgets_this_users_access_token_even_if_its_response_is_lost(
        self, logged_in: Visitor, faults: list[Fault], status: int
    ) -> None:
        memory = app.process.memory
        other = Tokens("BQ-other", "", "", int(time.time()) + 60)
        other_owner, owner = Owner("other", Application.client_id), Owner(PIA, Application.client_id)
        memory.put(other_owner, b"x", other)
        ciphertext = logged_in.kept.item(PIA)["tokens"]["B"]
        assert memory.get(owner, ciphertext)
        logged_in.aws.faults["DeleteItem"] = list(faults)
        logged_in.aws.calls.clear()
        assert logged_in.get("/logout").status == status
        assert set(logged_in.aws.calls) == {"DeleteItem"}
        assert logged_in.kept.table.items() == []
        assert memory.get(owner, ciphertext) is None
        assert memory.get(other_owner, b"x")

    @pytest.mark.promise("M1", "M7")
    def test_a_login_replaces_the_tokens_or_removes_them_while_off_and_ends_a_lease(
        self, logged_in: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = logged_in.kept.item(PIA)
        logged_in.kept.change(PIA, refreshing={"N": "1"})
        logged_in.log_in()
        after = logged_in.kept.item(PIA)
        assert after["tokens"] != before["tokens"]
        assert "refreshing" not in after
        assert after["login_id"] == before["login_id"]
        logged_in.kept.change(PIA, refreshing={"N": "1"})
        monkeypatch.delenv("TOKENS_KMS_ALIAS")
        logged_in.log_in()
        assert not {"tokens", "refreshing"} & set(logged_in.kept.item(PIA))

    @pytest.mark.promise("M12")
    def test_a_login_goes_on_if_its_tokens_cannot_be_encrypted_and_leaves_the_stored_ones(
        self, logged_in: Visitor, log: list[dict[str, Any]]
    ) -> None:
        before, fault = logged_in.kept.item(PIA), Fault(400, "AccessDeniedException")
        logged_in.aws.faults["Encrypt"] = [fault] * PERSISTENT
        assert logged_in.log_in().status == 307
        assert logged_in.kept.item(PIA)["tokens"] == before["tokens"]
        assert log[-1]["outcome"] == "completed"
        assert log[-1]["detail"] == f"access_not_kept {fault.code}"
        logged_in.aws.faults.clear()
        assert logged_in.token().status == 200

    def test_tokens_that_are_too_long_are_not_kept(
        self, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
    ) -> None:
        monkeypatch.setattr(vault, "MOST_BYTES", 100)
        assert visitor.log_in().status == 307
        assert log[-1]["detail"] == "access_not_kept TokensTooLong"
        assert "tokens" not in visitor.kept.item(PIA)
        assert visitor.token().status == 403

    def test_the_home_page_says_so_as_long_as_tokens_are_stored(
        self, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "It keeps access to your account, encrypted" in visitor.get("/").words
        visitor.log_in()
        says = "This site keeps access to your Spotify account, encrypted"
        assert says in visitor.get("/").words
        assert "https://www.spotify.com/account/apps/" in visitor.get("/").links
        monkeypatch.delenv("TOKENS_KMS_ALIAS")
        assert says in visitor.get("/").words, "the item still has them"
        visitor.log_in()
        assert says not in visitor.get("/").words
        visitor.get("/logout")
        assert "It keeps no access to your account." in visitor.get("/").words


class TestUsing:
    def test_a_page_with_a_token_costs_the_one_read_of_any_page_and_a_new_instance_decrypts_once(
        self, logged_in: Visitor
    ) -> None:
        reply = logged_in.token()
        assert logged_in.status_at_spotify(reply.text) == 200
        assert logged_in.aws.calls == ["GetItem"]
        forget()
        assert logged_in.token().text == reply.text
        assert logged_in.aws.calls == ["GetItem", "Decrypt"]
        assert logged_in.token().text == reply.text
        assert logged_in.aws.calls == ["GetItem"]

    @pytest.mark.promise("M1")
    def test_a_token_without_the_setting_or_of_a_scope_that_no_login_asks_for_is_a_configuration_error(
        self, logged_in: Visitor, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
    ) -> None:
        assert logged_in.token(scope="streaming").status == 500
        assert log[-1]["settings"] == ["SPOTIFY_SCOPE"]
        monkeypatch.delenv("TOKENS_KMS_ALIAS")
        assert logged_in.token().status == 500
        assert log[-1]["settings"] == ["TOKENS_KMS_ALIAS"]

    @pytest.mark.promise("M8")
    def test_a_scope_that_was_not_granted_is_a_page_with_a_link_to_log_in_and_return(
        self, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
    ) -> None:
        monkeypatch.setenv("SPOTIFY_SCOPE", "user-read-email")
        visitor.log_in()
        monkeypatch.setenv("SPOTIFY_SCOPE", f"user-read-email {TOP}")
        reply = visitor.token(scope=TOP)
        assert (reply.status, log[-1]["reason"]) == (403, "access_ended")
        login = f"{STAGE_URL}/login?return_to=%2Ftoken%3Fscope%3Duser-top-read"
        assert login in reply.links
        assert visitor.token(scope="user-read-email").status == 200
        assert visitor.see_id() == "pia.premium"
        visitor.get(visitor.agree(visitor.get(login).location))
        assert visitor.token(scope=TOP).status == 200

    @pytest.mark.promise("M3")
    def test_a_ciphertext_of_another_user_is_not_used(self, logged_in: Visitor) -> None:
        pia, own = logged_in.kept.item(PIA)["tokens"], "account-of-other"
        logged_in.log_in(user_id="other")
        forget()
        logged_in.kept.change(own, tokens=pia)
        assert logged_in.token().status == 403
        assert logged_in.kept.item(own)["tokens"] == pia, "and not removed"

    @pytest.mark.promise("M3")
    def test_a_ciphertext_of_another_table_or_key_is_not_used(self, logged_in: Visitor) -> None:
        kms, kept = boto3.client("kms"), logged_in.kept
        other, text = kms.create_key()["KeyMetadata"]["KeyId"], json.dumps(kept.read(PIA))
        for key, table, status in ((kept.alias, "another", 403), (other, kept.table.name, 503)):
            sealed = kms.encrypt(KeyId=key, Plaintext=text, EncryptionContext={"table": table})
            kept.change(PIA, tokens={"B": sealed["CiphertextBlob"]})
            forget()
            assert logged_in.token().status == status, "with KMS's own error code, 403 for the key too"

    @pytest.mark.promise("M3")
    @pytest.mark.parametrize("in_memory", [True, False])
    def test_tokens_of_another_spotify_app_are_neither_sent_nor_removed(
        self, logged_in: Visitor, monkeypatch: pytest.MonkeyPatch, in_memory: bool
    ) -> None:
        if not in_memory:
            logged_in.kept.age(PIA)
            forget()
        before = logged_in.kept.item(PIA)
        monkeypatch.setenv("SPOTIFY_CLIENT_ID", "another-application")
        assert logged_in.token().status == 403
        assert (logged_in.refreshes, logged_in.kept.item(PIA)) == (0, before)

    @pytest.mark.parametrize("changes", [{"extra": 1}, {"ends": "soon"}, {"client_id": None}])
    def test_tokens_that_another_version_wrote_or_that_are_no_ciphertext_give_no_access_until_the_next_login(
        self, logged_in: Visitor, changes: dict[str, Any]
    ) -> None:
        logged_in.kept.write(PIA, **changes)
        assert logged_in.token(scope=TOP).status == 403
        for damaged in ({"S": "text"}, {"B": b"not a ciphertext"}):
            logged_in.kept.change(PIA, tokens=damaged)
            assert logged_in.token().status == 403
        assert logged_in.see_id() == "pia.premium"
        logged_in.log_in()
        assert logged_in.token(scope=TOP).status == 200

    @pytest.mark.promise("M12")
    @pytest.mark.parametrize("code", ["ThrottlingException", "DisabledException"])
    def test_a_key_that_cannot_be_used_is_a_page_and_the_home_page_and_logout_work(
        self, logged_in: Visitor, code: str, log: list[dict[str, Any]]
    ) -> None:
        forget()
        logged_in.aws.faults["Decrypt"] = [Fault(400, code)] * PERSISTENT
        assert logged_in.token().status == 503
        assert (log[-1]["reason"], log[-1]["detail"]) == ("key_unavailable", code)
        assert logged_in.see_id() == "pia.premium"
        logged_in.get("/logout")
        assert logged_in.kept.table.items() == []

    @pytest.mark.promise("M2")
    def test_no_log_page_repr_or_cookie_contains_a_token_at_debug_level(
        self, visitor: Visitor, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.DEBUG)
        replies = [visitor.log_in(), visitor.get("/")]
        secrets = [visitor.kept.read(PIA)[name] for name in ("access_token", "refresh_token")]
        visitor.kept.age(PIA)
        visitor.token()
        secrets += [visitor.kept.read(PIA)["access_token"]]
        user = _request(visitor).user
        replies += [visitor.get("/logout")]
        shown = [repr(user), repr(replies), repr(visitor.cookies), caplog.text, *capfd.readouterr()]
        # urllib3's debug lines have no bodies; moto's and the simulator's have no log.
        assert not [secret for secret in secrets for text in shown if secret in text]


def _request(visitor: Visitor, seconds: float = SECONDS) -> Request:
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    received = ChaliceRequest(event("/", {"Cookie": cookies}), None)
    return Request(received, app.process, Deadline(time.monotonic() + seconds))


class TestRefreshing:
    @pytest.mark.promise("M13")
    @pytest.mark.parametrize(("seconds_left", "refreshes"), [(310, 0), (299, 1), (-1, 1)])
    def test_a_token_is_refreshed_in_its_last_five_minutes(
        self, logged_in: Visitor, seconds_left: int, refreshes: int
    ) -> None:
        before, item = logged_in.kept.read(PIA), logged_in.kept.item(PIA)
        logged_in.kept.age(PIA, seconds_left)
        token = logged_in.token().text
        assert logged_in.refreshes == refreshes
        assert (token != before["access_token"]) == bool(refreshes)
        after = logged_in.kept.read(PIA)
        assert after["access_token"] == token
        assert after["refresh_token"] == before["refresh_token"], "Spotify has sent no new one"
        assert {**logged_in.kept.item(PIA), "tokens": None} == {**item, "tokens": None}
        assert logged_in.status_at_spotify(token) == 200
        assert logged_in.token().text == token
        assert (logged_in.refreshes, logged_in.aws.calls) == (refreshes, ["GetItem"])

    def test_a_refresh_is_two_writes_one_decryption_and_one_encryption(self, logged_in: Visitor) -> None:
        logged_in.kept.age(PIA, 200)
        remember(logged_in)
        logged_in.token()
        assert logged_in.aws.calls == ["GetItem", "UpdateItem", "Decrypt", "Encrypt", "UpdateItem"]
        assert "refreshing" not in logged_in.kept.item(PIA)

    @pytest.mark.parametrize(
        "application", [Application(redirect_uris=(f"{STAGE_URL}/callback",), rotates=True)]
    )
    def test_a_new_refresh_token_replaces_the_old_one(self, logged_in: Visitor) -> None:
        for _ in range(3):
            before = logged_in.kept.read(PIA)["refresh_token"]
            logged_in.kept.age(PIA)
            assert logged_in.token().status == 200
            assert logged_in.kept.read(PIA)["refresh_token"] != before

    def test_without_a_refresh_token_access_ends_with_the_token_and_spotify_is_not_asked(
        self, logged_in: Visitor
    ) -> None:
        logged_in.kept.write(PIA, refresh_token="", ends=int(time.time()) + 90)
        assert logged_in.token().status == 200
        logged_in.kept.write(PIA, ends=int(time.time()) + 30)
        assert logged_in.token().status == 403
        assert logged_in.refreshes == 0
        assert "UpdateItem" not in logged_in.aws.calls

    @pytest.mark.promise("M8")
    def test_withdrawn_consent_removes_the_tokens_once_keeps_the_login_and_does_not_redirect(
        self, logged_in: Visitor, log: list[dict[str, Any]]
    ) -> None:
        logged_in.ask("revoke", user_id="pia.premium")
        logged_in.kept.age(PIA)
        reply = logged_in.token()
        assert (reply.status, log[-1]["reason"]) == (403, "access_ended")
        assert f"{STAGE_URL}/login?return_to=%2Ftoken" in reply.links
        assert not {"tokens", "refreshing"} & set(logged_in.kept.item(PIA))
        assert logged_in.token().status == 403
        assert (logged_in.refreshes, logged_in.aws.calls) == (1, ["GetItem"])
        assert logged_in.see_id() == "pia.premium"
        assert "keeps access" not in logged_in.get("/").words

    @pytest.mark.promise("M9")
    def test_a_wrong_client_secret_removes_nothing_and_logs_no_one_out(
        self, logged_in: Visitor, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
    ) -> None:
        logged_in.kept.age(PIA, 30)
        with monkeypatch.context() as wrong:
            wrong.setenv("SPOTIFY_CLIENT_SECRET", "wrong")
            assert logged_in.token().status == 500
            assert log[-1]["event"] == "configuration"
            assert log[-1]["settings"] == ["SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"]
            assert logged_in.see_id() == "pia.premium"
        logged_in.kept.change(PIA, refreshing=None)
        assert logged_in.token().status == 200

    @pytest.mark.promise("M10")
    @pytest.mark.parametrize(
        ("form", "wait"),
        [
            ({"status": "429", "retry_after": "7"}, 7),
            ({"status": "429", "retry_after": "3600"}, 60),
            ({"status": "200", "body": "nonsense"}, 5),
        ],
    )
    def test_a_failure_at_spotify_is_a_page_and_the_next_request_does_not_repeat_it(
        self, logged_in: Visitor, form: dict[str, str], wait: int, log: list[dict[str, Any]]
    ) -> None:
        logged_in.kept.age(PIA, 30)
        logged_in.ask("fail", **form, times="2")
        for reply in (logged_in.token(), logged_in.token()):
            assert (reply.status, log[-1]["reason"]) == (503, "access_delayed")
            assert wait - 2 <= int(reply.headers["retry-after"]) <= wait
        assert logged_in.refreshes == 1
        assert logged_in.see_id() == "pia.premium"
        logged_in.ask("fail", **form, times="0")
        logged_in.kept.change(PIA, refreshing={"N": str(time.time_ns() // 1000 - 1)})  # the pause is over
        assert logged_in.token().status == 200

    @pytest.mark.promise("M10")
    @pytest.mark.parametrize("what", ["Spotify", "the client secret", "Decrypt", "Encrypt", "UpdateItem"])
    def test_a_failed_refresh_leaves_the_old_token_in_use_until_it_expires(
        self, logged_in: Visitor, what: str, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
    ) -> None:
        logged_in.kept.age(PIA, 90)
        token = logged_in.kept.read(PIA)["access_token"]
        remember(logged_in)
        if what == "Spotify":
            logged_in.ask("fail", status="503", times="9")
        elif what == "the client secret":
            monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", "wrong")
        else:
            passes = [Fault(passes=True)] if what == "UpdateItem" else []
            logged_in.aws.faults[what] = [*passes, *[Fault(500)] * PERSISTENT]
        assert logged_in.token().text == token
        assert (log[-1]["event"], log[-1]["outcome"]) == ("access", "failed")
        assert logged_in.token().text == token, "no other request tries again so soon"

    @pytest.mark.promise("M11")
    @pytest.mark.parametrize(
        "faults",
        [
            [Fault(500, applied=True)],
            [Fault(passes=True), Fault(500, applied=True)],
            [Fault(passes=True), Fault(500), Fault(500), Fault(500, applied=True)],
        ],
        ids=["of the lease", "of the tokens", "of the tokens' last attempt"],
    )
    def test_a_write_that_gets_no_response_but_takes_effect_counts_as_done(
        self, logged_in: Visitor, faults: list[Fault]
    ) -> None:
        logged_in.kept.age(PIA)
        logged_in.aws.faults["UpdateItem"] = list(faults)
        token = logged_in.token().text
        assert logged_in.kept.read(PIA)["access_token"] == token
        assert logged_in.refreshes == 1

    @pytest.mark.promise("M11")
    def test_a_refresh_that_cannot_be_stored_is_a_storage_error_and_nothing_is_lost(
        self, logged_in: Visitor, log: list[dict[str, Any]]
    ) -> None:
        logged_in.kept.age(PIA)
        logged_in.aws.faults["UpdateItem"] = [Fault(passes=True), *[Fault(500)] * PERSISTENT]
        assert logged_in.token().status == 503
        assert log[-1]["reason"] == "users_unavailable"
        logged_in.aws.faults.clear()
        logged_in.kept.change(PIA, refreshing=None)
        assert logged_in.token().status == 200

    @pytest.mark.promise("M16")
    def test_a_token_that_spotify_rejected_is_refreshed_if_it_is_still_stored(
        self, logged_in: Visitor
    ) -> None:
        before = logged_in.token().text
        after = logged_in.token(rejected=before).text
        assert after != before
        assert logged_in.token(rejected=before).text == after, "another request has refreshed it"
        assert logged_in.refreshes == 1
        assert logged_in.token(rejected=[after, before]).text not in {after, before}
        assert logged_in.refreshes == 2

    @pytest.mark.promise("M16")
    def test_a_request_that_has_refreshed_does_not_refresh_again(self, logged_in: Visitor) -> None:
        request = _request(logged_in)
        first = request.access_token()
        second = request.access_token(rejected=first)
        with pytest.raises(AccessDelayed):
            request.access_token(rejected=second)
        assert logged_in.refreshes == 1

    @pytest.mark.promise("M5")
    def test_a_lease_outlasts_the_longest_refresh_of_its_holder(self, logged_in: Visitor) -> None:
        logged_in.kept.age(PIA)
        user = _request(logged_in).user
        assert user
        user.deadline = Deadline(time.monotonic() + 60)
        config, deadlines = app.process.settings(user.deadline).complete, list[Deadline]()

        def connect(deadline: Deadline) -> Parts:
            deadlines.append(deadline)
            return app.process.parts(config, deadline)

        self.leave_the_lease(logged_in)
        with pytest.raises(UsersUnavailable):
            KeptAccess(connect, user, "", "").token()
        lease = float(logged_in.kept.item(PIA)["refreshing"]["N"]) / 1e6
        assert lease - time.time() > deadlines[-1].left() + 5, "with room for clocks that differ"

    @pytest.mark.promise("M5")
    def test_requests_of_the_same_microsecond_do_not_share_a_lease(
        self, logged_in: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logged_in.kept.age(PIA)
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now)
        monkeypatch.setattr(tokens, "WAIT_SECONDS", 0.2)
        self.leave_the_lease(logged_in)
        assert logged_in.token().status == 503
        logged_in.aws.faults.clear()
        assert logged_in.token().status == 503
        assert logged_in.refreshes == 1

    def leave_the_lease(self, visitor: Visitor) -> None:
        """Have every write fail after the one that takes the lease, so that the lease stays."""
        visitor.aws.faults["UpdateItem"] = [Fault(passes=True), *[Fault(500)] * PERSISTENT]

    @pytest.mark.parametrize("refreshing", [{"S": "9"}, {"N": "1e30"}])
    def test_a_lease_that_the_app_did_not_write_does_not_count(
        self, logged_in: Visitor, refreshing: dict[str, Any]
    ) -> None:
        logged_in.kept.age(PIA)
        logged_in.kept.change(PIA, refreshing=refreshing)
        assert logged_in.token().status == 200
        assert logged_in.refreshes == 1

    def test_a_request_with_too_little_time_leaves_the_refresh_to_others(self, logged_in: Visitor) -> None:
        logged_in.kept.age(PIA)
        with pytest.raises(AccessDelayed):
            _request(logged_in, seconds=9).access_token()
        assert logged_in.refreshes == 0
        assert "refreshing" not in logged_in.kept.item(PIA)

    @pytest.mark.promise("M5")
    def test_a_request_that_has_waited_too_long_is_a_503_until_the_lease_expires(
        self, logged_in: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "WAIT_SECONDS", 0.5)
        logged_in.kept.age(PIA)
        logged_in.kept.change(PIA, refreshing={"N": f"{time.time_ns() // 1000 + 15_000_000}.5"})
        reply = logged_in.token()
        assert reply.status == 503
        assert 8 <= int(reply.headers["retry-after"]) <= 15
        assert logged_in.refreshes == 0
        logged_in.kept.change(PIA, refreshing={"N": f"{time.time_ns() // 1000 - 1}.5"})
        assert logged_in.token().status == 200

    @pytest.mark.promise("M6", "M13")
    @pytest.mark.parametrize("status", ["200", "503", "400"])
    def test_a_logout_during_a_refresh_is_final_however_the_refresh_ends(
        self, logged_in: Visitor, status: str
    ) -> None:
        reply = self.refresh(logged_in, status, lambda: logged_in.kept.table.delete(PIA))
        assert reply.location == f"{STAGE_URL}/login?return_to=%2Ftoken"
        assert logged_in.kept.table.items() == []

    @pytest.mark.promise("M7")
    @pytest.mark.parametrize("status", ["200", "503", "400"])
    def test_a_login_during_a_refresh_wins_however_the_refresh_ends(
        self, logged_in: Visitor, status: str
    ) -> None:
        newer = {"access_token": "BQ-newer", "refresh_token": "AQ-newer", "ends": int(time.time()) + 3600}
        assert self.refresh(logged_in, status, lambda: logged_in.kept.write(PIA, **newer)).text == "BQ-newer"
        assert logged_in.kept.read(PIA)["refresh_token"] == "AQ-newer"

    def refresh(self, visitor: Visitor, status: str, meanwhile: Callable[[], None]) -> Reply:
        """Open /token. While Spotify takes long for a response with that status, something else happens."""
        visitor.kept.age(PIA)
        body = {"body": '{"error": "invalid_grant"}'} if status == "400" else {}
        visitor.ask("fail", status=status, delay="0.3", **body)

        def act() -> None:
            while visitor.refreshes == 0:
                time.sleep(0.02)
            meanwhile()

        other = threading.Thread(target=act)
        other.start()
        reply = visitor.token()
        other.join()
        return reply

    def test_a_request_does_not_wait_while_its_token_can_still_be_used(self, logged_in: Visitor) -> None:
        logged_in.kept.age(PIA, 90)
        logged_in.kept.change(PIA, refreshing={"N": f"{time.time_ns() // 1000 + 15_000_000}.5"})
        assert logged_in.token().text == logged_in.kept.read(PIA)["access_token"]
        assert logged_in.refreshes == 0

    @pytest.mark.promise("M16")
    def test_a_rejected_token_is_not_used_while_another_request_refreshes(self, logged_in: Visitor) -> None:
        token = logged_in.token().text
        logged_in.kept.change(PIA, refreshing={"N": str((time.time_ns() + 3 * 10**9) // 1000)})
        assert logged_in.token(rejected=token).status == 503
        assert logged_in.token().text == token


class TestMemory:
    A, B = Owner("a", "app"), Owner("b", "app")

    @pytest.mark.promise("M14")
    def test_it_holds_no_refresh_token_and_forgets_what_has_expired(self) -> None:
        memory, now = Memory(), int(time.time())
        memory.put(self.A, b"1", Tokens("BQ", "AQ", "", now + 60))
        memory.put(self.B, b"2", Tokens("BQ", "AQ", "", now))
        assert memory.get(self.A, b"1")
        assert memory.get(self.B, b"2") is None
        assert memory.get(self.B, b"1") is None, "a ciphertext belongs to one account"
        assert memory.get(Owner("a", "another app"), b"1") is None
        assert "AQ" not in str([vars(access) for access in memory._known.values()])

    @pytest.mark.promise("M14")
    def test_it_forgets_the_oldest_of_too_many(self) -> None:
        memory, tokens = Memory(), Tokens("BQ", "", "", int(time.time()) + 60)
        for number in [*range(MOST_REMEMBERED), 0, 0, MOST_REMEMBERED]:
            memory.put(Owner(str(number), "app"), b"", tokens)
        assert memory.get(Owner("0", "app"), b""), "it was put again"
        assert memory.get(Owner("1", "app"), b"") is None
        assert memory.get(Owner("2", "app"), b"")
        assert len(memory._known) == MOST_REMEMBERED
