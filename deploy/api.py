"""The REST API of a stage: Chalice's record of it, its URL and its limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from deploy import PROJECT
from deploy.account import Account, code
from deploy.stage import Problem, Stage, Stop

RECORDS = PROJECT / ".chalice" / "deployed"
"""The folder of Chalice's records of the resources it created, one file for each stage."""


class Api:
    """The resources that Chalice creates for a stage: a role, a function and a REST API."""

    def __init__(self, stage: Stage, account: Account, records: Path = RECORDS) -> None:
        self._stage = stage
        self._account = account
        self.record = records / f"{stage.name}.json"

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources in Chalice's record, by Chalice's names for them.

        Raises:
            Stop: the record belongs to another account or region.
        """
        if not self.record.exists():
            return {}
        kept = json.loads(self.record.read_text(encoding="utf-8"))["resources"]
        for resource in kept:
            place = resource.get("lambda_arn", "").split(":")[3:5]
            if place and place != [self._account.region, self._account.number]:
                raise Stop(
                    Problem(
                        f".chalice/deployed/{self.record.name} belongs to account {place[1]} in {place[0]}, "
                        f"but these credentials are for account {self._account.number} in {self._account.region}.",
                        "Switch to that account and region, or move the file away to deploy to this one too.",
                    )
                )
        return {resource["name"]: resource for resource in kept}

    def recall(self) -> list[str]:
        """Rebuild a missing or incomplete record from AWS; returns the types of the resources found.

        Without a record, Chalice would create a second API, with another URL.

        Raises:
            Stop: there is a second API already.
        """
        if "rest_api" in self.resources():
            return []
        found = [resource for resource in (self._role(), self._function(), self._rest_api()) if resource]
        if found:
            self.record.parent.mkdir(parents=True, exist_ok=True)
            document = {"resources": found, "schema_version": "2.0", "backend": "api"}
            self.record.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return [str(resource["resource_type"]) for resource in found]

    @property
    def url(self) -> str:
        """The URL that API Gateway gave the API, or "" if there is none."""
        return str(self.resources().get("rest_api", {}).get("rest_api_url", "")).rstrip("/")

    @property
    def limits(self) -> dict[str, tuple[float, int]]:
        """The limits in force: requests per second and burst, by path; `*` is the limit that all share."""
        stage = self._gateway.get_stage(restApiId=self._id, stageName=self._stage.api_stage)
        found = {}
        for key, settings in stage.get("methodSettings", {}).items():
            path = key.replace("~1", "/").rpartition("/")[0].strip("/")
            limits = settings.get("throttlingRateLimit"), settings.get("throttlingBurstLimit")
            found["*" if path == "*" else f"/{path}"] = limits
        return found

    def throttle(self, limits: Mapping[str, tuple[float, int]]) -> None:
        """Make API Gateway reject requests over the limits, with 429."""
        operations = []
        for path, (rate, burst) in limits.items():
            method = "/*/*" if path == "*" else f"/{path.replace('/', '~1')}/GET"
            for name, value in (("rateLimit", rate), ("burstLimit", burst)):
                operations.append(
                    {"op": "replace", "path": f"{method}/throttling/{name}", "value": str(value)}
                )
        self._gateway.update_stage(
            restApiId=self._id, stageName=self._stage.api_stage, patchOperations=operations
        )

    @property
    def _gateway(self) -> Any:
        return self._account.client("apigateway")

    @property
    def _id(self) -> str:
        return str(self.resources()["rest_api"]["rest_api_id"])

    def _role(self) -> dict[str, str]:
        try:
            role = self._account.client("iam").get_role(RoleName=self._stage.role)["Role"]
        except ClientError as failure:
            if code(failure) == "NoSuchEntity":
                return {}
            raise
        return {
            "name": "api_handler_role",
            "resource_type": "iam_role",
            "role_arn": role["Arn"],
            "role_name": role["RoleName"],
        }

    def _function(self) -> dict[str, str]:
        try:
            found = self._account.client("lambda").get_function_configuration(
                FunctionName=self._stage.function
            )
        except ClientError as failure:
            if code(failure) == "ResourceNotFoundException":
                return {}
            raise
        return {"name": "api_handler", "resource_type": "lambda_function", "lambda_arn": found["FunctionArn"]}

    def _rest_api(self) -> dict[str, str]:
        pages = self._gateway.get_paginator("get_rest_apis").paginate()
        candidates = [api["id"] for page in pages for api in page["items"] if api["name"] == self._stage.app]
        ours = [api_id for api_id in candidates if self._leads_to_function(api_id)]
        if len(ours) > 1:
            raise Stop(
                Problem(
                    f"{len(ours)} REST APIs invoke {self._stage.function}: {', '.join(ours)}.",
                    "Keep the one whose URL is registered at Spotify, and delete the others by their IDs:",
                    "aws apigateway delete-rest-api --rest-api-id …",
                )
            )
        if not ours:
            return {}
        address = f"https://{ours[0]}.execute-api.{self._account.region}.{self._account.suffix}"
        return {
            "name": "rest_api",
            "resource_type": "rest_api",
            "rest_api_id": ours[0],
            "rest_api_url": f"{address}/{self._stage.api_stage}/",
        }

    def _leads_to_function(self, api_id: str) -> bool:
        resources = self._gateway.get_resources(restApiId=api_id, embed=["methods"], limit=500)["items"]
        uris = [
            method.get("methodIntegration", {}).get("uri", "")
            for resource in resources
            for method in resource.get("resourceMethods", {}).values()
        ]
        return any(f":function:{self._stage.function}/invocations" in uri for uri in uris)
