"""Signed cookies: read, set, clear (RFC 6265bis)."""

import hashlib
import re
from collections.abc import Sequence

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

_PAIR = re.compile(r"[\w-]+=[\w.-]*", re.ASCII)


class Jar:
    """The cookies of one request, and those that its response sets.

    On https every name gets the prefix `__Host-` (RFC 6265bis §4.1.3.2), so that no other host can set a
    cookie of ours. On loopback http, where browsers reject that prefix, names have none.
    """

    def __init__(self, header: str, *, secure: bool) -> None:
        """Read a Cookie header; several of them are joined by `;`. No cookie can hide another one."""
        self._prefix = "__Host-" if secure else ""
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        self._received: dict[str, str | None] = {}
        self._set: dict[str, str] = {}
        for pair in header.split(";"):
            name, _, value = pair.strip(" \t").partition("=")
            # str.strip() would also drop U+2000: a sibling host could then set what reads as a __Host- name.
            name = name.rstrip(" \t")
            self._received[name] = None if name in self._received else value.lstrip(" \t")

    def get(self, name: str) -> str | None:
        """The value of a cookie; None where it is missing, or sent twice and so proves nothing."""
        return self._received.get(self._prefix + name)

    def names(self, pattern: str) -> list[str]:
        """The names that match a pattern as a whole, in the order in which they were sent, also if sent twice."""
        names = [name.removeprefix(self._prefix) for name in self._received if name.startswith(self._prefix)]
        return [name for name in names if re.fullmatch(pattern, name)]

    def set(self, name: str, value: str, max_age: int) -> None:
        """Have the response set a cookie for `max_age` seconds.

        Raises:
            ValueError: name or value is not URL-safe text, as `Seal` makes it: a header could be injected.
        """
        full = self._prefix + name
        if not _PAIR.fullmatch(f"{full}={value}"):
            raise ValueError("not a cookie of this app")
        self._set[full] = f"{full}={value}; Max-Age={max_age}{self._attributes}"

    def clear(self, name: str) -> None:
        """Have the response delete a cookie: the same name and attributes, no value, no lifetime."""
        self.set(name, "", 0)

    def headers(self) -> list[str]:
        """The response's Set-Cookie values, one for each cookie."""
        return list(self._set.values())


class Seal:
    """Signs text for one purpose and verifies its own signature (HMAC-SHA-256)."""

    def __init__(self, purpose: str, keys: Sequence[str]) -> None:
        """`keys` are oldest first: the last one signs, all of them verify. Purposes do not mix."""
        self._signer = Signer(keys, salt=purpose, key_derivation="hmac", digest_method=hashlib.sha256)

    def sign(self, *fields: str) -> str:
        """Join and sign fields of URL-safe text without `.`."""
        return self._signer.sign(".".join(fields)).decode("ascii")

    def open(self, sealed: str | None) -> list[str] | None:
        """The fields that were signed; None for anything that `sign` did not return, to the last byte."""
        try:
            signature = (sealed or "").rpartition(".")[2].encode("ascii")
            # Base64 can spell the same bytes in several ways. Rows B6 and C7 promise that one is accepted.
            if base64_encode(base64_decode(signature)) != signature:
                return None
            return self._signer.unsign(sealed or "").decode("ascii").split(".")
        except (BadData, UnicodeError):
            return None


def encode(text: str) -> str:
    """Any text as a field of a `Seal`: base64url without padding (RFC 7515 §2)."""
    return base64_encode(text).decode("ascii")


def decode(field: str) -> str:
    """The text of an encoded field. Only for fields that a `Seal` has opened."""
    return base64_decode(field).decode()
