"""The commands, the workflow, the policies and the costs in docs/operations.md are valid."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatchcase
from gzip import compress
from typing import Any

import botocore.session
import pytest
import yaml
from botocore import xform_name

from chalicelib.parameters import FRESH
from deploy import PROJECT
from deploy.monitoring import METRICS
from deploy.stage import Stage
from tests.support.deployment import policy
from tests.support.gateway import GatewayVisitor
from tests.support.visitor import Reply

OPERATIONS = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")

POLICIES = ("deployer", "new-key", "operator")

ADMINISTRATORS = {
    "iam:CreateOpenIDConnectProvider *",
    "iam:CreateRole *",
    "iam:PutRolePolicy *",
    "apigateway:POST /domainnames",
    "apigateway:POST /domainnames/login.example.com/basepathmappings",
    "apigateway:DELETE /domainnames/login.example.com/basepathmappings/(none)",
}
"""What CI and a custom domain need, for which there is no policy."""

RESOURCES = {
    "dynamodb": "table/{table-name}",
    "kms": "key/x",
    "lambda": "function:{function-name}",
    "logs": "log-group:{log-group-name}",
    "ssm": "parameter{name}",
}
"""What a command names, by the options of AWS's command line."""


def blocks(language: str) -> list[str]:
    """The code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, str, dict[str, str]]]:
    """AWS's service, the operation, and the options of each command of AWS's command line."""
    found = re.findall(r"(?m)(?:^|`|&& )aws ([^`\n]+)", OPERATIONS.replace("\\\n", " "))
    assert len(found) > 10
    for command in found:
        service, *rest = shlex.split(command.partition(" && ")[0], comments=True)
        if service not in {"login", "configure"}:
            operation = rest.pop(0)
            pairs = re.findall(r"--([^\0]+)\0((?!--)[^\0]*)", "\0".join([*rest, ""]))
            yield service, operation, dict(pairs)


def model_of(service: str, operation: str) -> Any:
    model = botocore.session.Session().get_service_model(service)
    return model.operation_model({xform_name(name, "-"): name for name in model.operation_names}[operation])


def test_every_aws_command_exists_with_its_options() -> None:
    for service, operation, options in commands():
        shape = model_of(service, operation).input_shape
        assert shape is not None
        assert {*options} <= {xform_name(name, "-") for name in shape.members}, operation
        assert {xform_name(name, "-") for name in shape.required_members} <= {*options}, operation


def test_every_aws_command_is_allowed_by_a_policy_or_an_administrators() -> None:
    assert {
        call for call in map(" ".join, map(permission, commands())) if not is_allowed(call)
    } == ADMINISTRATORS


def permission(command: tuple[str, str, dict[str, str]]) -> tuple[str, str]:
    """The action that a command needs, and the last part of its resource's ARN."""
    service, operation, options = command
    model = model_of(service, operation)
    if service != "apigateway":
        return f"{service}:{model.name}", RESOURCES.get(service, "*").format(**options)
    path = model.http["requestUri"].replace("_", "-").format_map(options)
    return f"apigateway:{model.http['method']}", path


