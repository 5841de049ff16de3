"""DynamoDB and KMS in memory: moto, behind a guard that rejects requests from web pages.

It is the emulation for `make run`, which starts at once and needs no other program, and whose table must survive a
restart of the app. The tests between processes share it.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from deploy.table import DEFINITION, EXPIRY
from simulator.loopback import HOST, serve

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""Made-up credentials. AWS clients require some."""

TARGETS = ("DynamoDB_20120810.", "TrentService.")
"""What the header X-Amz-Target begins with: the APIs of DynamoDB and KMS, by their names in AWS's models."""


class Guard:
    """Passes on requests from clients of DynamoDB and KMS, and rejects all others.

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
            return [b"This server accepts requests from programs on this machine, not from web pages.\n"]
        with self._turn:
            return list(self._app(environ, start_response))

    @staticmethod
    def _is_client(environ: WSGIEnvironment) -> bool:
        own_host = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        return (
            environ.get("HTTP_HOST") == own_host
            and environ.get("HTTP_X_AMZ_TARGET", "").startswith(TARGETS)
            and not any(name == "HTTP_ORIGIN" or name.startswith("HTTP_SEC_FETCH_") for name in environ)
        )


def isolate(environment: MutableMapping[str, str]) -> None:
    """Replace the user's AWS configuration in an environment with made-up credentials, for calls to this machine only."""
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]
    files = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    environment.update({**CREDENTIALS, **files})
    bypass_proxies(environment)


def bypass_proxies(environment: MutableMapping[str, str]) -> None:
    """Exclude this machine from proxies, which could not reach its servers."""
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, (environment.get(name), HOST, "localhost")))


def start(table: str, alias: str = "", port: int = 0) -> str:
    """Serve an empty users table and, with an `alias`, a KMS key. Returns the URL. Everything is lost when the process ends."""
    url = serve(Guard(DomainDispatcherApplication(create_backend_app)), port)
    create_table(url, table)
    if alias:
        create_key(url, alias)
    return url


def create_table(url: str, table: str) -> None:
    """Create the users table as on AWS: `account_id` is the partition key, `expires_at` the time to live."""
    dynamodb = boto3.client("dynamodb", **connection(url))
    dynamodb.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **DEFINITION)
    dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=EXPIRY)


def create_key(url: str, alias: str) -> None:
    """Create a KMS key for kept access, as on AWS."""
    kms = boto3.client("kms", **connection(url))
    kms.create_alias(AliasName=alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])


def connection(url: str) -> dict[str, Any]:
    """The arguments of boto3.client for this server."""
    keys = {name.lower(): CREDENTIALS[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    return {"endpoint_url": url, "region_name": CREDENTIALS["AWS_DEFAULT_REGION"], **keys}


def main() -> None:
    """Run it by itself: `python -m local.aws --port 8000`."""
    parser = argparse.ArgumentParser(prog="python -m local.aws", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--table", default="spotify-login-users-dev")
    parser.add_argument("--alias", default="", help="the value of TOKENS_KMS_ALIAS: creates a KMS key")
    options = parser.parse_args()
    isolate(os.environ)
    url = start(options.table, options.alias, options.port)
    settings = {"AWS_ENDPOINT_URL": url, **CREDENTIALS}
    if options.alias:
        settings["TOKENS_KMS_ALIAS"] = options.alias
    exports = "".join(f"\nexport {name}={value}" for name, value in settings.items())
    served = f"DynamoDB and KMS at {url}, table {options.table}, key {options.alias}"
    print(f"{served.removesuffix(', key ')}\n\nTo use it:\n{exports}", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Event().wait()


if __name__ == "__main__":
    main()
