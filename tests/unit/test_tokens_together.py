"""Kept access under interleaving: requests that refresh, a logout and a login, one external call at a time.

The app's own code runs against moto and the simulated Spotify. Each actor is a thread that stops before each call to
AWS or Spotify, and before each pause. Hypothesis decides who goes on, whether a call fails, with or without effect,
and which actor is killed, as a whole instance would be.
"""

from __future__ import annotations

import io
import json
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import boto3
import pytest
import requests
from botocore.exceptions import ClientError
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from chalicelib import aws, tokens
from chalicelib.claims import Claims
from chalicelib.config import Config
from chalicelib.deadline import Deadline
from chalicelib.errors import AccessDelayed, AccessEnded, KeyUnavailable, LoginRequired, UsersUnavailable
from chalicelib.profile import Profile
from chalicelib.sessions import User
from chalicelib.spotify import Spotify, Tokens
from chalicelib.table import Table
from chalicelib.tokens import KeptAccess, Parts
from chalicelib.transport import Transport
from chalicelib.users import Users
from chalicelib.vault import Memory, Vault
from simulator.spotify import Application, create_app
from tests.support.table import TABLE
from tests.support.table import Table as StoredTable

ALIAS = "alias/tokens"
REGION = "eu-west-1"
URL = "http://spotify.test"
REDIRECT_URI = "http://127.0.0.1/callback"
CONFIG = Config(
    {
        "SPOTIFY_CLIENT_ID": Application.client_id,
        "SPOTIFY_CLIENT_SECRET": Application.client_secret,
        "SECRET_KEY": "a signing key that is used only in tests",
        "USERS_TABLE": TABLE,
        "TOKENS_KMS_ALIAS": ALIAS,
    }
)
CONFIG.accounts_url = CONFIG.api_url = URL

FAILED = ClientError(
    {"Error": {"Code": "InternalServerError"}, "ResponseMetadata": {"HTTPStatusCode": 500}},  # type: ignore[typeddict-item]
    "call",
)
OUTCOMES = (str, LoginRequired, AccessEnded, AccessDelayed, KeyUnavailable, UsersUnavailable)


class Killed(BaseException):
    """The instance is gone: none of its code runs any more."""


class Actor(threading.Thread):
    """A request. It stops before each external call, until it gets an order."""

    def __init__(self, name: str, act: Callable[[Actor], Any]) -> None:
        super().__init__(name=name, daemon=True)
        self.outcome: Any = None
        self.ended = self.killed = False
        self.next_call = ""
        self.lease = ""
        self.read_after_logout = False
        self._act = act
        self._orders: queue.Queue[str] = queue.Queue()
        self._arrivals: queue.Queue[str] = queue.Queue()

    def run(self) -> None:
        try:
            self.outcome = self._act(self)
        except Killed:
            self.killed = True
        except Exception as error:  # noqa: BLE001 - the check judges it
            self.outcome = error
        self.ended = True
        self._arrivals.put("")

    def call(self, name: str) -> str:
        """Wait before an external call for an order: `go`, `fail` (without effect), `lose` (with), `die`."""
        self._arrivals.put(name)
        order = self._orders.get()
        if order == "die":
            raise Killed
        return order

    def arrive(self) -> None:
        """Wait until the actor stops before its next call, or ends."""
        self.next_call = self._arrivals.get(timeout=30)

    def order(self, order: str) -> None:
        self._orders.put(order)
        self.arrive()


class Client:
    """A boto3 client of one actor."""

    def __init__(self, client: Any, actor: Actor) -> None:
        self._client = client
        self._actor = actor

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            order = self._actor.call(operation)
            if order == "fail":
                raise FAILED
            response = getattr(self._client, operation)(**parameters)
            lease = parameters.get("ExpressionAttributeValues", {}).get(":lease", {}).get("N", "")
            if lease and response["Attributes"].get("refreshing", {}).get("N") == lease:
                self._actor.lease = lease
            if order == "lose":
                raise FAILED
            return response

        return call


class Inside(HTTPAdapter):
    """Sends requests to a WSGI app in this process, without a network."""

    def __init__(self, app: Any, actor: Actor | None = None) -> None:
        super().__init__()
        self._app = app
        self._actor = actor

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        order = self._actor.call("POST") if self._actor else "go"
        if order == "fail":
            raise requests.ConnectionError
        url, headers = urlsplit(str(request.url)), dict(request.headers)
        reply = self._app.test_client().open(
            url.path, method=request.method, data=request.body, headers=headers
        )
        if order == "lose":
            raise requests.ConnectionError
        body = io.BytesIO(reply.data)
        raw = HTTPResponse(body, dict(reply.headers), reply.status_code, preload_content=False)
        return self.build_response(request, raw)


def sleep(seconds: float, stock: Callable[[float], None] = time.sleep) -> None:
    """Pause an actor until it is its turn again; the driver decides how much time has passed."""
    actor = threading.current_thread()
    if isinstance(actor, Actor):
        actor.call("sleep")
    else:
        stock(seconds)


