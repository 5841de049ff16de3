"""The creation of the app's parts, and settings in Parameter Store."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from app import app
from chalicelib import parameters, process
from chalicelib.aws import Clients
from chalicelib.config import Config
from chalicelib.deadline import Deadline
from chalicelib.errors import ConfigurationError
from chalicelib.events import CHECK
from chalicelib.process import Process
from deploy import PROJECT
from tests.support.gateway import GatewayVisitor
from tests.support.servers import clean_environment, python
from tests.support.table import Table

PATH = "/spotify-login/dev"


@pytest.fixture
def on_lambda(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Set the environment of a function on Lambda that reads parameters; yields an SSM client."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "spotify-login-dev")
    monkeypatch.setenv("PARAMETER_PATH", PATH)
    monkeypatch.setattr(app, "process", Process())
    with mock_aws():
        yield boto3.client("ssm")


def store(ssm: Any, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Move settings from the environment to parameters."""
    for name in names:
        ssm.put_parameter(Name=f"{PATH}/{name}", Value=os.environ[name], Type="SecureString", Overwrite=True)
        monkeypatch.delenv(name)


def test_parameters_supply_settings_that_the_environment_lacks_and_no_other_variables(
    on_lambda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Config(os.environ)
    store(on_lambda, monkeypatch, "SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET", "SECRET_KEY")
    others = ("USERS_TABLE", "PATH", "TOKENS_KMS_ALIAS", "below/SPOTIFY_SCOPE")
    for name in (*others, *(f"A{number}" for number in range(25))):  # several pages of parameters
        on_lambda.put_parameter(Name=f"{PATH}/{name}", Value="another", Type="String")
    found = Process().settings(Deadline()).supplied
    assert vars(Config(found)) == vars(before)
    assert not {"PATH", "TOKENS_KMS_ALIAS"} & set(found), "nor does a parameter turn on kept access"
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
    assert "SECRET_KEY" not in Process().settings(Deadline()).supplied, "only a function on Lambda reads them"


def test_a_secret_of_the_site_comes_from_the_environment_or_from_a_parameter(
    on_lambda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "SECRETS", ("LASTFM_KEY", "MAP_KEY", "UNSET"))
    monkeypatch.setenv("MAP_KEY", "a")
    on_lambda.put_parameter(Name=f"{PATH}/LASTFM_KEY", Value="b", Type="SecureString")
    found = Process().settings(Deadline())
    assert (found.secret("MAP_KEY"), found.secret("LASTFM_KEY")) == ("a", "b")
    with pytest.raises(ConfigurationError) as missing:
        found.secret("UNSET")
    assert missing.value.settings == ("UNSET",)


@pytest.mark.promise("K2")
def test_the_policies_allow_exactly_the_calls_that_the_app_makes(
    table: Table, visitor: GatewayVisitor, on_lambda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(on_lambda, monkeypatch, "SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET", "SECRET_KEY")
    called = {"logs.CreateLogStream", "logs.PutLogEvents"}

    def note(**call: Any) -> None:
        called.add(call["event_name"].removeprefix("before-call."))

    for service in ("ssm", "dynamodb"):
        app.process.client(service).meta.events.register("before-call", note)
    for user_id in ("one", "one", "another"):  # a login, a second one, and one with another account
        visitor.log_in("premium", user_id)
        assert visitor.see_id() == user_id
    visitor.get("/logout")
    for stage in ("dev", "prod"):
        actions: list[str] = []
        for statement in json.loads((PROJECT / f".chalice/policy-{stage}.json").read_text())["Statement"]:
            action = statement["Action"]
            actions += [action] if isinstance(action, str) else action
        assert sorted(actions) == sorted(call.replace(".", ":") for call in called)


class Store:
    """A Parameter Store that can be made to fail, and a clock that can be set."""

    def __init__(self, ssm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_795_478_400.0
        self.broken = ""
        self.reads = 0
        monkeypatch.setattr(time, "time", lambda: self.now)
        self._ssm = ssm
        self.parameters = parameters.Parameters(PATH, lambda: self)

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **call: Any) -> Any:
        self.reads += 1
        if self.broken == "no Parameters":
            return [{}]
        if self.broken:
            error = {"Error": {"Code": self.broken}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(error, "GetParametersByPath")  # type: ignore[arg-type]
        return self._ssm.get_paginator("get_parameters_by_path").paginate(**call)

    def scope(self) -> str | None:
        return self.parameters.values(Deadline()).get("SPOTIFY_SCOPE")


@pytest.fixture
def stored(on_lambda: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    on_lambda.put_parameter(Name=f"{PATH}/SPOTIFY_SCOPE", Value="user-read-email", Type="String")
    return Store(on_lambda, monkeypatch)


@pytest.mark.parametrize("failure", ["AccessDeniedException", "no Parameters"])
def test_a_failed_refresh_keeps_the_last_good_values_and_is_retried_after_30_seconds(
    stored: Store, log: list[dict[str, Any]], failure: str
) -> None:
    assert stored.scope() == "user-read-email"
    stored.broken = failure
    stored.now += parameters.FRESH + 1
    for _ in range(3):
        assert stored.scope() == "user-read-email"
    assert [line["reason"] for line in log] == ["parameters_stale"], "only the first request reads again"
    before = stored.reads
    stored.now += parameters.RETRY - 1
    assert stored.scope() == "user-read-email"
    assert stored.reads == before
    stored.broken = ""
    stored.now += 2
    assert stored.scope() == "user-read-email"
    assert stored.reads == before + 1
    stored.now += parameters.FRESH - 1
    assert stored.scope() == "user-read-email"
    assert stored.reads == before + 1, "the new values are fresh for five minutes"
    stored.now -= 3600
    assert stored.scope() == "user-read-email"
    assert stored.reads == before + 2, "the clock was set back"


def test_an_unreadable_parameter_store_is_a_configuration_error_until_it_recovers(
    stored: Store, log: list[dict[str, Any]]
) -> None:
    stored.broken = "no Parameters"
    for _ in range(2):
        with pytest.raises(ConfigurationError) as failure:
            stored.scope()
        assert failure.value.settings == ("PARAMETER_PATH",)
    assert [(line["reason"], line["detail"]) for line in log] == [("parameters_unread", "KeyError")] * 2
    stored.broken = ""
    assert stored.scope() == "user-read-email"


@pytest.mark.promise("K1")
def test_a_missing_setting_gives_an_error_page_and_one_log_line_that_names_it(
    visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
) -> None:
    monkeypatch.setenv("SECRET_KEY", "aliens")
    monkeypatch.delenv("SPOTIFY_CLIENT_ID")
    reply = visitor.get("/login")
    assert reply.status == 500
    (line,) = log
    assert (line["event"], line["settings"]) == ("configuration", ["SECRET_KEY", "SPOTIFY_CLIENT_ID"])
    assert line["request_id"] in reply.words
    assert "SECRET_KEY" not in reply.text
    assert "aliens" not in reply.text + str(log)


IMPORTED_BARE = """
import app, os, sys
from tests.support.gateway import event, invoke

os.environ |= {"SPOTIFY_CLIENT_ID": "id", "SPOTIFY_CLIENT_SECRET": "secret", "USERS_TABLE": "users"}
os.environ["SECRET_KEY"] = "0123456789abcdefghijklmnopqrstuv"
print(invoke(event("/login")).status, sorted({"botocore", "chalicelib.transport"} & set(sys.modules)))
"""


def printed(script: str, environment: dict[str, str] | None = None) -> str:
    """The last line that a script prints in a process of its own, with only these variables."""
    done = subprocess.run(
        python("-c", script),
        cwd=PROJECT,
        env=clean_environment(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_importing_the_app_needs_no_environment_variables_and_the_login_route_no_aws_or_http_client() -> None:
    assert printed(IMPORTED_BARE) == "307 []"


def test_only_on_lambda_clients_are_created_during_the_initialization(
    on_lambda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    stock = Clients._create

    def create(clients: Clients, service: str) -> Any:
        made.append(service)
        return stock(clients, service)

    def created() -> list[str]:
        made.clear()
        process = Process()
        process.prepare()
        return [*made, *{"_transport"} & {*vars(process)}]

    monkeypatch.setattr(Clients, "_create", create)
    assert created() == ["ssm", "dynamodb", "_transport"]
    monkeypatch.setenv("TOKENS_KMS_ALIAS", "alias/tokens")
    assert created() == ["ssm", "dynamodb", "kms", "_transport"], (
        "with kept access, the key gets a client too"
    )
    assert gc.isenabled()
    gc.unfreeze()
    with monkeypatch.context() as incomplete:
        incomplete.delenv("SECRET_KEY")
        assert created() == ["ssm"], "the first request reports it"
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
    assert created() == []


ONE_VISIT = """
import os, sys
from moto import mock_aws
from chalicelib import aws
from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.support.table import Table

clients, stock = [], aws.Clients._create
aws.Clients._create = lambda known, service: clients.append(service) or stock(known, service)
with mock_aws():
    Table().create()
    from tests.support.gateway import STAGE_URL, GatewayVisitor

    url = serve(create_app(Application(redirect_uris=(f"{STAGE_URL}/callback",))))
    os.environ |= {"SPOTIFY_ACCOUNTS_URL": url, "SPOTIFY_API_URL": url}
    visitor = GatewayVisitor()
    visitor.log_in()
    assert visitor.see_id() == "pia.premium"
    assert set(Table().items()[0]) == {"account_id", "login_id", "profile", "expires_at"}
    visitor.get("/logout")
    print(clients, sorted({"chalicelib.tokens", "chalicelib.vault"} & set(sys.modules)))
"""


@pytest.mark.promise("M1")
def test_without_the_setting_nothing_of_kept_access_is_loaded_stored_or_called(
    settings: dict[str, str],
) -> None:
    environment = {**settings, "AWS_LAMBDA_FUNCTION_NAME": "spotify-login-dev"}
    assert printed(ONE_VISIT, environment) == "['dynamodb'] []"


def test_doctors_check_reads_the_parameters_anew_and_leaves_those_that_visitors_use(on_lambda: Any) -> None:
    on_lambda.put_parameter(Name=f"{PATH}/SPOTIFY_SCOPE", Value="user-read-email", Type="SecureString")
    before = app.process.settings(Deadline()).scope
    on_lambda.put_parameter(
        Name=f"{PATH}/SECRET_KEY", Value=os.environ.pop("SECRET_KEY"), Type="SecureString"
    )
    assert app(CHECK, None)["reason"] == "users_unavailable", "there is no table, but all settings"
    assert app.process.settings(Deadline()).scope == before
    assert "SECRET_KEY" not in app.process.settings(Deadline()).supplied
