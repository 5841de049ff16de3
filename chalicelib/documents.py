"""The JSON documents: who is logged in, and what went wrong (RFC 9457)."""

import json
from datetime import UTC, datetime
from http import HTTPStatus

from chalicelib.errors import LoginError
from chalicelib.sessions import User

JSON = "application/json"
PROBLEM = "application/problem+json"


def who(user: User | None, *, ended: bool) -> str:
    """Who is logged in, and until when; `ended` says that the browser's session is gone."""
    document: dict[str, object] = {"user": None, "ended": True} if ended else {"user": None}
    if user:
        profile, ends = user.profile, datetime.fromtimestamp(user.session_ends, UTC)
        document["user"] = {
            "account_id": profile.account_key,
            "id": profile.id,
            "display_name": profile.display_name,
            "picture": profile.picture,
        }
        document["session_ends"] = f"{ends:%Y-%m-%dT%H:%M:%SZ}"
    return json.dumps(document)


def problem(error: LoginError, reference: str) -> str:
    """The text of an error page as a problem document, with the log's reason and reference."""
    return json.dumps(
        {
            "type": "about:blank",
            "title": HTTPStatus(error.status).phrase,
            "status": error.status,
            "detail": f"{error.message} {error.remedy}",
            "reason": error.reason,
            "reference": reference,
        }
    )
