"""The AWS account and region of the current credentials.

boto3 finds the credentials, but reports unusable settings late, or with a traceback.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, SSOError, TokenRetrievalError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from deploy.stage import Problem, Stop


@dataclass(frozen=True)
class Account:
    """An account, a region, and the identity of its credentials."""

    number: str
    region: str
    identity: str
    session: boto3.Session
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def current(cls) -> Account:
        """The account of the current AWS configuration.

        Raises:
            Stop: there is no region, or there are no credentials that AWS accepts, or AWS cannot be reached.
        """
        try:
            if os.environ.get("AWS_REGION"):  # AWS CLI knows it, but boto3 and Chalice only the other
                os.environ.setdefault("AWS_DEFAULT_REGION", os.environ["AWS_REGION"])
            session = boto3.Session()
            region = session.region_name
            if not region:
                export = "export AWS_DEFAULT_REGION=eu-west-1"
                raise Stop(Problem("No AWS region is set.", "Set one, for example:", export))
            if os.environ.get("AWS_REGION", region) != region:
                what = f"AWS_REGION is {os.environ['AWS_REGION']}, but boto3 and Chalice use {region}."
                raise Stop(
                    Problem(what, "Use one region:", f"export AWS_DEFAULT_REGION={os.environ['AWS_REGION']}")
                )
            caller = session.client("sts").get_caller_identity()
        except (NoConnection, HTTPClientError, ResponseParserError) as failure:
            raise Stop(_unreachable(region, failure)) from None
        except (BotoCoreError, ClientError, OSError, ValueError) as failure:
            # The last two are what botocore makes of files and commands with credentials that cannot be used.
            rejected = isinstance(failure, ClientError)
            what = "AWS rejected these credentials" if rejected else "Signing in to AWS failed"
            command = "aws sso login" if isinstance(failure, (SSOError, TokenRetrievalError)) else "aws login"
            remedy = "Check AWS_PROFILE and the region, or sign in with AWS CLI 2:"
            raise Stop(Problem(f"{what}: {failure}", remedy, command)) from None
        return cls(caller["Account"], region, caller["Arn"], session)

    def client(self, service: str, **options: Any) -> Any:
        """A client for an AWS service. There is one for each service."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service, **options)  # type: ignore[call-overload]
        return self._clients[service]


def _unreachable(region: str, failure: Exception) -> Problem:
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        what = f"AWS_ENDPOINT_URL is {endpoint}, which does not respond like AWS."
        return Problem(what, "Unset it to use AWS itself:", "unset AWS_ENDPOINT_URL")
    what = f"Cannot reach AWS in region {region}: {failure}"
    return Problem(what, "Check the name of the region, and your connection.")
