"""The calls of each route, counted with the package on Lambda's own runtime client."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.counted import Cloud
from tests.support.runtime import PYTHON, Function, FunctionVisitor, function
from tests.support.table import TABLE


@pytest.fixture
def visitor(running: Function) -> FunctionVisitor:
    """A visitor without cookies."""
    return FunctionVisitor(function=running)


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
