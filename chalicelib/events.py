"""Events that are not requests of the app's REST API: pings, schedules, and requests of other services."""

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from chalicelib import documents, log
from chalicelib.errors import LoginError


def respond(
    event: Any, error: LoginError, headers: Mapping[str, str], bug: Exception | None = None
) -> dict[str, Any] | None:
    """Log an event, and build the response in its source's format: a problem document for an HTTP API, a function
    URL or a load balancer; None for events that expect nothing. `bug` is what went wrong with the event.

    Raises:
        NotRestApi: it holds records, such as messages of a queue, which would be lost if this call succeeded.
    """
    reference, origin = secrets.token_hex(8), log.origin_of(bug) if bug else ""
    holds_records = isinstance(event, dict) and "Records" in event
    if not holds_records and not (isinstance(event, dict) and isinstance(event.get("requestContext"), dict)):
        log.write(event="ping", outcome="completed", request_id=reference)
        return None
    log.write(
        event="request",
        outcome="failed",
        status=error.status,
        reason=error.reason,
        error=origin,
        request_id=reference,
    )
    if holds_records:
        raise error
    sent = {**headers, "Content-Type": documents.PROBLEM}
    response = {
        "statusCode": error.status,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "body": documents.problem(error, reference),
        "isBase64Encoded": False,
    }
    if "elb" in event["requestContext"]:
        response["statusDescription"] = f"{error.status} {HTTPStatus(error.status).phrase}"
    return response
