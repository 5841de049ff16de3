"""Signed cookies: read, set, clear (RFC 6265bis)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode


class Jar:
    """The cookies of one request, and those that its answer sets.

    On https every name is prefixed with `__Host-` (RFC 6265bis §4.1.3.2), so that no other host can
    plant a cookie of ours; on loopback http, where browsers refuse that prefix, it is not.
    """

    def __init__(self, header: str, *, secure: bool) -> None:
        """Read a Cookie header, several of them joined by `;`. No cookie can hide another one."""
        self._prefix = "__Host-" if secure else ""
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        self._received: dict[str, str | None] = {}
        self._set: dict[str, str] = {}
        for pair in header.split(";"):
            name, _, value = pair.strip(" \t").partition("=")
            # str.strip() would also eat U+2000 and make a __Host- name of what a sibling host may set.
            name = name.rstrip(" \t")
            self._received[name] = None if name in self._received else value.lstrip(" \t")

    def get(self, name: str) -> str | None:
        """The value of a cookie; None where it is missing, or stands twice and so proves nothing."""
        return self._received.get(self._prefix + name)

    def names(self, start: str) -> list[str]:
        """The names of the cookies that came, also of those that stand twice, by their beginning."""
        start = self._prefix + start
        return [name.removeprefix(self._prefix) for name in self._received if name.startswith(start)]

    def set(self, name: str, value: str, max_age: int) -> None:
        """Have the answer set a cookie for `max_age` seconds; `value` is URL-safe, as `Seal` makes it."""
        full = self._prefix + name
        self._set[full] = f"{full}={value}; Max-Age={max_age}{self._attributes}"

    def clear(self, name: str) -> None:
        """Have the answer delete a cookie: the same name and attributes, no value, no life."""
        self.set(name, "", 0)

    def headers(self) -> list[str]:
        """The answer's Set-Cookie values, one a cookie."""
        return list(self._set.values())


class Seal:
    """Signs text for one purpose, and knows its own signature again (HMAC-SHA-256)."""

    def __init__(self, purpose: str, keys: Sequence[str]) -> None:
        """`keys` are oldest first: the last one signs, all of them verify. Purposes do not mix."""
        self._signer = Signer(keys, salt=purpose, key_derivation="hmac", digest_method=hashlib.sha256)

    def sign(self, *fields: str) -> str:
        """Join and sign fields of URL-safe text that hold no `.`."""
        return self._signer.sign(".".join(fields)).decode("ascii")

    def open(self, sealed: str | None) -> list[str] | None:
        """The fields that were signed; None if there is nothing, or a signature that is not ours."""
        try:
            signature = (sealed or "").rpartition(".")[2].encode("ascii")
            # Base64 has several spellings of the same bytes; only the one that we write is ours.
            if base64_encode(base64_decode(signature)) != signature:
                return None
            return self._signer.unsign(sealed or "").decode("ascii").split(".")
        except (BadData, UnicodeError):
            return None


def encode(text: str) -> str:
    """Any text as a field of a `Seal`: base64url without padding (RFC 7515 §2)."""
    return base64_encode(text).decode("ascii")


def decode(field: str) -> str:
    """The text again. Only for fields that a `Seal` has opened."""
    return base64_decode(field).decode()
