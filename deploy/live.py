"""What visitors reach: the function, its role and the REST API of a stage.

Chalice creates them. It finds the function and the role by their names, but knows the API only from
.chalice/deployed/STAGE.json: without that file, it creates a second API with another URL. IAM roles have no region, so a
role of the same name can belong to a function in another region. `chalice delete` needs that file too, and fails once a
resource in it is gone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.config import Config

from deploy.account import Account
from deploy.resource import Attributes, Resource
from deploy.stage import CONFIG, Problem, Stage, Stop

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

PROBE = {"source": "make doctor"}
"""The event that chalicelib/events.py answers with a check. No HTTP request becomes such an event."""

VARIABLE = "Variable "

UNKNOWN = "unknown"


class ByChalice(Resource):
    """A resource that `chalice deploy` creates."""

    STEP = "live"

    def create(self) -> None:
        """Stop, because Chalice has not created it."""
        raise Stop(Problem(f"{self} does not exist.", "Chalice has not created it. See its output above."))


class Function(ByChalice):
    """The Lambda function of a stage."""

    KIND = "Function"

    def __init__(self, stage: Stage, account: Account) -> None:
        settings = {
            "Runtime": "python{}.{}".format(*sys.version_info),
            "Handler": "app.app",
            "MemorySize": stage.memory,
            "Timeout": stage.timeout,
            "Architectures": [stage.architecture],
            "ReservedConcurrentExecutions": stage.concurrency,
            "Role": stage.role_arn.rpartition("/")[2] or stage.role,
        }
        variables = {VARIABLE + name: value for name, value in stage.variables.items()}
        super().__init__(stage.function, CONFIG, {**settings, **variables})
        self._lambda = account.client("lambda")
        self._of = {"FunctionName": self.name}

    def describe(self) -> dict[str, Any]:
        """Lambda's description of the function; {} if it does not exist."""
        try:
            return dict(self._lambda.get_function_configuration(**self._of))
        except self._lambda.exceptions.ResourceNotFoundException:
            return {}

    def read(self) -> Attributes | None:
        """The settings of the function, and its environment variables."""
        if not (found := self.describe()):
            return None
        variables = found.get("Environment", {}).get("Variables", {})
        reserved = self._lambda.get_function_concurrency(**self._of).get("ReservedConcurrentExecutions")
        return {
            **{name: found.get(name) for name in self.wanted if not name.startswith(VARIABLE)},
            "Role": found["Role"].rpartition("/")[2],
            "ReservedConcurrentExecutions": reserved,
            **{VARIABLE + name: value for name, value in variables.items()},
        }

    def change(self, names: Iterable[str]) -> None:  # noqa: ARG002 - Chalice sets all others
        """Set the handler again."""
        self._lambda.update_function_configuration(**self._of, Handler=self.wanted["Handler"])

    def delete(self) -> None:
        """Delete the function."""
        with suppress(self._lambda.exceptions.ResourceNotFoundException):
            self._lambda.delete_function(**self._of)

    def commit(self) -> str:
        """The commit that `make deploy` deployed; "" if the function has no such tag."""
        arn = self.describe()["FunctionArn"]
        return str(self._lambda.list_tags(Resource=arn)["Tags"].get("commit", ""))

    def code(self) -> tuple[str, str]:
        """The SHA-256 of the live package, in base64, and a URL to download it; "" if there is no function."""
        try:
            found = self._lambda.get_function(**self._of)
        except self._lambda.exceptions.ResourceNotFoundException:
            return "", ""
        return found["Configuration"]["CodeSha256"], found["Code"]["Location"]

    def check(self) -> dict[str, Any]:
        """Have the function check what it needs; returns what failed as the log would show it, or {}."""
        done = self._lambda.invoke(**self._of, Payload=json.dumps(PROBE))
        answer = json.loads(done["Payload"].read() or "null")
        if "FunctionError" in done or not isinstance(answer, dict):
            return {"reason": "crashed", "detail": done.get("FunctionError", "no answer")}
        return answer

    def _sentence(self, name: str, found: object, wanted: object) -> str:
        if name.startswith(VARIABLE):  # it may be a secret
            return f"{name} of {self} differs from {self.source}"
        return super()._sentence(name, found, wanted)


