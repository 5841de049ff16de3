"""The users table: remember, find, forget."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.parsers import ResponseParserError

from chalicelib.deadline import Deadline
from chalicelib.errors import ConfigurationError, ProfileInvalid, UsersUnavailable, UsersUncertain
from chalicelib.profile import Profile

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LIFETIME = 30 * 24 * 60 * 60
"""Seconds that a user is remembered after a login, and that a session lasts at most: they are the same."""

CONNECT_SECONDS, READ_SECONDS = 1.0, 2.0
"""What a call may take; none is begun with less time left than both."""

PAUSES = (0.05, 0.2, 0.0)
"""Seconds after each try of a call: as many tries as pauses."""

THROTTLED = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)


class Users:
    """The users that are logged in somewhere, by account key.

    botocore's own retries must be off in `client`: they would send a write again with the login id that it
    had, and so could bring back one that a logout has killed meanwhile. Here every try makes a new one.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def find(self, account_key: str, login_id: str, deadline: Deadline) -> Profile | None:
        """The user of a live login; None if there is none, or not by that login id. One consistent read.

        Raises:
            UsersUnavailable: the table does not answer.
        """
        answer = _repeat(
            deadline,
            lambda: self._client.get_item(
                TableName=self._table, Key={"account_id": {"S": account_key}}, ConsistentRead=True
            ),
        )
        return _read(answer.get("Item", {}), login_id)

    def remember(self, profile: Profile, deadline: Deadline, replacing: str = "") -> str:
        """Store a user for `LIFETIME` and return the login id, which all logins of one user share.

        `replacing` is a login id to end: if it is still the user's it is changed, and every copy of it dies.

        Raises:
            UsersUnavailable: the table does not answer; nothing was stored.
            UsersUncertain: the table does not answer; something may have been stored.
        """
        answer = None
        if replacing:
            answer = _repeat(deadline, lambda: self._replace(profile, replacing), unclear=UsersUncertain)
        if not answer:
            answer = _repeat(deadline, lambda: self._store(profile), unclear=UsersUncertain)
        return str(answer["Attributes"]["login_id"]["S"])

    def forget(self, account_key: str, login_id: str, deadline: Deadline) -> None:
        """Erase a user, unless the login id is no longer theirs: then there is nothing of ours to erase.

        Raises:
            UsersUnavailable: the table does not answer.
        """
        _repeat(
            deadline,
            lambda: self._client.delete_item(
                TableName=self._table,
                Key={"account_id": {"S": account_key}},
                ConditionExpression="login_id = :login_id",
                ExpressionAttributeValues={":login_id": {"S": login_id}},
            ),
        )

    def _store(self, profile: Profile) -> Any:
        return self._update(profile, "if_not_exists(login_id, :fresh)", {})

    def _replace(self, profile: Profile, old: str) -> Any:
        return self._update(profile, ":fresh", {":old": {"S": old}}, ConditionExpression="login_id = :old")

    def _update(self, profile: Profile, login_id: str, values: Mapping[str, Any], **condition: str) -> Any:
        return self._client.update_item(
            TableName=self._table,
            Key={"account_id": {"S": profile.account_key}},
            UpdateExpression=f"SET login_id = {login_id}, profile = :profile, expires_at = :expires_at",
            ExpressionAttributeValues={
                ":fresh": {"S": secrets.token_urlsafe(16)},
                ":profile": {"S": profile.text},
                ":expires_at": {"N": str(int(time.time()) + LIFETIME)},
                **values,
            },
            ReturnValues="ALL_NEW",
            **condition,  # type: ignore[arg-type]
        )


def _read(item: Mapping[str, Any], login_id: str) -> Profile | None:
    """The profile of a live item; what another version of the app may have written reads as nobody."""
    try:
        live = int(item["expires_at"]["N"]) > time.time()
        known = hmac.compare_digest(item["login_id"]["S"].encode(), login_id.encode())
        return Profile.parse(item["profile"]["S"]) if live and known else None
    except (KeyError, TypeError, ValueError, AttributeError, ProfileInvalid):
        return None


def _repeat(
    deadline: Deadline, call: Callable[[], Any], unclear: type[UsersUnavailable] = UsersUnavailable
) -> Any:
    """Call until it answers, a few times and while there is time; {} where its condition does not hold."""
    error, detail = UsersUnavailable, "deadline"
    for pause in PAUSES:
        if deadline.left() < CONNECT_SECONDS + READ_SECONDS:
            break
        try:
            return call()
        except ClientError as failure:
            detail = failure.response["Error"]["Code"]
            status = failure.response["ResponseMetadata"]["HTTPStatusCode"]
            if detail == "ConditionalCheckFailedException":
                return {}
            if status < 500 and detail not in THROTTLED:
                break
            error = unclear if status >= 500 else error
        except NoCredentialsError:
            raise ConfigurationError("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") from None
        except (BotoCoreError, ResponseParserError) as failure:
            detail = type(failure).__name__
            error = unclear if isinstance(failure, HTTPClientError | ResponseParserError) else error
        time.sleep(pause)
    raise error(detail)
