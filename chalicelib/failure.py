"""The address of a failed callback's error page. Unlike the callback's own, it holds neither `code` nor `state`."""

import json
import time
from urllib.parse import urlencode

from chalicelib import errors
from chalicelib.cookies import Seal, decode, encode
from chalicelib.request import Request

NAME = "failure"
"""The query parameter that holds a signed failure: what went wrong, its reference, and where a login returns to."""

PURPOSE = "failure"

LIFETIME = 3600
"""Seconds in which the page can be reloaded."""


def _seal(request: Request) -> Seal:
    return Seal(PURPOSE, request.config.secret_keys)


def url(request: Request, error: errors.LoginError, reference: str) -> str:
    """The signed URL of the error page of a failed callback."""
    fields = [int(time.time()), error.reason, reference, error.retry_after or 0, request.return_to]
    return (
        f"{request.address.redirect_uri}?{urlencode({NAME: _seal(request).sign(encode(json.dumps(fields)))})}"
    )


def read(request: Request) -> tuple[errors.LoginError, str]:
    """Read the error and its reference from a request's query. Sets the request's `return_to` to that of the login.

    Raises:
        BadRequest: this app did not sign the failure, or has no error with its reason.
        LoginExpired: it was signed more than `LIFETIME` ago.
    """
    values = request.query.get(NAME) or []
    fields = _seal(request).open(values[0]) if len(values) == 1 else None
    if not fields:
        raise errors.BadRequest
    failed_at, reason, reference, retry_after, request.return_to = json.loads(decode(fields[0]))
    if failed_at < time.time() - LIFETIME:
        raise errors.LoginExpired
    return errors.of(reason, retry_after), reference
