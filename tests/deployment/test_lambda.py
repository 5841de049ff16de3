"""The calls of each route, counted with the package on Lambda's own runtime client."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from simulator.spotify import Application
from tests.support import tls
from tests.support.counted import Cloud
from tests.support.runtime import PYTHON, Function, FunctionVisitor, function
from tests.support.table import TABLE
from tests.support.world import SECRET_KEY


@pytest.fixture
def visitor(running: Function) -> FunctionVisitor:
    """A visitor without cookies."""
    return FunctionVisitor(function=running)


@pytest.fixture(scope="module")
def network(aws: Cloud, tmp_path_factory: pytest.TempPathFactory) -> tls.Tls:
    """The same services under their own host names, over TLS."""
    return tls.serve(aws, tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def trusting(task: Path, network: tls.Tls, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unzipped package, which trusts the CA of these services, without the libraries' slow bundles of roots."""
    copy = shutil.copytree(task, tmp_path_factory.mktemp("trusting") / "task")
    network.trust(copy)
    for bundle in copy.glob("*/cacert.pem"):
        bundle.write_bytes(b"")
    return copy


@pytest.fixture
def over_tls(trusting: Path, network: tls.Tls, aws: Cloud, tmp_path: Path) -> Iterator[FunctionVisitor]:
    """A visitor of a function that calls Spotify and AWS over TLS. The counts include its initialization."""
    aws.forget()
    with function(trusting, network.environment(aws.environment), tmp_path / "log") as started:
        yield FunctionVisitor(function=started, spotify=aws.spotify_url)


def test_a_visitor_can_log_in_and_out(visitor: FunctionVisitor, running: Function) -> None:
    assert visitor.see_id() == "None"
    assert visitor.log_in().status == 307
    assert visitor.see_id() == "pia.premium"
    assert visitor.get("/logout").status == 307
    assert visitor.see_id() == "None"
    for line in running.log.splitlines():
        assert json.loads(line)["event"] in ("login", "logout"), "the log has no other lines"


def test_the_app_needs_only_the_package_and_the_standard_library(task: Path, aws: Cloud) -> None:
    environment = {**aws.environment, "AWS_LAMBDA_FUNCTION_NAME": "x", "PYTHONDONTWRITEBYTECODE": "1"}
    without_site_packages = [str(PYTHON), "-S", "-c", "import app, chalicelib.transport, chalicelib.users"]
    subprocess.run(without_site_packages, cwd=task, env=environment, check=True)


def test_a_logged_out_visitor_causes_no_call(visitor: FunctionVisitor, aws: Cloud) -> None:
    visitor.see_id()
    visitor.begin()
    assert aws.aws.calls == aws.spotify.calls == []


def test_a_login_costs_two_calls_to_spotify_and_one_write(visitor: FunctionVisitor, aws: Cloud) -> None:
    callback = visitor.agree(visitor.begin())
    aws.forget()
    visitor.get(callback)
    assert aws.spotify.calls == ["POST /api/token", "GET /v1/me"]
    assert aws.aws.calls == ["UpdateItem"]


def test_a_page_for_a_logged_in_user_costs_one_consistent_read(visitor: FunctionVisitor, aws: Cloud) -> None:
    visitor.log_in()
    aws.forget()
    visitor.see_id()
    assert (aws.aws.calls, aws.spotify.calls) == (["GetItem"], [])
    assert json.loads(aws.aws.bodies[0])["ConsistentRead"] is True


def test_a_logout_costs_one_delete(visitor: FunctionVisitor, aws: Cloud) -> None:
    visitor.log_in()
    aws.forget()
    visitor.get("/logout")
    assert (aws.aws.calls, aws.spotify.calls) == (["DeleteItem"], [])


def test_only_the_initialization_reads_the_parameters(task: Path, aws: Cloud, tmp_path: Path) -> None:
    aws.forget()
    with function(task, aws.environment, tmp_path / "log") as started:
        assert aws.aws.calls == ["GetParametersByPath"]
        FunctionVisitor(function=started).log_in()
        assert aws.aws.calls == ["GetParametersByPath", "UpdateItem"]


