"""Kept access: a user's access token, refreshed by one request at a time, on any number of instances.

The request that refreshes holds a lease, which is part of the user's item. Every change of the item demands that its
login ID and its ciphertext are still the same: a logout or login in the meantime wins. KMS never produces the same
ciphertext twice.
"""

import math
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import NamedTuple

from chalicelib import errors, log
from chalicelib.deadline import Deadline
from chalicelib.sessions import User
from chalicelib.spotify import Spotify
from chalicelib.table import Item, Table, Update
from chalicelib.users import NO_TOKENS
from chalicelib.vault import Access, Vault

EARLY, LEAST = 300, 60
"""Seconds left: below `EARLY`, a token is refreshed; below `LEAST`, it is not used."""

LEASE_SECONDS, HOLD_SECONDS = 20, 13.5
"""A lease, and the longest that a refresh takes: no lease expires during its holder's refresh."""

WAIT_SECONDS, NEEDED_SECONDS = 8.0, 10.0
"""The longest that a request waits for the holder of the lease, and the least time with which it takes the lease.

The client of Spotify checks the time again after the decryption. It leaves 7.5 s to encrypt and store.
"""

PAUSE_SECONDS, LONGEST_PAUSE = 5, 60
"""After a failure, no request refreshes for `PAUSE_SECONDS`, or for as long as Spotify asks up to `LONGEST_PAUSE`."""

FAILURES = (errors.SpotifyError, errors.AccessDelayed, errors.KeyUnavailable, errors.UsersUnavailable)
"""Failures after which a later attempt can succeed."""

LATEST_SECONDS = 120
"""This app writes no lease or pause that ends later than this from now. One that does is ignored."""

_STANDS = "tokens = :tokens AND login_id = :login_id"
_TAKE = Update(
    sets=("refreshing = :lease",),
    condition=f"{_STANDS} AND (NOT attribute_type(refreshing, :number) OR NOT refreshing BETWEEN :now AND :latest)",
)
_STORE = Update(sets=("tokens = :renewed",), removes=("refreshing",), condition=_STANDS)
_DROP = Update(removes=("tokens", "refreshing"), condition=_STANDS)
_PAUSE = Update(sets=("refreshing = :until",), condition=f"{_STANDS} AND refreshing = :lease")


class Parts(NamedTuple):
    """What a refresh calls, with one deadline."""

    table: Table
    vault: Vault
    spotify: Spotify


