"""The function, its role and the REST API of a stage.

Chalice finds the function and the role by their names, but knows the API only from .chalice/deployed/STAGE.json: without
that file, it creates a second API with another URL. IAM roles have no region, so a role of the same name can belong to
a function in another region. `chalice delete` needs that file too, and fails once a resource in it is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.config import Config

from deploy.account import Account
from deploy.stage import Problem, Stage

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}

PATIENT = Config(retries={"mode": "standard", "max_attempts": 16})
"""API Gateway deletes one REST API in 30 seconds, and rejects others until then. botocore's pauses grow to 20 seconds:
https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
"""


UNKNOWN = "unknown"


class Resources:
    """The function, the role and the REST API of a stage, found by their names."""

    def __init__(self, stage: Stage, account: Account) -> None:
        self._stage = stage
        self._account = account
        self._role = {"RoleName": stage.role}
        self._lambda = account.client("lambda")
        self._iam = account.client("iam")
        self._gateway = account.client("apigateway", config=PATIENT)

    def function(self) -> dict[str, Any]:
        """The configuration of the function; {} if it does not exist."""
        try:
            return dict(self._lambda.get_function_configuration(FunctionName=self._stage.function))
        except self._lambda.exceptions.ResourceNotFoundException:
            return {}

    def commit(self) -> str:
        """The commit that `make deploy` deployed; "" if the function has no such tag."""
        return str(self._lambda.list_tags(Resource=self.function()["FunctionArn"])["Tags"].get("commit", ""))

    def apis(self) -> list[str]:
        """The IDs of all REST APIs that have the app's name and invoke the function."""
        pages = self._gateway.get_paginator("get_rest_apis").paginate()
        named = [api["id"] for page in pages for api in page["items"] if api["name"] == self._stage.app]
        return [api for api in named if self._invokes_the_function(api)]

    @property
    def url(self) -> str:
        """The URL that API Gateway gave the API; "" if there is no API."""
        china = self._account.session.get_partition_for_region(self._account.region) == "aws-cn"
        domain = f"{self._account.region}.amazonaws.com{'.cn' if china else ''}"
        return "".join(
            f"https://{api}.execute-api.{domain}/{self._stage.api_stage}" for api in self.apis()[:1]
        )

    def conflicts(self) -> Iterator[Problem]:
        """Yield the resources with this stage's names that a deployment must not use."""
        region, here, role = self._owner(), self._account.region, self._stage.role
        if region == UNKNOWN:
            what = f"Role {role} exists, but no function in {here} uses it. It may be another region's: roles are global."
            delete = f"aws iam delete-role-policy --role-name {role} --policy-name {role}"
            yield Problem(
                what, "If nothing uses it, delete it:", f"{delete}; aws iam delete-role --role-name {role}"
            )
        elif region not in {"", here}:
            what = f"Role {role} belongs to {region}, and IAM roles are global."
            yield Problem(what, f"Deploy there, or add a stage for {here} to .chalice/config.json.")
        apis = self.apis()
        if len(apis) > 1:
            what = f"{len(apis)} REST APIs invoke {self._stage.function}: {', '.join(apis)}."
            remedy = "Keep the one whose URL is registered at Spotify, and delete the others by their IDs:"
            yield Problem(what, remedy, "aws apigateway delete-rest-api --rest-api-id …")

    def claim_role(self) -> None:
        """Create the role with tags that name its region, or tag the existing role. Chalice writes its policy."""
        tags = {**self._stage.tags, "region": self._account.region}
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        try:
            self._iam.create_role(**self._role, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=listed)
        except self._iam.exceptions.EntityAlreadyExistsException:
            self._iam.tag_role(**self._role, Tags=listed)

    def write_record(self, path: Path) -> None:
        """Write Chalice's record, so that it updates the API that exists, and no other."""
        apis = [{"name": "rest_api", "resource_type": "rest_api", "rest_api_id": api} for api in self.apis()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps({"resources": apis, "schema_version": "2.0", "backend": "api"}), encoding="utf-8"
        )

    def throttle(self) -> None:
        """Make API Gateway reject requests over the stage's limits, with 429. Chalice cannot set them."""
        limits = zip(("rateLimit", "burstLimit"), self._stage.throttling, strict=True)
        changes = [
            {"op": "replace", "path": f"/*/*/throttling/{name}", "value": str(value)}
            for name, value in limits
        ]
        stage = {"restApiId": self.apis()[0], "stageName": self._stage.api_stage}
        self._gateway.update_stage(**stage, patchOperations=changes)

    def faults(self) -> Iterator[str]:
        """Yield what is missing or differs from .chalice/, as sentences; deploying repairs it."""
        if not self.function():
            yield f"Function {self._stage.function} does not exist"
        if not self.apis():
            yield "The REST API does not exist"
        with suppress(self._iam.exceptions.NoSuchEntityException):
            own = self._iam.get_role_policy(**self._role, PolicyName=self._stage.role)["PolicyDocument"]
            if own != self._stage.policy:
                yield f"The permissions of role {self._stage.role} differ from {self._stage.policy_file}"
        if self._limits() != self._stage.throttling:
            yield "API Gateway's request limits differ from .chalice/config.json"

    def extra_policies(self) -> Iterator[tuple[str, str]]:
        """Yield each policy of the role that Chalice did not write, and the operation of IAM's that removes it."""
        with suppress(self._iam.exceptions.NoSuchEntityException):
            for policy in self._iam.list_attached_role_policies(**self._role)["AttachedPolicies"]:
                yield policy["PolicyArn"], f"detach-role-policy --policy-arn {policy['PolicyArn']}"
            for name in self._iam.list_role_policies(**self._role)["PolicyNames"]:
                if name != self._stage.role:
                    yield name, f"delete-role-policy --policy-name {name}"

    def existing(self) -> list[str]:
        """The existing ones, such as `function spotify-login-prod`."""
        role = [f"role {self._stage.role}"] if self._owner() == self._account.region else []
        function = [f"function {self._stage.function}"] if self.function() else []
        return [*(f"REST API {api}" for api in self.apis()), *role, *function]

    def delete(self) -> None:
        """Delete all that exist; the function last, because it identifies the role's owner."""
        for api in self.apis():
            with suppress(self._gateway.exceptions.NotFoundException):
                self._gateway.delete_rest_api(restApiId=api)
        if self._owner() == self._account.region:
            for policy in self._iam.list_attached_role_policies(**self._role)["AttachedPolicies"]:
                self._iam.detach_role_policy(**self._role, PolicyArn=policy["PolicyArn"])
            for name in self._iam.list_role_policies(**self._role)["PolicyNames"]:
                self._iam.delete_role_policy(**self._role, PolicyName=name)
            self._iam.delete_role(**self._role)
        with suppress(self._lambda.exceptions.ResourceNotFoundException):
            self._lambda.delete_function(FunctionName=self._stage.function)

    def _owner(self) -> str:
        """The region of the role, by its tags or else by the function that uses it; "" if there is no role."""
        try:
            role = self._iam.get_role(**self._role)["Role"]
        except self._iam.exceptions.NoSuchEntityException:
            return ""
        tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}
        here = self._account.region if self.function().get("Role") == role["Arn"] else UNKNOWN
        return str(tags.get("region", here))

    def _invokes_the_function(self, api: str) -> bool:
        found = self._gateway.get_resources(restApiId=api, embed=["methods"], limit=500)["items"]
        methods = [method for resource in found for method in resource.get("resourceMethods", {}).values()]
        uris = [method.get("methodIntegration", {}).get("uri", "") for method in methods]
        return any(f":function:{self._stage.function}/invocations" in uri for uri in uris)

    def _limits(self) -> tuple[float, int] | None:
        """The limits in force: requests per second and burst; None if there are none."""
        with suppress(IndexError, KeyError, self._gateway.exceptions.NotFoundException):
            stage = self._gateway.get_stage(restApiId=self.apis()[0], stageName=self._stage.api_stage)
            limits = stage["methodSettings"]["*/*"]
            return limits["throttlingRateLimit"], limits["throttlingBurstLimit"]
        return None