class Role(Resource):
    """The role of a stage's function. Its tags name its region."""

    KIND = "Role"

    def __init__(self, stage: Stage, account: Account) -> None:
        tags = {**stage.tags, "region": account.region}
        wanted = {"Tags": tags, "Trust policy": TRUST, "Policy": stage.policy, "Other policies": []}
        super().__init__(stage.role, stage.policy_file, wanted)
        self._tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._function = Function(stage, account)
        self._region = account.region
        self._iam = account.client("iam")
        self._of = {"RoleName": self.name}

    def read(self) -> Attributes | None:
        """The tags and policies of the role; None also if it is another region's."""
        if self._owner() != self._region:
            return None
        found = self._iam.get_role(**self._of)["Role"]
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
        attached, inline = self._policies()
        policy = None
        if self.name in inline:
            policy = self._iam.get_role_policy(**self._of, PolicyName=self.name)["PolicyDocument"]
        return {
            "Tags": {name: tags.get(name) for name in self.wanted["Tags"]},
            "Trust policy": found["AssumeRolePolicyDocument"],
            "Policy": policy,
            "Other policies": [*attached, *(name for name in inline if name != self.name)],
        }

    def create(self) -> None:
        """Create the role."""
        self._iam.create_role(**self._of, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=self._tags)

    def change(self, names: Iterable[str]) -> None:
        """Set the tags and the policies of these names, and remove all others."""
        for name in names:
            if name == "Tags":
                self._iam.tag_role(**self._of, Tags=self._tags)
            elif name == "Trust policy":
                self._iam.update_assume_role_policy(**self._of, PolicyDocument=json.dumps(TRUST))
            elif name == "Policy":
                document = json.dumps(self.wanted[name])
                self._iam.put_role_policy(**self._of, PolicyName=self.name, PolicyDocument=document)
            else:
                self._remove_policies(but=self.name)

    def delete(self) -> None:
        """Delete the role, unless it is another region's."""
        if self._owner() == self._region:
            self._remove_policies()
            self._iam.delete_role(**self._of)

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem if a role of this name is not this stage's."""
        region = self._owner()
        if region == UNKNOWN:
            what = f"{self} exists, but no function in {self._region} uses it. It may be another region's: roles are global."
            delete = f"aws iam delete-role-policy --role-name {self.name} --policy-name {self.name}"
            remove = f"{delete}; aws iam delete-role --role-name {self.name}"
            yield Problem(what, "If nothing uses it, delete it:", remove)
        elif region not in {"", self._region}:
            what = f"{self} belongs to {region}, and IAM roles are global."
            yield Problem(what, f"Deploy there, or add a stage for {self._region} to {CONFIG}.")

    def _policies(self) -> tuple[list[str], list[str]]:
        attached = self._iam.list_attached_role_policies(**self._of)["AttachedPolicies"]
        return [policy["PolicyArn"] for policy in attached], self._iam.list_role_policies(**self._of)[
            "PolicyNames"
        ]

    def _remove_policies(self, but: str = "") -> None:
        attached, inline = self._policies()
        for arn in attached:
            self._iam.detach_role_policy(**self._of, PolicyArn=arn)
        for name in inline:
            if name != but:
                self._iam.delete_role_policy(**self._of, PolicyName=name)

    def _owner(self) -> str:
        """The region of the role, by its tags or else by the function that uses it; "" if there is no role."""
        try:
            role = self._iam.get_role(**self._of)["Role"]
        except self._iam.exceptions.NoSuchEntityException:
            return ""
        tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}
        here = self._region if self._function.describe().get("Role") == role["Arn"] else UNKNOWN
        return str(tags.get("region", here))


