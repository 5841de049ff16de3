"""The AWS account and region that this terminal works in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from deploy.stage import Problem, Stop


@dataclass(frozen=True)
class Account:
    """An account and region, and the identity that we have there."""

    number: str
    region: str
    identity: str
    session: boto3.Session

    @classmethod
    def current(cls) -> Account:
        """The account that AWS's own variables and files lead to.

        Raises:
            Stop: no region, or no credentials, or none that AWS takes.
        """
        try:
            session = boto3.Session()
            region = session.region_name
            if not region:
                raise Stop(
                    Problem(
                        "No AWS region is set.",
                        "export AWS_DEFAULT_REGION=eu-west-1 (or yours), or run aws configure.",
                    )
                )
            caller = session.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as failure:
            raise Stop(
                Problem(
                    f"AWS does not know who asks: {failure}",
                    "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure.",
                )
            ) from None
        return cls(caller["Account"], region, caller["Arn"], session)

    def client(self, service: str) -> Any:
        """A client of one of its services."""
        return self.session.client(service)  # type: ignore[call-overload]

    @property
    def suffix(self) -> str:
        """What its hosts' names end in."""
        partition = self.session.get_partition_for_region(self.region)
        return "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"


def code(failure: ClientError) -> str:
    """AWS's name for what went wrong."""
    return str(failure.response.get("Error", {}).get("Code", ""))
