"""Tokens of users as KMS ciphertext, and the access tokens that this process has decrypted."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, NamedTuple

from chalicelib import aws
from chalicelib.config import Config
from chalicelib.deadline import Deadline
from chalicelib.errors import KeyUnavailable
from chalicelib.spotify import Tokens

MOST_BYTES = 4096
"""The longest text that KMS encrypts with a symmetric key."""

UNREADABLE = ("InvalidCiphertextException", "IncorrectKeyException")
"""KMS's codes for a ciphertext that the key did not create, or not for this table."""

MOST_REMEMBERED = 128


class Owner(NamedTuple):
    """Whose tokens they are: a user's, for one Spotify app."""

    account_key: str
    client_id: str


@dataclass(frozen=True)
class Access:
    """An access token, as a process remembers it."""

    token: str = field(repr=False)
    scope: str
    ends: int
    """In epoch seconds."""
    renewable: bool
    """Whether there is a refresh token."""

    @property
    def seconds_left(self) -> float:
        """Seconds until it ends; zero or less once it has."""
        return self.ends - time.time()


class Memory:
    """The access tokens of some users, until they expire. Not their refresh tokens."""

    def __init__(self) -> None:
        self._known: dict[tuple[Owner, bytes], Access] = {}
        self._lock = threading.Lock()

    def get(self, owner: Owner, ciphertext: bytes) -> Access | None:
        """The access token that was remembered for a ciphertext, if it has not ended."""
        access = self._known.get((owner, ciphertext))
        return access if access and access.seconds_left > 0 else None

    def put(self, owner: Owner, ciphertext: bytes, tokens: Tokens) -> Access:
        """Remember an access token; forget expired ones and, above `MOST_REMEMBERED`, the oldest."""
        access = Access(tokens.access_token, tokens.scope, tokens.ends, bool(tokens.refresh_token))
        with self._lock:
            self._known.pop((owner, ciphertext), None)
            live = [(key, known) for key, known in self._known.items() if known.seconds_left > 0]
            self._known = dict([*live, ((owner, ciphertext), access)][-MOST_REMEMBERED:])
        return access

    def forget(self, account_key: str) -> None:
        """Forget the access tokens of a user."""
        with self._lock:
            others = ((key, known) for key, known in self._known.items() if key[0].account_key != account_key)
            self._known = dict(others)


class Vault:
    """Encrypts tokens with the key of TOKENS_KMS_ALIAS. Every call ends with the deadline.

    KMS binds a ciphertext to the table's name; the text in it, to an account and a Spotify app. An
    account key is not in the encryption context, because CloudTrail would keep it after a logout.
    """

    def __init__(self, client: Callable[[], Any], config: Config, deadline: Deadline, memory: Memory) -> None:
        self._client = client
        self._key = {
            "KeyId": config.tokens_kms_alias,
            "EncryptionContext": {"table": config.users_table},
        }
        self._client_id = config.client_id
        self._deadline = deadline
        self._memory = memory

    def seal(self, account_key: str, tokens: Tokens) -> bytes:
        """Encrypt the tokens of a user.

        Raises:
            KeyUnavailable: KMS did not encrypt them, or they are longer than `MOST_BYTES`.
        """
        text = json.dumps({**self._owner(account_key)._asdict(), **asdict(tokens)}).encode()
        if len(text) > MOST_BYTES:
            raise KeyUnavailable("TokensTooLong")
        return self._call(lambda: self._client().encrypt(Plaintext=text, **self._key)["CiphertextBlob"])

    def open(self, account_key: str, ciphertext: bytes) -> Tokens | None:
        """Decrypt tokens. None if they are not this user's, not this Spotify app's, or not readable.

        Raises:
            KeyUnavailable: KMS did not decrypt them.
        """
        try:
            text = self._call(
                lambda: self._client().decrypt(CiphertextBlob=ciphertext, **self._key)["Plaintext"]
            )
        except KeyUnavailable as failure:
            if failure.detail in UNREADABLE:
                return None
            raise
        return _read(text, self._owner(account_key))

    def remember(self, account_key: str, ciphertext: bytes, tokens: Tokens) -> Access:
        """Remember the access token of newly stored tokens."""
        return self._memory.put(self._owner(account_key), ciphertext, tokens)

    def access(self, account_key: str, ciphertext: bytes) -> Access | None:
        """The access token in a ciphertext, from memory if it is there. None and errors as in `open`."""
        if known := self._memory.get(self._owner(account_key), ciphertext):
            return known
        tokens = self.open(account_key, ciphertext)
        return self.remember(account_key, ciphertext, tokens) if tokens else None

    def _owner(self, account_key: str) -> Owner:
        return Owner(account_key, self._client_id)

    def _call(self, function: Callable[[], bytes]) -> bytes:
        try:
            return aws.call(function, self._deadline)
        except aws.CallFailed as failure:
            raise KeyUnavailable(failure.code) from None


def _read(text: bytes, owner: Owner) -> Tokens | None:
    """The tokens in a decrypted text; None if they are another owner's, or another version of the app wrote them."""
    try:
        document = json.loads(text)
        found = Owner(document.pop("account_key"), document.pop("client_id"))
        tokens = Tokens(**document)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    usable = [*map(type, astuple(tokens))] == [str, str, str, int]
    return tokens if usable and found == owner else None
