"""An empty function, which costs only what the runtime itself costs."""

from typing import Any


def app(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda passes them
    """Return an empty response."""
    return {"statusCode": 200, "headers": {}, "multiValueHeaders": {}, "body": ""}
