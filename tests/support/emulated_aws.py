"""An emulated AWS (ministack), with fixes that `make deploy` needs. Runs on .emulator's Python.

ministack executes functions, behind API Gateway, and enforces IAM policies. This module adds

- ImportRestApi, which ministack handles as CreateRestApi, and PutRestApi. APIs get numbered IDs, so that a URL is
  known before its API exists. Patches with an empty value (Chalice's "no compression") are dropped.
- the encryption and the time to live of a table, which ministack ignores in templates;
- the path of a Parameter Store read as its resource, which IAM policies name.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.services import apigateway_v1 as gateway
from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

Response = tuple[int, dict[str, str], bytes]

numbers = itertools.count(1)
stock_request = gateway.handle_request
stock_arn = iam_actions.extract_resource_arn
tables = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
stock_table = tables["create"]


async def handle_request(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Response:
    """Handle a request to API Gateway's control plane."""
    parts = path.strip("/").split("/")
    imported = ""
    if parts == ["restapis"] and method == "POST" and "mode" in query:
        imported = gateway._import_rest_api(
            json.loads(body), {"tags": {"ms-custom-id": f"api{next(numbers)}"}}
        )
    elif len(parts) == 2 and parts[0] == "restapis" and method == "PUT":
        imported = put_rest_api(parts[1], json.loads(body))
    elif len(parts) == 2 and parts[0] == "restapis" and method == "PATCH":
        wanted = [change for change in json.loads(body)["patchOperations"] if change["value"] != ""]
        body = json.dumps({"patchOperations": wanted}).encode()
    response: Response = (
        gateway._get_rest_api(imported)
        if imported
        else await stock_request(method, path, headers, body, query)
    )
    return response


def put_rest_api(api_id: str, document: dict[str, Any]) -> str:
    """Replace the definition of an API."""
    (root,) = [part for part in gateway._resources[api_id].values() if part["path"] == "/"]
    root["resourceMethods"] = {}
    gateway._resources[api_id] = {root["id"]: root}
    for path, item in document["paths"].items():
        gateway._import_path_item(api_id, path, item)
    return api_id


def create_table(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
    """Create a table from a template."""
    created = stock_table(logical_id, properties, stack)
    name = properties["TableName"]
    encrypted = {"Enabled": properties["SSESpecification"]["SSEEnabled"]}
    dynamodb._tables[name]["SSEDescription"] = dynamodb._sse_description_from_spec(encrypted)
    lifetime = properties["TimeToLiveSpecification"]
    dynamodb._update_ttl({"TableName": name, "TimeToLiveSpecification": lifetime})
    return created


def extract_resource_arn(
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query: dict[str, Any],
    region: str,
    account: str,
) -> str:
    """The resource of a call."""
    if service == "ssm" and "Path" in (asked := json.loads(body or b"{}")):
        return f"arn:aws:ssm:{region}:{account}:parameter{asked['Path']}"
    return str(stock_arn(service, method, path, headers, body, query, region, account))


iam_actions.extract_resource_arn = extract_resource_arn
tables["create"] = create_table
gateway.handle_request = handle_request
app.main()
