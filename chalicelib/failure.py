"""The address of a failed callback's error page: Spotify's redirect holds `code` and `state`, and this one does not."""

import json
from urllib.parse import urlencode

from chalicelib import errors
from chalicelib.cookies import Seal, decode, encode
from chalicelib.request import Request

NAME = "failure"
"""The query parameter that holds a signed failure: what went wrong, its reference, and where a login returns to."""

PURPOSE = "failure"


def url(request: Request, seal: Seal, error: errors.LoginError, reference: str) -> str:
    """The URL of the page of a failed callback."""
    fields = [error.reason, reference, error.retry_after or 0, request.return_to]
    return f"{request.address.redirect_uri}?{urlencode({NAME: seal.sign(encode(json.dumps(fields)))})}"


def read(request: Request, seal: Seal) -> tuple[errors.LoginError, str]:
    """The failure in a request's query and its reference. The request returns to where the login would have.

    Raises:
        BadRequest: this app did not sign it, or an earlier version of the app did.
    """
    values = request.query.get(NAME, [])
    fields = seal.open(values[0]) if len(values) == 1 and isinstance(values[0], str) else None
    if not fields:
        raise errors.BadRequest
    reason, reference, retry_after, request.return_to = json.loads(decode(fields[0]))
    return errors.of(reason, retry_after), reference