class KeptAccess:
    """The access to Spotify that a user has given this site."""

    def __init__(self, connect: Callable[[Deadline], Parts], user: User, scope: str, rejected: str) -> None:
        """`scope` is one that the token needs, and `rejected` a token that Spotify did not accept; or ""."""
        self._connect = connect
        self._user = user
        self._scope = scope
        self._rejected = rejected

    def token(self) -> str:
        """An access token with at least `LEAST` seconds left.

        Raises:
            AccessEnded: there is none, or it lacks the scope, or Spotify no longer accepts the refresh token.
            AccessDelayed: a refresh is needed, but failed, or another request takes too long for it.
            LoginRequired: the user has logged out in the meantime.
            KeyUnavailable, UsersUnavailable, ClientRefused: KMS, DynamoDB or the client secret failed.
        """
        access = self._access()
        usable = access.token != self._rejected and access.seconds_left >= LEAST
        if usable and (access.seconds_left > EARLY or self._user.refreshed or not access.renewable):
            return access.token
        if not access.renewable:
            raise errors.AccessEnded("no_refresh_token")
        try:
            return self._refresh(access.token if usable else "")
        except FAILURES as failure:
            if not usable:
                raise
            self._log(failure)
            return access.token

    def _access(self) -> Access:
        user, vault = self._user, self._connect(self._user.deadline).vault
        access = vault.access(user.profile.account_key, user.tokens) if user.tokens else None
        if access is None or (self._scope and self._scope not in access.scope.split()):
            raise errors.AccessEnded("scope" if access else "")
        return access

    def _refresh(self, spare: str) -> str:
        """Take the lease and refresh, or wait for its holder, unless there is a `spare` token."""
        patience, pause = self._user.deadline.within(WAIT_SECONDS), 0.05
        while True:
            if self._user.refreshed or self._user.deadline.left() < NEEDED_SECONDS:
                raise errors.AccessDelayed("refreshed_before" if self._user.refreshed else "deadline", 1)
            # The random decimals make each lease unique.
            lease = f"{_in(LEASE_SECONDS)}.{secrets.randbelow(10**17):017}1"
            parts = self._connect(self._user.deadline.within(HOLD_SECONDS))
            limits = {":now": {"N": _in(0)}, ":latest": {"N": _in(LATEST_SECONDS)}, ":number": {"S": "N"}}
            item = self._update(parts, _TAKE, {":lease": {"N": lease}, **limits})
            if self._follow(item):
                return self.token()
            held = Decimal(item["refreshing"]["N"])
            if held == Decimal(lease):
                return self._renew(parts, lease)
            if spare:
                return spare
            seconds_left = float(held - Decimal(_in(0))) / 1e6
            if _is_pause(held) or patience.left() <= 0:
                reason = "paused" if _is_pause(held) else "waiting"
                raise errors.AccessDelayed(reason, math.ceil(seconds_left))
            time.sleep(max(0.0, min(pause, seconds_left, patience.left())))
            pause *= 2

    def _renew(self, parts: Parts, lease: str) -> str:
        """Refresh, as the holder of the lease. After a failure, replace the lease with a pause."""
        try:
            item = self._exchange(parts)
        except (*FAILURES, errors.AccessEnded) as failure:
            seconds = min(failure.retry_after or PAUSE_SECONDS, LONGEST_PAUSE)
            if self._pause(parts, lease, seconds):
                return self.token()
            if isinstance(failure, errors.SpotifyError) and not isinstance(failure, errors.ClientRefused):
                raise errors.AccessDelayed(f"{failure.reason} {failure.detail}", seconds) from None
            raise
        self._follow(item)
        return self.token()

    def _exchange(self, parts: Parts) -> Item:
        """Store what Spotify sends for the refresh token, or remove the tokens that it rejects. Returns the item."""
        account_key = self._user.profile.account_key
        tokens = parts.vault.open(account_key, self._user.tokens)
        if tokens is None:
            raise errors.AccessEnded("unreadable")
        self._user.refreshed = True
        renewed = parts.spotify.refresh(tokens)
        if renewed is None:
            return self._update(parts, _DROP, {})
        sealed = parts.vault.seal(account_key, renewed)
        item = self._update(parts, _STORE, {":renewed": {"B": sealed}})
        if item.get("tokens") == {"B": sealed}:
            parts.vault.remember(account_key, sealed, renewed)
        return item

    def _pause(self, parts: Parts, lease: str, seconds: int) -> bool:
        """Replace the lease with a pause. Returns whether there are other tokens now.

        That is so if the write of the new ones took effect, although no response said so.
        """
        with suppress(errors.UsersUnavailable):
            until = {":until": {"N": _in(seconds)}}
            return self._follow(self._update(parts, _PAUSE, {":lease": {"N": lease}, **until}))
        return False

    def _log(self, failure: errors.LoginError) -> None:
        """Log a failure that the visitor does not see."""
        log.write(
            event="access",
            outcome="failed",
            reason=failure.reason,
            detail=failure.detail,
            settings=failure.settings,
            session=log.pseudonym(self._user.login_id),
        )

    def _update(self, parts: Parts, update: Update, values: Item) -> Item:
        """Change the item if it still has the login and the tokens. Returns the item as it is now."""
        sent = {":tokens": {"B": self._user.tokens}, ":login_id": {"S": self._user.login_id}, **values}
        return parts.table.update(self._user.profile.account_key, update, lambda: sent)[1]

    def _follow(self, item: Item) -> bool:
        """Adopt the item's tokens. Returns whether they changed.

        Raises:
            LoginRequired: the login has ended.
        """
        if item.get("login_id", {}).get("S") != self._user.login_id:
            raise errors.LoginRequired
        before, self._user.tokens = self._user.tokens, item.get("tokens", {}).get("B", NO_TOKENS)
        return self._user.tokens != before


def _in(seconds: int) -> str:
    """Now plus `seconds`, in epoch microseconds."""
    return str(time.time_ns() // 1000 + seconds * 10**6)


def _is_pause(lease: Decimal) -> bool:
    """Whether it is a pause, which has no holder and no decimals."""
    return lease == lease.to_integral_value()
