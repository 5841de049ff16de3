"""The composition root, and settings in Parameter Store."""

from __future__ import annotations

import gc
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from chalicelib import parameters, services
from chalicelib.config import Config
from chalicelib.errors import ConfigurationError
from tests.support.gateway import GatewayVisitor, event, invoke
from tests.support.servers import PROJECT, clean_environment, python
from tests.support.table import Table

PATH = "/spotify-login/dev"


@pytest.fixture
def on_lambda(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function whose secrets are parameters; yields the SSM client."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "spotify-login-dev")
    monkeypatch.setenv("PARAMETER_PATH", PATH)
    services._parameters.cache_clear()
    with mock_aws():
        yield boto3.client("ssm")
    services._parameters.cache_clear()


def store(ssm: Any, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Move settings from the environment to parameters."""
    for name in names:
        ssm.put_parameter(Name=f"{PATH}/{name}", Value=os.environ[name], Type="SecureString", Overwrite=True)
        monkeypatch.delenv(name)


def test_parameters_supply_what_the_environment_does_not(
    on_lambda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Config.from_mapping(os.environ)
    store(on_lambda, monkeypatch, "SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET", "SECRET_KEY")
    on_lambda.put_parameter(Name=f"{PATH}/USERS_TABLE", Value="another", Type="String")
    on_lambda.put_parameter(Name=f"{PATH}/PATH", Value="/evil", Type="String")
    on_lambda.put_parameter(Name=f"{PATH}/below/SPOTIFY_SCOPE", Value="x", Type="String")
    assert services.config() == before
    assert "PATH" not in services.settings()


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_policy_allows_exactly_what_the_app_calls(
    stage: str, table: Table, visitor: GatewayVisitor, on_lambda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(on_lambda, monkeypatch, "SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET", "SECRET_KEY")
    services._session.cache_clear()
    services._users.cache_clear()
    called: set[str] = set()

    def note(**call: Any) -> None:
        called.add(call["event_name"].removeprefix("before-call."))

    services._session().register("before-call", note)
    for user_id in ("one", "one", "another"):  # a login, one again, and one as somebody else
        visitor.log_in("premium", user_id)
        assert visitor.see_id() == user_id
    visitor.get("/logout")
    platform = {"logs.CreateLogStream", "logs.PutLogEvents"}
    statements = json.loads((PROJECT / f".chalice/policy-{stage}.json").read_text())["Statement"]
    actions = [
        action
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]
    assert sorted(actions) == sorted(call.replace(".", ":") for call in called | platform)


def test_more_parameters_than_one_page_are_read(on_lambda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(25):
        on_lambda.put_parameter(Name=f"{PATH}/A{number:02}", Value="x", Type="String")
    store(on_lambda, monkeypatch, "SPOTIFY_CLIENT_SECRET")
    assert services.config()


def test_off_lambda_there_are_no_parameters(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARAMETER_PATH", PATH)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert services.config()


def test_a_rotated_parameter_is_seen_after_five_minutes(
    on_lambda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_lambda.put_parameter(Name=f"{PATH}/SPOTIFY_SCOPE", Value="user-read-email", Type="String")
    assert services.config().scope == "user-read-email"
    on_lambda.put_parameter(
        Name=f"{PATH}/SPOTIFY_SCOPE", Value="user-top-read", Type="String", Overwrite=True
    )
    assert services.config().scope == "user-read-email"
    monkeypatch.setattr(parameters, "FRESH", 0.0)
    assert services.config().scope == "user-top-read"


def test_a_refresh_that_fails_keeps_the_last_good_values_and_is_logged(
    on_lambda: Any, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
) -> None:
    class Client:
        working = True

        def get_paginator(self, name: str) -> Any:
            if not self.working:
                raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GetParametersByPath")
            return on_lambda.get_paginator(name)

    on_lambda.put_parameter(Name=f"{PATH}/SPOTIFY_SCOPE", Value="user-read-email", Type="String")
    client = Client()
    stored = parameters.Parameters(lambda: client, PATH)  # type: ignore[arg-type, return-value]
    assert stored.values() == {"SPOTIFY_SCOPE": "user-read-email"}
    client.working = False
    monkeypatch.setattr(parameters, "FRESH", 0.0)
    assert stored.values() == {"SPOTIFY_SCOPE": "user-read-email"}
    assert [(line["reason"], line["error"]) for line in log] == [("parameters_stale", "ThrottlingException")]


def test_a_first_load_that_fails_is_a_configuration_error_and_is_not_kept(
    on_lambda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(on_lambda, monkeypatch, "SPOTIFY_CLIENT_SECRET")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ConfigurationError) as failure:
        services.config()
    assert failure.value.settings == ("PARAMETER_PATH",)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert services.config()


def test_a_missing_setting_is_a_page_and_one_line_that_names_it(
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


def test_without_a_region_the_log_names_the_variable(
    visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    services._users.cache_clear()
    assert visitor.log_in().status == 500
    assert log[-1]["settings"] == ["AWS_DEFAULT_REGION"]


def test_login_needs_no_client_of_anything() -> None:
    script = (
        "import sys; from tests.support.gateway import event, invoke;"
        "print(invoke(event('/login')).status, sorted({'botocore', 'chalicelib.wire'} & set(sys.modules)))"
    )
    environment = {
        "SPOTIFY_CLIENT_ID": "id",
        "SPOTIFY_CLIENT_SECRET": "secret",
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuv",
        "USERS_TABLE": "users",
    }
    output = subprocess.run(
        python("-c", script),
        cwd=PROJECT,
        env=clean_environment(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert output.splitlines()[-1] == "307 []"


def test_on_lambda_everything_is_made_before_the_first_visitor_comes(on_lambda: Any) -> None:
    services._users.cache_clear()
    services._spotify.cache_clear()
    services.prepare()
    assert services._users.cache_info().currsize == services._spotify.cache_info().currsize == 1
    assert gc.isenabled()
    gc.unfreeze()


def test_elsewhere_nothing_is_made(settings: dict[str, str]) -> None:
    services._spotify.cache_clear()
    services.prepare()
    assert services._spotify.cache_info().currsize == 0


def test_a_function_without_settings_starts_all_the_same_and_says_so_when_it_is_asked(
    on_lambda: Any, visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    services.prepare()
    assert not log
    assert visitor.get("/login").status == 500
    assert log[-1]["settings"] == ["SECRET_KEY"]


def test_importing_the_app_needs_no_environment() -> None:
    done = subprocess.run(python("-c", "import app"), cwd=PROJECT, env=clean_environment(), check=False)
    assert done.returncode == 0


def test_on_lambda_without_a_domain_the_redirect_uri_must_be_set(on_lambda: Any) -> None:
    sent = event("/")
    del sent["requestContext"]["domainName"]
    assert invoke(sent).status == 500
