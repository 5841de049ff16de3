"""Events that are not requests of the app's REST API: pings, checks by `make doctor`, and requests of other services."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib import documents, log
from chalicelib.errors import LoginError

CHECK = {"source": "make doctor"}
"""The event of a check. Only who may invoke the function can send it: API Gateway's events have other members."""


def respond(
    event: Any, error: LoginError, headers: Mapping[str, str], bug: Exception | None = None
) -> dict[str, Any] | None:
    """Log an event, and build the response that an HTTP API, a function URL or a load balancer expects: a problem
    document. None for events that expect nothing. `bug` is what went wrong with the event.

    Raises:
        LoginError: the event holds records, such as messages of a queue, which would be lost if this call succeeded.
    """
    line: dict[str, Any] = {"event": "request", "outcome": "failed", "request_id": secrets.token_hex(8)}
    match event:
        case {"Records": _} | {"requestContext": {}}:
            line |= {"status": error.status, "reason": error.reason, "error": bug and log.origin_of(bug)}
            log.write(**line)
        case _:
            log.write(**{**line, "event": "ping", "outcome": "completed"})
            return None
    if "Records" in event:
        raise error
    sent = {**headers, "Content-Type": documents.PROBLEM}
    return {
        "statusCode": error.status,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "body": documents.problem(error, line["request_id"]),
        "isBase64Encoded": False,
    }


def check(needed: Callable[[], None]) -> dict[str, Any]:
    """Check what a login needs. Returns the reason, detail and settings of what failed, or {}."""
    try:
        needed()
    except LoginError as failure:
        return {"reason": failure.reason, "detail": failure.detail, "settings": failure.settings}
    return {}
