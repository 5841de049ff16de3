"""DynamoDB in memory: moto, behind a guard that rejects requests from web pages."""

from __future__ import annotations

import argparse
import signal
import threading
from typing import TYPE_CHECKING

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from deploy.table import DEFINITION, EXPIRY
from simulator.loopback import serve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""Made-up credentials. DynamoDB clients require some."""


class Guard:
    """Passes on requests from DynamoDB clients and rejects all others.

    A web page in the developer's browser can send requests to this machine, and moto accepts any Origin. A
    request from a browser has an Origin or Sec-Fetch-* header or, after DNS rebinding, another Host. It cannot
    send X-Amz-Target to another origin without a preflight. Requests are passed on one at a time, because moto
    loses concurrent updates.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._turn = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request, or reject it with 403 (WSGI, PEP 3333)."""
        if not self._is_client(environ):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This DynamoDB accepts requests from programs on this machine, not from web pages.\n"]
        with self._turn:
            return list(self._app(environ, start_response))

    @staticmethod
    def _is_client(environ: WSGIEnvironment) -> bool:
        own_host = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        return (
            environ.get("HTTP_HOST") == own_host
            and environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_20120810.")
            and not any(name == "HTTP_ORIGIN" or name.startswith("HTTP_SEC_FETCH_") for name in environ)
        )


def start(table: str, port: int = 0) -> str:
    """Serve a DynamoDB with an empty users table. Returns its URL. Its data is lost when the process exits."""
    url = serve(Guard(DomainDispatcherApplication(create_backend_app)), port)
    create_table(url, table)
    return url


def create_table(url: str, table: str) -> None:
    """Create the users table as on AWS: `account_id` is the partition key, `expires_at` the time to live."""
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **DEFINITION)
    client.update_time_to_live(TableName=table, TimeToLiveSpecification=EXPIRY)


def main() -> None:
    """Run it by itself: `python -m local.dynamodb --port 8000`."""
    parser = argparse.ArgumentParser(prog="python -m local.dynamodb", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--table", default="spotify-login-users-dev")
    options = parser.parse_args()
    url = start(options.table, options.port)
    exports = "".join(f"\nexport {name}={value}" for name, value in CREDENTIALS.items())
    print(
        f"DynamoDB at {url}, table {options.table}\n\nTo use it:\n\nexport AWS_ENDPOINT_URL={url}{exports}",
        flush=True,
    )
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Event().wait()


if __name__ == "__main__":
    main()
