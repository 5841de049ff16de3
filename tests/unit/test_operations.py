"""The commands, the workflow and the policies in docs/operations.md are valid."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import pytest
import yaml
from botocore import xform_name

from deploy import PROJECT
from deploy.stage import Stage

OPERATIONS = (PROJECT / "docs" / "operations.md").read_text()
MAKEFILE = (PROJECT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = {*re.findall(r"^([A-Z_]+) [?:]?=", MAKEFILE, re.MULTILINE), "URL", "ROWS"}
ONLY_IN_THE_CLI = {("login",), ("configure",), ("logs", "tail")}
"""Commands of AWS's command line that are no operations of a service."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)


def commands(program: str) -> Iterator[list[str]]:
    """The words after the program's name, in code blocks and in the text."""
    shell = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", OPERATIONS, flags=re.MULTILINE | re.DOTALL))
    workflow = re.findall(r"- run: (.*)", OPERATIONS)
    for line in (*shell, *inline, *workflow):
        for command in line.split("&&"):
            words = shlex.split(command, comments=True)
            if program in words and words.index(program) == sum(
                "=" in word for word in words[: words.index(program)]
            ):
                yield words[words.index(program) + 1 :]


def test_every_make_command_exists() -> None:
    found = [words for words in commands("make") if words]
    assert {"deploy", "doctor", "destroy", "rotate-key"} <= {words[0] for words in found}
    for target, *settings in found:
        assert target in TARGETS
        assert {setting.partition("=")[0] for setting in settings} <= VARIABLES


def aws_commands() -> list[list[str]]:
    return [words for words in commands("aws") if tuple(words[:1]) not in ONLY_IN_THE_CLI]


@pytest.mark.parametrize("words", aws_commands(), ids=" ".join)
def test_every_aws_command_exists_with_its_options(words: list[str]) -> None:
    service, operation, *rest = words
    if (service, operation) in ONLY_IN_THE_CLI:
        return
    model = botocore.session.Session().get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(names[operation]).input_shape
    assert shape is not None
    options = {word[2:] for word in rest if word.startswith("--")}
    assert options <= {xform_name(name, "-") for name in shape.members}
    assert {xform_name(name, "-") for name in shape.required_members} <= options


def test_the_workflow_deploys_without_a_stored_secret() -> None:
    (text,) = blocks("yaml")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    (job,) = workflow["jobs"].values()
    uses = [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]
    assert uses == ["actions/checkout", "actions/setup-python", "aws-actions/configure-aws-credentials"]
    (sign_in,) = (step for step in job["steps"] if step.get("uses", "").startswith("aws-actions/"))
    assert set(sign_in["with"]) == {"role-to-assume", "aws-region"}
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["make deploy STAGE=prod"]
    assert "secrets." not in text
    assert Stage.load("prod")
    (trust,) = map(json.loads, blocks("json"))
    (statement,) = trust["Statement"]
    assert statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"].endswith(
        f":environment:{job['environment']}"
    )
    assert (
        sign_in["with"]["role-to-assume"].split(":")[4] == statement["Principal"]["Federated"].split(":")[4]
    )


def test_the_deployers_policy_names_this_app_and_cannot_change_the_deployers_own_role() -> None:
    policy = json.loads((PROJECT / "deploy" / "deployer-policy.json").read_text())
    stage = Stage.load("prod")
    resources = {statement["Sid"]: statement["Resource"] for statement in policy["Statement"]}
    here, everywhere = "eu-west-1:111122223333", ":111122223333"
    for sid, arn in {
        "UsersTable": f"dynamodb:{here}:table/{stage.table}",
        "KeyAlias": f"kms:{here}:alias/{stage.function}",
        "Parameters": f"ssm:{here}:parameter{stage.parameter_path}/SECRET_KEY",
        "Log": f"logs:{here}:log-group:/aws/lambda/{stage.function}",
        "Alarms": f"cloudwatch:{here}:alarm:{stage.function}-errors",
        "Function": f"lambda:{here}:function:{stage.function}",
        "Role": f"iam:{everywhere}:role/{stage.role}",
        "PassRole": f"iam:{everywhere}:role/{stage.role}",
    }.items():
        assert fnmatchcase(f"arn:aws:{arn}", resources[sid])
    conditions = {statement["Sid"]: statement.get("Condition") for statement in policy["Statement"]}
    app = {"aws:ResourceTag/app": stage.tags["app"]}
    assert conditions["NewKey"] == {"StringEquals": {"aws:RequestTag/app": stage.tags["app"]}}
    assert conditions["Key"] == {"StringEquals": app}
    assert conditions["KeyWhoseTagsMayNotBeInForceYet"] == {"StringEqualsIfExists": app}
    (role,) = re.findall(r"--role-name (\S+) --policy-name", OPERATIONS)
    assert not fnmatchcase(f"arn:aws:iam:{everywhere}:role/{role}", resources["Role"])


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md"))]
)
def test_no_page_puts_a_secret_into_the_shell_history(page: str) -> None:
    literal = r"(export |^|`)(SPOTIFY_CLIENT_SECRET|SECRET_KEY)=(?![\"]?\$\()\S+"
    assert not re.search(literal, (PROJECT / page).read_text(), re.MULTILINE)
