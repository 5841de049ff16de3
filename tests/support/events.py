"""API Gateway's events, and the HTTP responses that it makes of a function's responses. Imports nothing of the app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.visitor import Reply

DOMAIN = "abc123.execute-api.eu-west-1.amazonaws.com"
STAGE_URL = f"https://{DOMAIN}/api"


def event(
    path: str = "/",
    headers: Mapping[str, Any] | None = None,
    *,
    domain: str = DOMAIN,
    base: str = "/api",
    route: str = "",
    method: str = "GET",
    body: str | None = None,
) -> dict[str, Any]:
    """A REST API proxy event as API Gateway sends it, with null for empty values.

    `route` is the pattern that the path matches, such as `/items/{number}`; by default the path itself.
    """
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    pairs = zip((route or parts.path).split("/"), parts.path.split("/"), strict=True)
    parameters = {name.strip("{}"): unquote(value) for name, value in pairs if name.startswith("{")}
    return {
        "resource": route or parts.path,
        "path": parts.path,
        "httpMethod": method,
        "headers": dict(headers) if headers else None,
        "multiValueHeaders": {name: [value] for name, value in headers.items()} if headers else None,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": route or parts.path,
            "httpMethod": method,
            "path": base + parts.path,
            "stage": "api",
            "domainName": domain,
            "requestId": "0b1c2d3e-0000-4000-8000-000000000001",
        },
        "body": body,
        "isBase64Encoded": False,
    }


def reply_of(response: Mapping[str, Any]) -> Reply:
    """The HTTP response that API Gateway makes of a function's response."""
    headers = {name.lower(): value for name, value in response["headers"].items()}
    assert len(headers) == len(response["headers"]), "no name in two spellings"
    alone = [headers.pop("set-cookie")] if "set-cookie" in headers else []
    set_cookies = response["multiValueHeaders"].get("Set-Cookie", alone)
    return Reply(response["statusCode"], headers, set_cookies, response["body"])