@pytest.fixture(scope="module", autouse=True)
def emulated() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        StoredTable().create()
        kms = boto3.client("kms")
        kms.create_alias(AliasName=ALIAS, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        # A slow machine must not time out here: the subject is the order of the calls.
        patch.setattr(aws, "CALL_SECONDS", 60.0)
        patch.setattr(tokens, "HOLD_SECONDS", 600.0)
        patch.setattr(tokens, "WAIT_SECONDS", 600.0)
        patch.setattr(time, "sleep", sleep)
        yield


@cache
def spotify(*, rotates: bool) -> Any:
    return create_app(Application(rotates=rotates, redirect_uris=(REDIRECT_URI,)))


@cache
def client(service: str) -> Any:
    return boto3.client(service)  # type: ignore[call-overload]


@dataclass
class Scene:
    """One user with kept access, whose access token is about to end or has ended, and the actors."""

    rotates: bool
    seconds_left: int
    withdrawn: bool = False
    """Whether the user has withdrawn consent, which ends the first login's tokens."""
    actors: list[Actor] = field(default_factory=list)
    deleted: bool = False
    renewed_login: str = ""
    """The refresh token of the second login, once that is stored."""

    def __post_init__(self) -> None:
        self.key = str(uuid.uuid4())
        self.spotify = spotify(rotates=self.rotates)
        self.dynamodb, self.kms = client("dynamodb"), client("kms")
        self.profile = Profile.parse(json.dumps({"id": self.key, "account_id": self.key}))
        first = self.agree()
        self.old = replace(first, ends=int(time.time()) + self.seconds_left)
        sealed = self.vault(self.kms, Memory()).seal(self.key, self.old)
        users = Users(lambda: self.dynamodb, TABLE, self.deadline())
        self.login_id = users.remember(self.profile, None, sealed)
        if self.withdrawn:
            self.spotify.test_client().post("/_simulator/revoke", data={"user_id": self.key})

    def deadline(self) -> Deadline:
        return Deadline(time.monotonic() + 1000)

    def vault(self, kms: Any, memory: Memory) -> Vault:
        return Vault(lambda: kms, CONFIG, self.deadline(), memory)

    def transport(self, actor: Actor | None) -> Transport:
        transport = Transport()
        transport._session.mount(URL, Inside(self.spotify, actor))
        return transport

    def agree(self) -> Tokens:
        """The tokens of a new authorization."""
        query = {
            "client_id": CONFIG.client_id,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": CONFIG.scope,
        }
        form = {"decision": "agree", "user_id": self.key}
        reply = self.spotify.test_client().post(f"/authorize?{urlencode(query)}", data=form)
        (code,) = parse_qs(urlsplit(reply.headers["Location"]).query)["code"]
        return Spotify(CONFIG, self.transport(None), self.deadline()).exchange(code, "", REDIRECT_URI)

    def refresher(self, name: str) -> Actor:
        """A request, on an instance of its own, for a page that needs an access token."""
        memory = Memory()

        def act(actor: Actor) -> str:
            dynamodb, kms = Client(self.dynamodb, actor), Client(self.kms, actor)
            users = Users(lambda: dynamodb, TABLE, self.deadline())
            session = Claims(self.key, self.login_id, "session", 0, 0)
            found = users.find(session)
            actor.read_after_logout = self.deleted and not self.renewed_login
            if found is None:
                raise LoginRequired
            user = User(found.profile, 0, self.login_id, self.deadline(), found.tokens)

            def connect(deadline: Deadline) -> Parts:
                vault = self.vault(kms, memory)
                spotify = Spotify(CONFIG, self.transport(actor), deadline)
                return Parts(Table(lambda: dynamodb, TABLE, deadline), vault, spotify)

            return KeptAccess(connect, user, "", "").token()

        return Actor(name, act)

    def logout(self) -> Actor:
        def act(actor: Actor) -> str:
            users = Users(lambda: Client(self.dynamodb, actor), TABLE, self.deadline())
            users.forget(Claims(self.key, self.login_id, "session", 0, 0))
            return "ended"

        return Actor("logout", act)

    def login(self) -> Actor:
        """The user logs in again, on another device."""
        again = self.agree()

        def act(actor: Actor) -> str:
            sealed = self.vault(Client(self.kms, actor), Memory()).seal(self.key, again)
            users = Users(lambda: Client(self.dynamodb, actor), TABLE, self.deadline())
            users.remember(self.profile, None, sealed)
            return again.refresh_token

        return Actor("login", act)

    def item(self) -> dict[str, Any]:
        """The item as moto has it. A call through boto3 would take most of the test's time."""
        backend = dynamodb_backends["123456789012"][REGION]
        found = backend.get_item(TABLE, {"account_id": {"S": self.key}})
        return dict(found.to_json()["Attributes"]) if found else {}

    def stored(self) -> Tokens | None:
        item = StoredTable().get(self.key) or {}
        return self.vault(self.kms, Memory()).open(self.key, item["tokens"]["B"])

    def end_lease(self) -> None:
        """Let time pass until a lease is over, as it does only once its holder is no more."""
        if "refreshing" in self.item():
            StoredTable().put({**(StoredTable().get(self.key) or {}), "refreshing": {"N": "1"}})

    @property
    def holders(self) -> list[Actor]:
        """The living actors that hold the lease."""
        held = self.item().get("refreshing", {}).get("N")
        return [actor for actor in self.actors if actor.lease == held and not actor.ended]

    @property
    def refreshes(self) -> int:
        counts = self.spotify.test_client().get("/_simulator/refreshes").json or {}
        return int(counts.get(self.key, 0))

    def is_valid(self, access_token: str) -> bool:
        headers = {"Authorization": f"Bearer {access_token}"}
        return bool(self.spotify.test_client().get("/v1/me", headers=headers).status_code == 200)


def play(scene: Scene, data: st.DataObject, faults: int) -> None:
    """Let the actors go on, in an order that hypothesis draws, until all have ended."""
    for actor in scene.actors:
        actor.start()
        actor.arrive()
    while waiting := [actor for actor in scene.actors if not actor.ended]:
        if all(actor.next_call == "sleep" for actor in waiting) and not scene.holders:
            scene.end_lease()
        orders = ["go", *(["fail", "lose", "die"] if faults else [])]
        actor = data.draw(st.sampled_from(waiting))
        order = data.draw(st.sampled_from(orders)) if actor.next_call != "sleep" else "go"
        before, call = scene.item(), actor.next_call
        if call == "POST" and before.get("tokens"):
            assert scene.holders in ([], [actor]), "another request holds the lease"
        faults -= order != "go"
        actor.order(order)
        if call != "sleep":
            after = scene.item()
            scene.deleted |= bool(before and not after)
            if actor.name == "login" and after.get("tokens") != before.get("tokens"):
                scene.renewed_login = "stored"
            assert set(after) in (set(), *WHOLE), "an item is whole or gone"


WHOLE = [
    {"account_id", "login_id", "profile", "expires_at", *optional}
    for optional in ((), ("tokens",), ("tokens", "refreshing"))
]
"""The attributes that an item may have. A key alone, or a lease without tokens, would be the trace of a lost race."""


def check(scene: Scene) -> None:
    """What must hold however the actors were interleaved."""
    refreshers = [actor for actor in scene.actors if actor.name.startswith("refresher")]
    for actor in refreshers:
        assert actor.killed or isinstance(actor.outcome, OUTCOMES), actor.outcome
        if isinstance(actor.outcome, str):
            withdrawn = scene.withdrawn and actor.outcome == scene.old.access_token
            assert withdrawn or scene.is_valid(actor.outcome)
            assert not actor.read_after_logout
    if scene.deleted and not scene.renewed_login:
        assert scene.item() == {}, "a logout is final"
    if scene.item() and not scene.rotates and (scene.renewed_login or not scene.withdrawn):
        kept = scene.stored()
        assert kept, "access is not lost"
        logins = [actor.outcome for actor in scene.actors if actor.name == "login" and scene.renewed_login]
        assert kept.refresh_token in (logins if logins and logins[0] else [kept.refresh_token])
        scene.end_lease()
        later = scene.refresher("refresher later")
        scene.login_id = scene.item()["login_id"]["S"]
        later.start()
        later.arrive()
        while not later.ended:
            later.order("go")
        assert isinstance(later.outcome, str), later.outcome
        assert scene.is_valid(later.outcome)


# Shrinking would take minutes. A failing example has few steps as it is.
EXPLORE = settings(phases=[Phase.generate])


@pytest.mark.promise("M5", "M6", "M7", "M13")
@EXPLORE
@given(st.data(), st.booleans(), st.sampled_from([-1, 90]), st.booleans(), st.integers(0, 2))
def test_no_interleaving_loses_access_restores_a_login_or_refreshes_twice(
    data: st.DataObject, rotates: bool, seconds_left: int, withdrawn: bool, faults: int
) -> None:
    scene = Scene(rotates, seconds_left, withdrawn)
    others = [scene.logout, scene.login]
    scene.actors = [scene.refresher("refresher 1"), scene.refresher("refresher 2")]
    scene.actors += [other() for other in others if data.draw(st.booleans())]
    play(scene, data, faults)
    check(scene)


@pytest.mark.promise("M4")
@settings(EXPLORE, max_examples=settings().max_examples // 2)
@given(st.data(), st.booleans(), st.sampled_from([-1, 90]))
def test_however_three_requests_interleave_one_refreshes_and_none_fails(
    data: st.DataObject, rotates: bool, seconds_left: int
) -> None:
    scene = Scene(rotates, seconds_left)
    scene.actors = [scene.refresher(f"refresher {number}") for number in range(3)]
    play(scene, data, faults=0)
    tokens = {actor.outcome for actor in scene.actors}
    kept = scene.stored()
    assert kept
    assert scene.refreshes == 1
    assert tokens <= {kept.access_token, *([scene.old.access_token] if seconds_left > 0 else [])}
    assert "refreshing" not in scene.item()
