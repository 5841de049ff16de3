"""A stage, as .chalice/config.json describes it, and the problems that stop a command.

Chalice reads the same file, but accepts unknown stages, and does not show the names that it derives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from chalicelib import config
from deploy import PROJECT

CONFIG = ".chalice/config.json"

ALIAS = "TOKENS_KMS_ALIAS"
"""The variable that turns kept access on: the alias of a KMS key."""


class Problem(NamedTuple):
    """What failed and why, how to fix it, and the command for it, if any."""

    what: str
    remedy: str
    command: str = ""
    stops: bool = True
    """Whether the problem stops a deployment. If not, it is a note."""

    def __str__(self) -> str:
        return f"{self.what}\n    {self.remedy}" + (f"\n        {self.command}" if self.command else "")


class Stop(Exception):
    """Stops a command. Its arguments are the problems."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


@dataclass(frozen=True)
class Stage:
    """The names and settings of one deployment."""

    name: str
    app: str
    """The name of the app and of its REST API."""
    api_stage: str
    """The API Gateway stage: the first part of every path at the API's own URL."""
    variables: dict[str, str]
    """The function's environment variables."""
    throttling: tuple[float, int]
    """The limits of all requests together: requests per second, and burst."""
    others: list[str]
    """The names of the other stages."""
    policy_file: str
    policy: dict[str, Any]
    """The policy of the function's role: that of the file, and the permission to use the key."""
    memory: int
    """In MB."""
    timeout: int
    """In seconds."""
    architecture: str
    compression: int | None
    """The size in bytes from which API Gateway compresses responses."""
    concurrency: int | None
    """The concurrent executions that are reserved for the function."""
    role_arn: str
    """A role that Chalice does not manage; "" if it creates one."""

    @classmethod
    def load(cls, name: str, project: Path = PROJECT) -> Stage:
        """Read a stage, with the settings that all stages share.

        Raises:
            Stop: there is no such stage, or a file is unusable.
        """
        try:
            return cls._read(name, project / ".chalice")
        except KeyError as missing:
            raise Stop(Problem(f"{missing} is missing in .chalice/config.json.", "Add it.")) from None
        except (ValueError, TypeError, OSError) as failure:
            raise Stop(Problem(f"A file in .chalice/ is unusable: {failure}", "Correct it.")) from None

    @classmethod
    def _read(cls, name: str, folder: Path) -> Stage:
        shared = json.loads((folder / "config.json").read_bytes())
        if name not in shared["stages"]:
            what = f"There is no stage {name!r} in .chalice/config.json." if name else "No stage is named."
            raise Stop(
                Problem(what, f"Add one of: {', '.join(f'STAGE={known}' for known in shared['stages'])}.")
            )
        own = {**shared, **shared["stages"][name]}
        rate, burst = float(shared["throttling"]["rate"]), int(shared["throttling"]["burst"])
        if min(rate, burst) <= 0:
            raise ValueError("throttling must be positive")
        variables = {**shared["environment_variables"], **own["environment_variables"]}
        alias = config.read(variables, ALIAS)
        if ALIAS in config.faults({ALIAS: alias}):
            raise ValueError(f"{ALIAS} is {alias!r}, but it must be like alias/{shared['app_name']}-{name}")
        policy = json.loads((folder / own["iam_policy_file"]).read_bytes())
        return cls(
            name,
            shared["app_name"],
            own["api_gateway_stage"],
            variables,
            (rate, burst),
            [other for other in shared["stages"] if other != name],
            f".chalice/{own['iam_policy_file']}",
            _with_key(policy, alias) if alias else policy,
            own.get("lambda_memory_size", 128),
            own.get("lambda_timeout", 60),
            own.get("lambda_architecture", "x86_64"),
            own.get("minimum_compression_size"),
            own.get("reserved_concurrency"),
            "" if own.get("manage_iam_role", True) else own["iam_role_arn"],
        )

    @property
    def function(self) -> str:
        """The name that Chalice gives the Lambda function. Its log group has the same name."""
        return f"{self.app}-{self.name}"

    @property
    def role(self) -> str:
        """The name that Chalice gives the function's role."""
        return f"{self.function}-api_handler"

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the resources that belong to this stage."""
        return {"app": self.app, "stage": self.name}

    @property
    def table(self) -> str:
        """The name of the users table."""
        return self.variables["USERS_TABLE"]

    @property
    def alias(self) -> str:
        """The alias of the KMS key that encrypts kept tokens; "" if the stage keeps none."""
        return config.read(self.variables, ALIAS)

    @property
    def parameter_path(self) -> str:
        """The path of the secrets in Parameter Store."""
        return self.variables["PARAMETER_PATH"].rstrip("/")


def _with_key(policy: dict[str, Any], alias: str) -> dict[str, Any]:
    """Add the permission to use the key that has an alias. A policy cannot name such a key by its ARN."""
    tokens = {
        "Sid": "Tokens",
        "Effect": "Allow",
        "Action": ["kms:Encrypt", "kms:Decrypt"],
        "Resource": "arn:*:kms:*:*:key/*",
        "Condition": {
            "StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"},
            "ForAnyValue:StringEquals": {"kms:ResourceAliases": alias},
        },
    }
    others = [statement for statement in policy["Statement"] if statement != tokens]
    return {**policy, "Statement": [*others, tokens]}
