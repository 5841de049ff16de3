"""A copy of the checkout, an emulated AWS, and the commands that deploy to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from deploy import PROJECT
from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.support.servers import clean_environment, free_port, python, running, wait_until_served
from tests.support.visitor import HttpVisitor

PYTHON = PROJECT / ".emulator" / "bin" / "python"
REGION = "eu-west-1"
APPLICATION = Application(client_id="0123456789abcdef" * 2, client_secret="fedcba9876543210" * 2)
"""A Spotify app whose ID and secret have Spotify's format."""

CHECKOUT = (
    "app.py",
    "chalicelib",
    "deploy",
    "simulator",
    ".chalice",
    "requirements.txt",
    "requirements",
)


@dataclass
class Emulator:
    """An emulated AWS that enforces policies, a simulated Spotify, and a copy of the checkout."""

    url: str
    spotify: str
    checkout: Path
    api: str = "api1"
    """The ID of the API that was created last, or will be created next."""
    environment: dict[str, str] = field(default_factory=dict)
    """More environment variables for the commands."""

    @property
    def home(self) -> str:
        """The URL of the API on this emulator."""
        return f"{self.url}/_aws/execute-api/{self.api}/api"

    def client(self, service: str, key: tuple[str, str] = ("test", "test"), region: str = REGION) -> Any:
        """A client with every permission, unless another access key is given."""
        session = boto3.Session(*key, region_name=region)
        return session.client(service, endpoint_url=self.url)  # type: ignore[call-overload]

    def deploy(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `make deploy`, `make doctor` and so on in the copy of the checkout."""
        return self._run(python("-m", "deploy", *arguments), environment)

    def chalice(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Chalice in the copy of the checkout."""
        return self._run([str(Path(sys.executable).with_name("chalice")), *arguments], {})

    def _run(self, command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        variables = {**self.terminal, **environment}
        return subprocess.run(
            command,
            cwd=self.checkout,
            env=clean_environment({name: value for name, value in variables.items() if value}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )

    @property
    def terminal(self) -> dict[str, str]:
        """The environment of the commands, with everything set."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "SPOTIFY_CLIENT_ID": APPLICATION.client_id,
            "SPOTIFY_CLIENT_SECRET": APPLICATION.client_secret,
            "SPOTIFY_REDIRECT_URI": f"{self.home}/callback",
            "SPOTIFY_ACCOUNTS_URL": self.spotify,
            **self.environment,
        }

    def resources(self, region: str = REGION) -> dict[str, list[str]]:
        """The names of all resources in a region."""
        own = partial(self.client, region=region)
        return {
            "api": [api["id"] for api in own("apigateway").get_rest_apis()["items"]],
            "function": [
                function["FunctionName"] for function in own("lambda").list_functions()["Functions"]
            ],
            "role": [role["RoleName"] for role in own("iam").list_roles()["Roles"]],
            "log": [group["logGroupName"] for group in own("logs").describe_log_groups()["logGroups"]],
            "alarm": [alarm["AlarmName"] for alarm in own("cloudwatch").describe_alarms()["MetricAlarms"]],
            "parameter": [found["Name"] for found in own("ssm").describe_parameters()["Parameters"]],
            "table": own("dynamodb").list_tables()["TableNames"],
            "alias": [alias["AliasName"] for alias in own("kms").list_aliases()["Aliases"]],
        }

    def user_denied(self, action: str, resource: str) -> dict[str, str]:
        """The credentials of a user with every right but one."""
        statements = [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": action, "Resource": resource},
        ]
        return self.user(action.replace(":", "-"), {"Version": "2012-10-17", "Statement": statements})

    def user(self, name: str, policy: Mapping[str, Any]) -> dict[str, str]:
        """The credentials of a new user with a policy."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def commit(self) -> str:
        """Make the copy of the checkout a git checkout with one commit; returns its hash."""
        git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-C", str(self.checkout)]
        for command in (
            ["init", "-q"],
            ["add", "."],
            ["commit", "-qm", "x"],
            ["rev-parse", "--short=12", "HEAD"],
        ):
            done = subprocess.run([*git, *command], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def visitor(self) -> HttpVisitor:
        """A visitor with a new browser."""
        return HttpVisitor(home=self.home)

    @property
    def record(self) -> Path:
        """The path of Chalice's record."""
        return self.checkout / ".chalice" / "deployed" / "dev.json"

    def edit(self, **settings: Any) -> None:
        """Change the shared part of .chalice/config.json."""
        path = self.checkout / ".chalice" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))

    def keep_access(self, stage: str, alias: str) -> None:
        """Name a KMS key in the settings of a stage; an empty alias removes it."""
        stages = json.loads((self.checkout / ".chalice" / "config.json").read_text())["stages"]
        stages[stage]["environment_variables"]["TOKENS_KMS_ALIAS"] = alias
        self.edit(stages=stages)


@contextmanager
def emulator(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Emulator]:
    """Start an empty emulator on a free port."""
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in CHECKOUT:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(
                source,
                checkout / name,
                ignore=shutil.ignore_patterns("__pycache__", "deploy*ed", "deployments"),
            )
        else:
            shutil.copy(source, checkout)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    callbacks = tuple(f"{url}/_aws/execute-api/api{number}/api/callback" for number in range(1, 5))
    spotify = serve(
        create_app(Application("Login on AWS", APPLICATION.client_id, APPLICATION.client_secret, callbacks))
    )
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "AUTH": "true",
        "TMPDIR": str(folder),  # ministack leaves the unzipped functions there
        # Functions inherit the environment of the emulator.
        "SPOTIFY_ACCOUNTS_URL": spotify,
        "SPOTIFY_API_URL": spotify,
        **(settings or {}),
    }
    command = [str(PYTHON), str(Path(__file__).with_name("emulated_aws.py"))]
    with running(command, environment, folder):
        wait_until_served(port)
        yield Emulator(url, spotify, checkout)
