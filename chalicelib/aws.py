"""Calls to AWS: how clients are created, and one error for whatever goes wrong with a call.

botocore is the core of boto3. Importing boto3 itself would add a tenth to the initialization (182 ms instead of 165).
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, SSLError
from botocore.session import Session

from chalicelib.config import CREDENTIALS
from chalicelib.deadline import Deadline, T
from chalicelib.errors import ConfigurationError

CONNECT_SECONDS, READ_SECONDS = 1.0, 2.0
CALL_SECONDS = CONNECT_SECONDS + READ_SECONDS
"""The longest that one call takes. No call begins with less time left: its outcome would be unknown."""

PAUSES = (0.05, 0.2)
"""Seconds before a second and a third attempt at a call. Every write of the app can be repeated without harm."""

THROTTLED = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)

ROOTS = Path(__file__).with_name("amazon.pem")
"""The certificates that sign those of AWS's endpoints. deploy/bundle.py writes it; elsewhere botocore uses its own."""

SETTINGS = {
    "Credentials": CREDENTIALS,
    "RegionError": ("AWS_DEFAULT_REGION",),
    "ConfigParse": ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    "DefaultsMode": ("AWS_DEFAULTS_MODE",),
    **dict.fromkeys(("Profile", "InvalidConfig", "Loop", "Retrieval", "SSO", "Login"), ("AWS_PROFILE",)),
    "FileNotFound": ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
}
"""The settings at fault, by a word in the name of an exception that botocore raises, such as NoCredentialsError."""


class CallFailed(Exception):
    """A call without a usable response. `code` is AWS's error code, or the name of botocore's exception.

    `item` is what DynamoDB found instead of what a condition demanded.
    """

    def __init__(self, code: str, *, transient: bool = False, item: Mapping[str, Any] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.transient = transient
        self.item = item or {}


class Clients:
    """Clients of AWS services, each created once. Their calls go through `call`."""

    def __init__(self) -> None:
        self._session = Session()
        self._creating = threading.Lock()  # botocore's sessions are not thread-safe; its clients are
        self._created: dict[str, Any] = {}

    def get(self, service: str) -> Any:
        """The client of a service, such as `dynamodb`.

        Raises:
            ConfigurationError: something in AWS's variables or files is missing or unusable.
        """
        if service not in self._created:
            with self._creating:
                if service not in self._created:
                    self._created[service] = self._create(service)
        return self._created[service]

    def _create(self, service: str) -> Any:
        """Create a client.

        botocore's own retries are off: they would repeat a write with the login ID that it carried, and so could
        bring back one that a logout has erased. In legacy mode botocore still rejects a response whose CRC32
        checksum does not match; in standard mode a mismatch does no more than trigger a retry.

        AWS_CA_BUNDLE overrides `ROOTS`.
        """
        logging.getLogger("botocore").setLevel(logging.WARNING)  # at debug level it logs what is stored
        retries: Any = {"mode": "legacy", "total_max_attempts": 1}
        config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=retries)
        try:
            return self._session.create_client(service, config=config, verify=_bundle())
        except (BotoCoreError, OSError, LookupError, ValueError) as failure:
            raise _misconfigured(failure) or ConfigurationError(detail=type(failure).__name__) from None


def call(function: Callable[[], T], deadline: Deadline, pauses: Sequence[float] = PAUSES) -> T:
    """Make a call, and repeat it after each of the `pauses`, in seconds, while it fails and there is time.

    Raises:
        CallFailed: no attempt got a usable response. A write may have happened all the same.
        ConfigurationError: there are no credentials, or they have expired.
    """

    def pause(failure: Exception, attempts: int) -> float | None:
        again = isinstance(failure, CallFailed) and failure.transient and attempts <= len(pauses)
        return pauses[attempts - 1] if again else None

    return deadline.retry(lambda: _attempt(function, deadline), pause)


def _attempt(function: Callable[[], T], deadline: Deadline) -> T:
    if deadline.left() < CALL_SECONDS:
        raise CallFailed("deadline")
    try:
        return deadline.within(CALL_SECONDS).run(function)
    except TimeoutError:
        raise CallFailed("timeout", transient=True) from None
    except ClientError as failure:
        code = failure.response["Error"]["Code"]
        status = failure.response["ResponseMetadata"]["HTTPStatusCode"]
        transient = status >= 500 or code in THROTTLED
        item: Any = failure.response.get("Item")
        raise CallFailed(code, transient=transient, item=item) from None
    except (BotoCoreError, OSError, AttributeError, LookupError, TypeError, ValueError) as failure:
        # OSError: a file with credentials cannot be read. From AttributeError on: the response was truncated, and
        # botocore or the function could not read it.
        bundle = Path(_bundle() or "").name if isinstance(failure, SSLError) else ""
        code = f"{type(failure).__name__} {bundle}".rstrip()
        raise _misconfigured(failure) or CallFailed(code, transient=True) from None


def _bundle() -> str | None:
    """The file that AWS's endpoints are verified with; None for botocore's own."""
    return os.environ.get("AWS_CA_BUNDLE") or (str(ROOTS) if ROOTS.exists() else None)


def _misconfigured(failure: Exception) -> ConfigurationError | None:
    """The error for an exception by which AWS's variables or files are at fault; None for any other."""
    name = type(failure).__name__
    found = [names for word, names in SETTINGS.items() if word in name]
    if found == [CREDENTIALS] and os.environ.get("AWS_PROFILE"):
        found = [SETTINGS["Profile"]]
    return ConfigurationError(*found[0], detail=name) if found else None
