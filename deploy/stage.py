"""A stage, as .chalice/config.json describes it, and what stops somebody who works on one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from deploy import PROJECT


class Problem(NamedTuple):
    """What is wrong, and what to do about it; a sentence each."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}\n    {self.remedy}"


class Stop(Exception):
    """There is no going on: its arguments are the problems."""

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
        """Read it, with what all stages share.

        Raises:
            Stop: there is no such stage. (Chalice would go on, with none of its settings.)
        """
        shared = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
        stages = shared.pop("stages")
        if name not in stages:
            known = ", ".join(stages)
            raise Stop(
                Problem(f"There is no stage {name!r} in .chalice/config.json.", f"There are: {known}.")
            )
        variables = {**shared["environment_variables"], **stages[name]["environment_variables"]}
        return cls(name, {**shared, **stages[name], "environment_variables": variables})

    @property
    def app(self) -> str:
        """The name of the app, and of its REST API."""
        return str(self.config["app_name"])

    @property
    def function(self) -> str:
        """What Chalice calls the Lambda function."""
        return f"{self.app}-{self.name}"

    @property
    def role(self) -> str:
        """What Chalice calls the function's role."""
        return f"{self.function}-api_handler"

    def stack(self, template: str) -> str:
        """The CloudFormation stack that deploy/TEMPLATE.yaml describes."""
        return f"{self.function}-{template}"

    @property
    def variables(self) -> dict[str, str]:
        """The function's environment variables."""
        return dict(self.config["environment_variables"])

    @property
    def table(self) -> str:
        """The users table."""
        return self.variables["USERS_TABLE"]

    @property
    def parameter_path(self) -> str:
        """The path in Parameter Store below which the secrets are."""
        return self.variables["PARAMETER_PATH"].rstrip("/")

    @property
    def api_stage(self) -> str:
        """The first part of every path at API Gateway's own address."""
        return str(self.config["api_gateway_stage"])

    @property
    def throttling(self) -> dict[str, tuple[float, int]]:
        """Requests a second and burst by path; `*` is what all share."""
        return {path: (limits["rate"], limits["burst"]) for path, limits in self.config["throttling"].items()}

    def policy(self, project: Path = PROJECT) -> dict[str, Any]:
        """What the function's role may do."""
        path = project / ".chalice" / self.config["iam_policy_file"]
        return dict(json.loads(path.read_text(encoding="utf-8")))