class Api(ByChalice):
    """The REST API of a stage: the one with the app's name that invokes the function."""

    KIND = "REST API"

    def __init__(self, stage: Stage, account: Account) -> None:
        wanted = {
            "stages": [stage.api_stage],
            "minimumCompressionSize": stage.compression,
            "rateLimit": stage.throttling[0],
            "burstLimit": stage.throttling[1],
        }
        super().__init__(stage.app, CONFIG, wanted)
        self._stage = stage
        self._account = account
        self._gateway = account.client("apigateway", config=PATIENT)

    def ids(self) -> list[str]:
        """The IDs of all REST APIs that have the app's name and invoke the function."""
        pages = self._gateway.get_paginator("get_rest_apis").paginate()
        named = [api["id"] for page in pages for api in page["items"] if api["name"] == self.name]
        return [api for api in named if self._invokes_the_function(api)]

    @property
    def url(self) -> str:
        """The URL that API Gateway gave the API; "" if there is no API."""
        china = self._account.session.get_partition_for_region(self._account.region) == "aws-cn"
        domain = f"{self._account.region}.amazonaws.com{'.cn' if china else ''}"
        return "".join(
            f"https://{api}.execute-api.{domain}/{self._stage.api_stage}" for api in self.ids()[:1]
        )

    def read(self) -> Attributes | None:
        """Its stages, and the compression and request limits of the declared one."""
        for api in self.ids()[:1]:
            stages = self._gateway.get_stages(restApiId=api)["item"]
            declared = [stage for stage in stages if stage["stageName"] == self._stage.api_stage]
            limits = (declared[0].get("methodSettings", {}) if declared else {}).get("*/*", {})
            return {
                "stages": sorted(stage["stageName"] for stage in stages),
                "minimumCompressionSize": self._gateway.get_rest_api(restApiId=api).get(
                    "minimumCompressionSize"
                ),
                "rateLimit": limits.get("throttlingRateLimit"),
                "burstLimit": limits.get("throttlingBurstLimit"),
            }
        return None

    def change(self, names: Iterable[str]) -> None:
        """Delete other stages, and set the request limits. Chalice does neither."""
        (api,) = self.ids()
        stage = {"restApiId": api, "stageName": self._stage.api_stage}
        for name in names:
            if name == "stages":
                for other in {*(self.read() or {})[name]} - {self._stage.api_stage}:
                    self._gateway.delete_stage(**{**stage, "stageName": other})
            elif name in {"rateLimit", "burstLimit"}:
                path = f"/*/*/throttling/{name}"
                change = {"op": "replace", "path": path, "value": str(self.wanted[name])}
                self._gateway.update_stage(**stage, patchOperations=[change])

    def existing(self) -> list[str]:
        """Each REST API."""
        return [f"{self.KIND} {api}" for api in self.ids()]

    def delete(self) -> None:
        """Delete all of them."""
        for api in self.ids():
            with suppress(self._gateway.exceptions.NotFoundException):
                self._gateway.delete_rest_api(restApiId=api)

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem if there are several."""
        if len(apis := self.ids()) > 1:
            what = f"{len(apis)} REST APIs invoke {self._stage.function}: {', '.join(apis)}."
            remedy = "Keep the one whose URL is registered at Spotify, and delete the others by their IDs:"
            yield Problem(what, remedy, "aws apigateway delete-rest-api --rest-api-id …")

    def write_record(self, path: Path) -> None:
        """Write Chalice's record, so that it updates the API that exists, and no other."""
        apis = [{"name": "rest_api", "resource_type": "rest_api", "rest_api_id": api} for api in self.ids()]
        record = {"resources": apis, "schema_version": "2.0", "backend": "api"}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record), encoding="utf-8")

    def _invokes_the_function(self, api: str) -> bool:
        found = self._gateway.get_resources(restApiId=api, embed=["methods"], limit=500)["items"]
        methods = [method for resource in found for method in resource.get("resourceMethods", {}).values()]
        uris = [method.get("methodIntegration", {}).get("uri", "") for method in methods]
        return any(f":function:{self._stage.function}/invocations" in uri for uri in uris)
