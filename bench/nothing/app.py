"""A function that does nothing: what the runtime itself costs."""

from typing import Any


def app(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda passes them
    """Answer."""
    return {"statusCode": 200, "headers": {}, "multiValueHeaders": {}, "body": ""}
