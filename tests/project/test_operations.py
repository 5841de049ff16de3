"""The commands, the workflow and the policies in docs/operations.md are valid."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import yaml
from botocore import xform_name

from deploy import PROJECT
from deploy.stage import Stage

OPERATIONS = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The only code block in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    return str(found)


def test_every_aws_command_exists_with_its_options() -> None:
    commands = re.findall(r"(?m)(?:^|`|&& )aws ([^`\n]+)", OPERATIONS.replace("\\\n", " "))
    assert len(commands) > 10
    for command in commands:
        words = shlex.split(command.partition(" && ")[0], comments=True)
        if words[0] in {"login", "configure"} or words[:2] == ["logs", "tail"]:
            continue  # commands of AWS's command line that are no operations of a service
        service, operation, *rest = words
        model = botocore.session.Session().get_service_model(service)
        names = {xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(names[operation]).input_shape
        assert shape is not None
        options = {word[2:] for word in rest if word.startswith("--")}
        assert options <= {xform_name(name, "-") for name in shape.members}, command
        assert {xform_name(name, "-") for name in shape.required_members} <= options, command


def test_the_workflow_deploys_without_a_stored_secret_by_the_role_that_trusts_its_environment() -> None:
    workflow: dict[Any, Any] = yaml.safe_load(block("yaml"))
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    assert "secrets." not in block("yaml")
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make deploy STAGE=prod"]
    (sign_in,) = (step["with"] for step in job["steps"] if step.get("uses", "").startswith("aws-actions/"))
    assert set(sign_in) == {"role-to-assume", "aws-region"}
    (trust,) = json.loads(block("json"))["Statement"]
    subject = trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subject.endswith(f":environment:{job['environment']}")
    account = trust["Principal"]["Federated"].split(":")[4]
    assert sign_in["role-to-assume"].split(":")[4] == account


def test_the_deployers_policy_names_prod_and_cannot_change_the_deployers_own_role() -> None:
    """That it is enough for the stage dev, tests/deployment shows."""
    policy = json.loads((PROJECT / "deploy" / "deployer-policy.json").read_text())
    stage = Stage.load("prod")
    resources = {statement["Sid"]: statement["Resource"] for statement in policy["Statement"]}
    role = "arn:aws:iam::111122223333:role/"
    assert fnmatchcase(f"{role}{stage.role}", resources["PassRole"])
    assert fnmatchcase(f"{role}{stage.role}", resources["Role"])
    function = f"arn:aws:lambda:eu-west-1:111122223333:function:{stage.function}"
    assert fnmatchcase(function, resources["Function"])
    (own,) = re.findall(r"--role-name (\S+) --policy-name", OPERATIONS)
    assert not fnmatchcase(f"{role}{own}", resources["Role"])
    conditions = {statement["Sid"]: statement.get("Condition") for statement in policy["Statement"]}
    app = {"aws:ResourceTag/app": stage.tags["app"]}
    assert conditions["NewKey"] == {"StringEquals": {"aws:RequestTag/app": stage.tags["app"]}}
    assert conditions["Key"] == {"StringEquals": app}
    assert conditions["KeyWhoseTagsMayNotBeInForceYet"] == {"StringEqualsIfExists": app}
