"""The AWS account and region of the current credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from deploy.stage import Problem, Stop


@dataclass(frozen=True)
class Account:
    """An account, a region, and the identity of its credentials."""

    number: str
    region: str
    identity: str
    session: boto3.Session

    @classmethod
    def current(cls) -> Account:
        """The account that AWS's own variables and files name.

        Raises:
            Stop: there is no region, or there are no credentials that AWS accepts.
        """
        try:
            session = boto3.Session()
            region = session.region_name
            if not region:
                set_it = "export AWS_DEFAULT_REGION=eu-west-1"
                raise Stop(Problem("No AWS region is set.", "Set the one to deploy to, such as:", set_it))
            caller = session.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as failure:
            rejected = isinstance(failure, ClientError)
            raise Stop(
                Problem(
                    f"{'AWS rejected these credentials' if rejected else 'Signing in to AWS failed'}: {failure}",
                    "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run:",
                    "aws configure",
                )
            ) from None
        return cls(caller["Account"], region, caller["Arn"], session)

    def client(self, service: str) -> Any:
        """A client for an AWS service."""
        return self.session.client(service)  # type: ignore[call-overload]

    @property
    def suffix(self) -> str:
        """The domain of AWS's host names in this region."""
        partition = self.session.get_partition_for_region(self.region)
        return "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"


def code(failure: ClientError) -> str:
    """The error code that AWS sent."""
    return str(failure.response.get("Error", {}).get("Code", ""))
