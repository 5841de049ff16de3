"""A stage, as .chalice/config.json describes it, and the problems that stop a command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from deploy import PROJECT


class Problem(NamedTuple):
    """What failed and why, how to fix it, and the command that does, if there is one."""

    what: str
    remedy: str
    command: str = ""

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
    config: Mapping[str, Any]

    @classmethod
    def load(cls, name: str, project: Path = PROJECT) -> Stage:
        """Read a stage, with the settings that all stages share.

        Raises:
            Stop: there is no such stage. (Chalice would continue without the stage's settings.)
        """
        shared = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
        stages = shared.pop("stages")
        if name not in stages:
            known = ", ".join(stages)
            raise Stop(
                Problem(f"There is no stage {name!r} in .chalice/config.json.", f"Use one of: {known}.")
            )
        variables = {**shared["environment_variables"], **stages[name]["environment_variables"]}
        return cls(name, {**shared, **stages[name], "environment_variables": variables})

    @property
    def app(self) -> str:
        """The name of the app and of its REST API."""
        return str(self.config["app_name"])

    @property
    def function(self) -> str:
        """The name that Chalice gives the Lambda function."""
        return f"{self.app}-{self.name}"

    @property
    def role(self) -> str:
        """The name that Chalice gives the function's role."""
        return f"{self.function}-api_handler"

    def stack(self, template: str) -> str:
        """The name of the CloudFormation stack of a template: `data` or `watch`."""
        return f"{self.function}-{template}"

    @property
    def variables(self) -> dict[str, str]:
        """The function's environment variables."""
        return dict(self.config["environment_variables"])

    @property
    def table(self) -> str:
        """The name of the users table."""
        return self.variables["USERS_TABLE"]

    @property
    def parameter_path(self) -> str:
        """The path of the secrets in Parameter Store."""
        return self.variables["PARAMETER_PATH"].rstrip("/")

    @property
    def api_stage(self) -> str:
        """The API Gateway stage: the first part of every path at the API's own URL."""
        return str(self.config["api_gateway_stage"])

    @property
    def throttling(self) -> dict[str, tuple[float, int]]:
        """Requests per second and burst, by path; `*` is the limit that all paths share."""
        return {path: (limits["rate"], limits["burst"]) for path, limits in self.config["throttling"].items()}

    def policy(self, project: Path = PROJECT) -> dict[str, Any]:
        """The policy of the function's role."""
        path = project / ".chalice" / self.config["iam_policy_file"]
        return dict(json.loads(path.read_text(encoding="utf-8")))