def test_the_second_login_opens_no_connection(visitor: FunctionVisitor, aws: Cloud) -> None:
    visitor.log_in()
    callback = visitor.agree(visitor.begin())
    aws.forget()
    visitor.get(callback)
    visitor.see_id()
    assert (len(aws.spotify.calls), len(aws.aws.calls)) == (2, 2)
    assert (aws.spotify.opened, aws.aws.opened) == (0, 0)


def test_an_ordinary_profile_costs_one_read_unit_and_one_write_unit(
    visitor: FunctionVisitor, aws: Cloud
) -> None:
    visitor.log_in("premium")
    (item,) = aws.client("dynamodb").scan(TableName=TABLE)["Items"]
    size = sum(len(name) + len("".join(next(iter(value.values()))).encode()) for name, value in item.items())
    indented = json.dumps(json.loads(item["profile"]["S"]), indent=2)
    assert size + len(indented) - len(item["profile"]["S"]) < 1024, "a write unit is 1 KB, a read unit 4 KB"


@pytest.mark.parametrize("users", [10, 10_000])
def test_a_visit_costs_the_same_with_any_number_of_users(
    visitor: FunctionVisitor, aws: Cloud, users: int
) -> None:
    client = aws.client("dynamodb")
    for start in range(0, users, 25):
        puts = [
            {"PutRequest": {"Item": {"account_id": {"S": f"user-{number}"}}}}
            for number in range(start, min(start + 25, users))
        ]
        client.batch_write_item(RequestItems={TABLE: puts})
    aws.forget()
    visitor.log_in()
    visitor.see_id()
    visitor.get("/logout")
    assert aws.aws.calls == ["UpdateItem", "GetItem", "DeleteItem"]
    assert aws.spotify.calls == ["POST /authorize", "POST /api/token", "GET /v1/me"]


def handshakes(aws: Cloud) -> tuple[int, int]:
    """The TLS handshakes with Spotify and with AWS since the last call."""
    counts = aws.spotify.handshakes, aws.aws.handshakes
    aws.forget()
    return counts


def test_a_visitor_can_log_in_over_tls(over_tls: FunctionVisitor) -> None:
    assert over_tls.begin().startswith("https://accounts.spotify.com/authorize?")
    assert over_tls.log_in().status == 307
    assert over_tls.see_id() == "pia.premium"


def test_only_the_first_login_opens_connections_over_tls(over_tls: FunctionVisitor, aws: Cloud) -> None:
    assert aws.calls == ["GetParametersByPath"]
    assert handshakes(aws) == (0, 1)
    over_tls.log_in()
    assert aws.calls == ["POST /authorize", "POST /api/token", "GET /v1/me", "UpdateItem"]
    assert handshakes(aws) == (2, 1)
    over_tls.log_in()
    over_tls.see_id()
    assert handshakes(aws) == (0, 0)


WITHOUT_PARAMETERS = {
    "PARAMETER_PATH": "",
    "SPOTIFY_CLIENT_ID": Application.client_id,
    "SPOTIFY_CLIENT_SECRET": Application.client_secret,
    "SECRET_KEY": SECRET_KEY,
}


@pytest.mark.parametrize(
    ("settings", "status", "reason"),
    [({}, 500, "configuration"), (WITHOUT_PARAMETERS, 503, "users_unavailable")],
    ids=["Parameter Store", "DynamoDB"],
)
def test_aws_is_not_trusted_without_its_ca(
    trusting: Path,
    network: tls.Tls,
    aws: Cloud,
    tmp_path: Path,
    settings: dict[str, str],
    status: int,
    reason: str,
) -> None:
    others = {"AWS_CA_BUNDLE": certifi.where(), **settings}
    environment = {**network.environment(aws.environment), **others}
    aws.forget()
    with function(trusting, environment, tmp_path / "log") as started:
        visitor = FunctionVisitor(function=started, spotify=aws.spotify_url)
        path = visitor.agree(visitor.begin()) if settings else "/login"
        assert visitor.get(path).status == status
        lines = [json.loads(line) for line in started.log.splitlines()]
    assert lines[-1]["reason"] == reason
    assert any(line.get("detail", "").startswith("SSLError") for line in lines)
    assert aws.aws.calls == []
    assert aws.aws.handshakes == 0
