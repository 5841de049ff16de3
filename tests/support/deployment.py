"""A copy of the checkout, an emulated AWS, and the commands that deploy to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import boto3

from deploy import PROJECT
from simulator.loopback import serve
from simulator.spotify import Application, create_app
from tests.support import fork
from tests.support.servers import clean_environment, free_port, python, running, wait_until_served
from tests.support.visitor import HttpVisitor

PYTHON = PROJECT / ".emulator" / "bin" / "python"
REGION = "eu-west-1"
TABLE = "spotify-login-users-dev"
PATH = "/spotify-login/dev"
FUNCTION = "spotify-login-dev"
ROLE = "spotify-login-dev-api_handler"
ALIAS = "alias/spotify-login-dev"
NUMBERS = count(1)
UNSET = {"SPOTIFY_CLIENT_ID": "", "SPOTIFY_CLIENT_SECRET": "", "SPOTIFY_REDIRECT_URI": ""}
"""Without settings in the environment, doctor checks the stored ones."""

APPLICATION = Application(client_id="0123456789abcdef" * 2, client_secret="fedcba9876543210" * 2)
"""A Spotify app whose ID and secret have Spotify's format."""


@dataclass
class Emulator:
    """An emulated AWS that enforces policies, a simulated Spotify, and a copy of the checkout."""

    url: str
    spotify: str
    checkout: Path
    api: str = "api1"
    """The ID of the API that was created last, or will be created next."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> str:
        return f"{self.url}/_aws/execute-api/{self.api}/api"

    def client(self, service: str, region: str = REGION, **credentials: str) -> Any:
        """A client with every permission, unless other credentials are given."""
        keys = credentials or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, region_name=region, endpoint_url=self.url, **keys)  # type: ignore[call-overload]

    def deploy(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `make deploy`, `make doctor` and so on in the copy of the checkout."""
        return self.run("-m", "deploy", *arguments, **environment)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self._run(python(*arguments), environment)

    def steps(self, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self._run(steps(*names), environment)

    def chalice(self, *arguments: str) -> subprocess.CompletedProcess[str]:
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
        """The names of all resources in a region, by the kinds that exist there."""
        own = partial(self.client, region=region)
        found = {
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
        return {kind: names for kind, names in found.items() if names}

    def parameters(self) -> dict[str, str]:
        """The values of the stage's parameters, by the last part of their names."""
        found = self.client("ssm").get_parameters_by_path(Path=PATH, WithDecryption=True)["Parameters"]
        return {parameter["Name"].rpartition("/")[2]: parameter["Value"] for parameter in found}

    def put(self, name: str, value: str) -> None:
        self.client("ssm").put_parameter(
            Name=f"{PATH}/{name}", Value=value, Type="SecureString", Overwrite=True
        )

    def key(self, alias: str) -> str:
        """Create a KMS key of another app, with an alias as soon as KMS finds the key; returns its ID."""
        kms = self.client("kms")
        key = str(kms.create_key()["KeyMetadata"]["KeyId"])
        while True:
            try:
                kms.create_alias(AliasName=alias, TargetKeyId=key)
            except kms.exceptions.NotFoundException:
                continue
            return key

    def integrate(self, api: str) -> None:
        """Let a REST API invoke the function at its root."""
        gateway = self.client("apigateway")
        (root,) = gateway.get_resources(restApiId=api)["items"]
        method = {"restApiId": api, "resourceId": root["id"], "httpMethod": "GET"}
        gateway.put_method(**method, authorizationType="NONE")
        function = f"arn:aws:lambda:{REGION}:000000000000:function:{FUNCTION}"
        uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
        gateway.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)

    def user_denied(self, action: str) -> dict[str, str]:
        statements = [
            {"Effect": effect, "Action": of, "Resource": "*"}
            for effect, of in (("Allow", "*"), ("Deny", action))
        ]
        return self.user(action.replace(":", "-"), {"Version": "2012-10-17", "Statement": statements})

    def user(self, name: str, policy: Mapping[str, Any]) -> dict[str, str]:
        iam, name = self.client("iam"), f"{name}-{next(NUMBERS)}"
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def called(self, credentials: Mapping[str, str] | None = None) -> list[str]:
        """The actions of all calls of a user, or of all users."""
        lines = (self.checkout.parent / "actions").read_text().splitlines()
        key = credentials["AWS_ACCESS_KEY_ID"] if credentials else "AKIA"
        return [line.partition(" ")[2] for line in lines if line.startswith(key)]

    def interrupt(self, credentials: Mapping[str, str], call: int, pid: int = 0) -> None:
        """Refuse a call of a user, by its number, or kill a process group when it is made."""
        text = f"{credentials['AWS_ACCESS_KEY_ID']} {call} {pid}"
        (self.checkout.parent / "interruption").write_text(text)

    def commit(self) -> str:
        """Make the copy of the checkout a git checkout with one commit; returns its hash."""
        git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-C", str(self.checkout)]
        for command in ("init -q", "add .", "commit -qm x", "rev-parse --short=12 HEAD"):
            done = subprocess.run([*git, *command.split()], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def visitor(self) -> HttpVisitor:
        return HttpVisitor(home=self.home)

    @property
    def record(self) -> Path:
        return self.checkout / ".chalice" / "deployed" / "dev.json"

    def edit(self, variables: Mapping[str, str] | None = None, **settings: Any) -> None:
        """Change .chalice/config.json: the variables of stage dev, and shared settings. An empty variable is removed."""
        path = self.checkout / ".chalice" / "config.json"
        config = json.loads(path.read_text()) | settings
        own = config["stages"]["dev"]["environment_variables"] | (variables or {})
        config["stages"]["dev"]["environment_variables"] = {
            name: value for name, value in own.items() if value
        }
        path.write_text(json.dumps(config))


def policy(*names: str) -> dict[str, Any]:
    """The policy of deploy/ with this name, with the statements of others."""
    files = [json.loads((PROJECT / "deploy" / f"{name}-policy.json").read_text()) for name in names]
    return {**files[0], "Statement": [statement for file in files for statement in file["Statement"]]}


def steps(*names: str) -> list[str]:
    """The command that runs these steps of a deployment of stage dev."""
    lines = ["from deploy.deployment import Deployment, Stage", "deployment = Deployment(Stage.load('dev'))"]
    return python("-c", "\n".join([*lines, *(f"deployment.{name}()" for name in names)]))


@contextmanager
def emulator(folder: Path) -> Iterator[Emulator]:
    checkout = fork.copy(folder / "checkout")
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
        "LAMBDA_ACCOUNT_CONCURRENCY": "10",  # as in a new account
        # Functions inherit the environment of the emulator.
        "SPOTIFY_ACCOUNTS_URL": spotify,
        "SPOTIFY_API_URL": spotify,
    }
    command = [str(PYTHON), str(Path(__file__).with_name("emulated_aws.py"))]
    with running(command, environment, folder):
        wait_until_served(port)
        started = Emulator(url, spotify, checkout)
        # Limits that the tests need not wait for: smoke sends half of the rate.
        started.edit(throttling={"rate": 1000, "burst": 500})
        yield started
