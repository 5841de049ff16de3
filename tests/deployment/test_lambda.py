"""The calls of each route, counted with the package on Lambda's own runtime client, over TLS."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import certifi
import pytest

from local.aws import connection
from simulator.spotify import Application
from tests.support import tls
from tests.support.cloud import Cloud, cloud
from tests.support.runtime import PYTHON, FunctionVisitor, function
from tests.support.table import Table
from tests.support.world import SECRET_KEY


@pytest.fixture(scope="module")
def aws() -> Cloud:
    return cloud(SECRET_KEY)


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


def test_only_the_first_login_opens_connections_and_no_route_makes_a_needless_call(
    trusting: Path, network: tls.Tls, aws: Cloud, tmp_path: Path
) -> None:
    def counted() -> tuple[list[str], int, int]:
        """The calls and the TLS handshakes with Spotify and with AWS since the last time."""
        counts = list(aws.journal), aws.spotify.handshakes, aws.aws.handshakes
        aws.forget()
        return counts

    aws.forget()
    with function(trusting, network.environment(aws.environment), tmp_path / "log") as started:
        visitor = FunctionVisitor(function=started, spotify=aws.spotify_url)
        assert counted() == (["GetParametersByPath"], 0, 1), "the initialization"
        assert visitor.see_id() == "None"
        url = visitor.begin()
        assert url.startswith("https://accounts.spotify.com/authorize?")
        assert counted() == ([], 0, 0)
        callback = visitor.agree(url)
        aws.forget()
        assert visitor.get(callback).status == 307
        assert counted() == (["POST /api/token", "GET /v1/me", "UpdateItem"], 2, 1)
        assert visitor.see_id() == "pia.premium"
        assert json.loads(aws.aws.bodies[0])["ConsistentRead"] is True
        assert counted() == (["GetItem"], 0, 0)
        assert visitor.get("/logout").status == 307
        assert counted() == (["DeleteItem"], 0, 0)
        assert visitor.see_id() == "None"
        assert visitor.log_in().status == 307
        assert counted() == (["POST /authorize", "POST /api/token", "GET /v1/me", "UpdateItem"], 0, 0)
        events = {json.loads(line)["event"] for line in started.log.splitlines()}
    assert events == {"login", "logout"}, "the log has no other lines"
    (item,) = Table(**connection(aws.environment["AWS_ENDPOINT_URL"])).items()
    size = sum(len(name) + len("".join(next(iter(value.values()))).encode()) for name, value in item.items())
    indented = json.dumps(json.loads(item["profile"]["S"]), indent=2)
    assert size + len(indented) - len(item["profile"]["S"]) < 1024, "a write unit is 1 KB, a read unit 4 KB"


def test_the_app_needs_only_the_package_and_the_standard_library(task: Path, aws: Cloud) -> None:
    environment = {**aws.environment, "AWS_LAMBDA_FUNCTION_NAME": "x", "PYTHONDONTWRITEBYTECODE": "1"}
    without_site_packages = [str(PYTHON), "-S", "-c", "import app, chalicelib.transport, chalicelib.users"]
    subprocess.run(without_site_packages, cwd=task, env=environment, check=True)


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
