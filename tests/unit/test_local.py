"""The servers and files that `make run` adds to the app."""

from __future__ import annotations

import stat
from pathlib import Path

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from local import aws, secret_key
from local.port import another
from local.server import AppFiles


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
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
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
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Host": "evil.example"},
        {"Host": "localhost:1"},
        {"X-Amz-Target": ""},
        {"X-Amz-Target": "Lambda.Invoke"},
    ],
)
def test_a_request_from_a_web_page_is_rejected(url: str, header: dict[str, str]) -> None:
    assert scan(url) == 200
    assert scan(url, **header) == 403


def test_the_emulators_own_pages_are_not_served(url: str) -> None:
    assert requests.get(f"{url}/moto-api/data.json", timeout=30).status_code == 403
    assert requests.post(f"{url}/moto-api/reset", timeout=30).status_code == 403


def test_the_secret_key_is_created_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / ".local" / "secret-key"
    key = secret_key.read_or_make(path)
    assert len(key) == 64
    assert secret_key.read_or_make(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_file_watcher_sees_only_the_apps_own_files(tmp_path: Path) -> None:
    for name in (
        "app.py",
        "other.py",
        "log.txt",
        "chalicelib/a.py",
        "chalicelib/pages/a.html",
        "chalicelib/__pycache__/a.py",
        "chalicelib/.a.py.swp",
        "chalicelib/._a.py",
        "chalicelib/.copies/a.py",
        ".venv/b.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    (tmp_path / "chalicelib" / ".#a.py").symlink_to("user@host.1234")  # Emacs locks a file by such a link
    seen = {
        str(Path(folder, name).relative_to(tmp_path))
        for folder, _, names in AppFiles().walk(str(tmp_path))
        for name in names
    }
    assert seen == {"app.py", "chalicelib/a.py", "chalicelib/pages/a.html"}


@pytest.mark.parametrize(
    ("taken", "suggested"), [(5000, 5001), (65535, 5000), (1024, 1025), (1023, 5000), (80, 5000)]
)
def test_the_suggested_port_is_one_that_every_user_can_open(taken: int, suggested: int) -> None:
    assert another(taken) == suggested
