"""The servers and files that `make run` adds to the app."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from chalicelib import config
from local import aws
from local.__main__ import RULES, _problem
from local.port import another
from local.server import AppFiles, Routes


@pytest.fixture(scope="module")
def url() -> str:
    return aws.start("guarded")


def scan(url: str, **headers: str) -> int:
    sent = {
        "X-Amz-Target": "DynamoDB_20120810.Scan",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20261123/us-east-1/dynamodb/aws4_request",
        **headers,
    }
    return requests.post(
        url, data='{"TableName": "guarded"}', headers={k: v for k, v in sent.items() if v}, timeout=30
    ).status_code


def test_the_local_table_has_the_key_and_time_to_live_of_the_real_one(url: str) -> None:
    client = boto3.client("dynamodb", **aws.connection(url))
    table = client.describe_table(TableName="guarded")["Table"]
    assert table["KeySchema"] == [{"AttributeName": "account_id", "KeyType": "HASH"}]
    assert client.describe_time_to_live(TableName="guarded")["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "expires_at",
    }
    with pytest.raises(ClientError):
        client.scan(TableName="another")


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "null"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Host": "evil.example"},
        {"X-Amz-Target": ""},
        {"X-Amz-Target": "Lambda.Invoke"},
    ],
)
def test_a_request_from_a_web_page_is_rejected(url: str, header: dict[str, str]) -> None:
    assert scan(url) == 200
    assert scan(url, **header) == 403
    assert requests.get(f"{url}/moto-api/data.json", timeout=30).status_code == 403


def test_the_file_watcher_sees_only_the_apps_own_files(tmp_path: Path) -> None:
    own = {"app.py", "chalicelib/a.py", "chalicelib/pages/a.html", "chalicelib/site/logo.svg"}
    for name in (*own, "other.py", "chalicelib/__pycache__/a.py", "chalicelib/.a.py.swp", ".venv/b.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    (tmp_path / "chalicelib" / ".#a.py").symlink_to("user@host.1234")  # Emacs locks a file by such a link
    seen = {
        str(Path(folder, name).relative_to(tmp_path))
        for folder, _, names in AppFiles().walk(str(tmp_path))
        for name in names
    }
    assert seen == own


def test_parameters_of_a_path_are_decoded_as_by_api_gateway_and_the_query_is_as_before() -> None:
    routes = Routes(["/", "/artists/{name}"])
    found = routes.match_route("/artists/Bj%C3%B6rk%2F+1%2541?a=%2541")
    assert found == ("/artists/{name}", {"name": "Björk/+1%41"}, {"a": ["%41"]})
    assert routes.match_route("/").captured == {}


@pytest.mark.parametrize(("taken", "suggested"), [(5000, 5001), (65535, 5000), (80, 5000)])
def test_the_suggested_port_is_one_that_every_user_can_open(taken: int, suggested: int) -> None:
    assert another(taken) == suggested


ID, SECRET = "SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"
KEY = "0123456789abcdefghijklmnopqrstuv"
HERE, ONLY = "http://127.0.0.1:5124", "make run serves only http://127.0.0.1:5124/callback"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SPOTIFY_REDIRECT_URI", "https://127.0.0.1:5124/callback", "no proxy serves https at port 5124"),
        ("SPOTIFY_REDIRECT_URI", "https://localhost:1/callback", "no proxy serves https at port 1."),
        ("SPOTIFY_REDIRECT_URI", "http://[::1]:5124/callback", ONLY),
        ("SPOTIFY_REDIRECT_URI", f"{HERE}/app/callback", ONLY),
        ("SPOTIFY_REDIRECT_URI", "https://[::1]/callback", "It must use https, or http on"),
        ("FRONTEND_ORIGINS", "*", "such as http://127.0.0.1:3000, with commas"),
        ("FRONTEND_ORIGINS", HERE, "or be the app's own address, http://127.0.0.1, with another port"),
        ("SPOTIFY_SCOPE", "none user-read-email", "or be only the word none"),
        ("SECRET_KEY", "not-a-strong-key", "It must have 32 bytes or more"),
        ("SECRET_KEY_FALLBACKS", "not-a-strong-key", "Each key must have 32 bytes or more"),
        (SECRET, "not-a-strong-key\n\u00e9", "It must be printable ASCII"),
        ("SPOTIFY_API_URL", "https://spotify.example", "It must be https://api.spotify.com, or a simulator"),
        ("TOKENS_KMS_ALIAS", "tokens", "Use one such as alias/tokens"),
    ],
)
def test_make_run_says_what_makes_a_setting_usable(name: str, value: str, expected: str) -> None:
    given = {ID: "the-id", SECRET: "the-secret", "SECRET_KEY": KEY}
    assert _problem(given, 5124) == ""
    problem = _problem({**given, name: value}, 5124)
    assert problem.startswith(f"{name} is ")
    assert expected in problem
    assert problem.endswith(f"\n\n    unset {name}")
    assert "not-a-strong-key" not in problem


def test_make_run_names_a_setting_that_another_one_needs() -> None:
    given = {"SECRET_KEY": KEY, "AWS_ENDPOINT_URL": "https://aws.example", "AWS_ACCESS_KEY_ID": "x"}
    assert _problem(given, 5124).startswith(
        "AWS_SECRET_ACCESS_KEY is missing. It must be set because AWS_ACC"
    )


def test_make_run_has_a_rule_for_every_setting_that_the_app_checks() -> None:
    assert set(RULES) == {*config.NAMES, *config.ENDPOINTS, config.CREDENTIALS[1]}