def is_allowed(call: str) -> bool:
    action, resource = call.split()
    return any(
        action in listed(statement["Action"])
        and any(fnmatchcase(resource, named.split(":", 5)[-1]) for named in listed(statement["Resource"]))
        for statement in policy(*POLICIES)["Statement"]
    )


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_the_workflow_deploys_main_by_pinned_actions_and_without_a_stored_secret() -> None:
    (text,) = blocks("yaml")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert workflow[True] == {"push": {"branches": ["main"]}}, "YAML reads `on` as true"
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    assert "secrets." not in text
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make deploy STAGE=prod"]
    used = re.findall(r"uses: (\S+)@(.*)", text)
    assert len(used) == 3
    assert all(re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", version) for _, version in used)
    (sign_in,) = (step["with"] for step in job["steps"] if step.get("uses", "").startswith("aws-actions/"))
    assert set(sign_in) == {"role-to-assume", "aws-region"}
    (trust,) = (statement for block in blocks("json") for statement in json.loads(block).get("Statement", []))
    subject = trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subject.endswith(":ref:refs/heads/main")
    assert "environment" not in job, "with one, `sub` names it, and no branch"
    assert sign_in["role-to-assume"].split(":")[4] == trust["Principal"]["Federated"].split(":")[4]


def test_the_deployers_policy_names_prod_and_cannot_change_the_deployers_own_role() -> None:
    """That it is enough for the stage dev, tests/deployment shows."""
    stage = Stage.load("prod")
    resources = {statement["Sid"]: statement["Resource"] for statement in policy("deployer")["Statement"]}
    role = "arn:aws:iam::111122223333:role/"
    assert fnmatchcase(f"{role}{stage.role}", resources["PassRole"])
    assert fnmatchcase(f"{role}{stage.role}", resources["Role"])
    function = f"arn:aws:lambda:eu-west-1:111122223333:function:{stage.function}"
    assert fnmatchcase(function, resources["Function"])
    (own,) = re.findall(r"--role-name (\S+) --policy-name", OPERATIONS)
    assert not fnmatchcase(f"{role}{own}", resources["Role"])


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_is_of_the_app_that_config_json_names(name: str) -> None:
    app = Stage.load("prod").app
    for statement in policy(name)["Statement"]:
        tags = re.findall(r'Tag/app": "([^"]+)"', json.dumps(statement))
        assert {*tags} <= {app}
        assert tags or statement["Resource"] == "*" or re.search(f"/restapis|{app}-|/{app}/", str(statement))


def costs(column: str) -> dict[str, tuple[float, float, float]]:
    """The quantity, the price of one unit, and the cost, by the first cell of the tables with this column."""
    found = {}
    for table in re.findall(rf"^\| what \| {column} \|.*\n\|[-|]+\n((?:\|.*\n)+)", OPERATIONS, re.MULTILINE):
        for line in table.splitlines():
            what, quantity, price, usd = (cell.strip() for cell in line.strip("|").split("|"))
            counted = re.match(r"([\d,.]+)( million)?", quantity.rpartition(": ")[2])
            assert counted, quantity
            amount = float(counted[1].replace(",", "")) * (1e6 if counted[2] else 1)
            of_one, unit = price.split(" per ")
            found[what] = amount, float(of_one) / {"million": 1e6, "10,000": 1e4}.get(unit, 1), float(usd)
    return found


@pytest.mark.parametrize(
    ("column", "rows", "total"), [("per million visits", 9, 32.70), ("per month", 3, 1.43)]
)
def test_every_cost_is_its_quantity_times_its_price(column: str, rows: int, total: float) -> None:
    found = costs(column)
    assert len(found) == rows
    for what, (quantity, price, usd) in found.items():
        assert usd == pytest.approx(quantity * price, abs=0.005001), what
    assert sum(usd for _, _, usd in found.values()) == pytest.approx(total)


def test_the_sums_and_the_cost_of_an_attack_are_computed_from_the_tables() -> None:
    found, months = costs("per million visits"), costs("per month")
    extra = sum(found.pop(what)[2] for what in ("KMS, one Encrypt per login", "DynamoDB, larger writes"))
    visit = sum(usd for _, _, usd in found.values())
    assert f"The total is {visit:.2f} dollars" in OPERATIONS
    assert found["API Gateway, REST"][2] > visit / 2
    assert f"Kept access adds {extra} dollars" in OPERATIONS
    assert months["Alarms"][0] == len(METRICS)
    assert months["KMS, for Parameter Store"][0] == 5 * 30 * 86400 / FRESH
    rate = Stage.load("prod").throttling[0]
    requests = rate * 30 * 86400
    calls = requests * sum(found[what][1] for what in ("API Gateway, REST", "Lambda, requests"))
    memory = found["Lambda, arm64, 512 MB"][1] * 0.5
    per_gb = found["Logs"][1], found["Data to visitors"][1]
    rest = requests * (0.015 * memory + (0.4 * per_gb[0] + 2.8 * per_gb[1]) / 1e6)
    said = f"of {rate:g} requests per second costs about {round(calls + rest, -2):,.0f} dollars a month"
    assert said in OPERATIONS
    assert f"{calls:.0f} for {requests / 1e6} million requests" in OPERATIONS
    assert f"and {rest:.0f} for 15 ms, 0.4 KB of log and 2.8 KB of data" in OPERATIONS


def size(reply: Reply) -> int:
    """The bytes that API Gateway sends, with about 200 bytes of headers of its own."""
    body = reply.text.encode()
    if len(body) >= json.loads((PROJECT / ".chalice/config.json").read_text())["minimum_compression_size"]:
        body = compress(body)
    headers = [*reply.headers.items(), *(("set-cookie", cookie) for cookie in reply.set_cookies)]
    return len(body) + sum(len(f"{name}: {value}\r\n") for name, value in headers) + 200


def test_a_visit_transfers_about_as_much_as_the_costs_assume(visitor: GatewayVisitor) -> None:
    replies = [visitor.get(path) for path in ("/", "/login")]
    replies += [visitor.get(visitor.agree(replies[-1].location))]
    replies += [visitor.get(path) for path in ("/", "/logout")]
    documented = costs("per million visits")["Data to visitors"][0] * 1000
    assert sum(map(size, replies)) == pytest.approx(documented, rel=0.25), "more with your own style or logo"
    assert size(visitor.get("/callback")) == pytest.approx(2800, rel=0.25), "a page that an attacker gets"
