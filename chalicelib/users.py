"""The users table: remember, find, end, forget."""

import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from chalicelib.claims import LIFETIME, Claims
from chalicelib.deadline import Deadline
from chalicelib.errors import ProfileInvalid
from chalicelib.profile import Profile
from chalicelib.table import Item, Table, Update

MOST_ENDED = 100
"""Session IDs that an item keeps as ended. With more, its login ID changes instead."""

NO_TOKENS = b""
"""Tokens of a user for whom none are kept."""

_LOGIN_ID = re.compile(r"[\w-]{22,128}", re.ASCII)

_LIVE = "login_id = :login_id AND NOT contains(ended, :session_id)"
_ROOM = "(attribute_not_exists(ended) OR (attribute_type(ended, :string_set) AND size(ended) < :most))"

_STORE = Update(sets=("login_id = if_not_exists(login_id, :fresh)",))
_END_ONE = Update(adds="ended :ended", condition=f"{_LIVE} AND {_ROOM}")
_END_ALL = Update(sets=("login_id = :fresh",), removes=("ended",), condition=_LIVE)
_REPAIR = _END_ALL._replace(condition="login_id = :login_id")


class Found(NamedTuple):
    """What is stored about a user."""

    profile: Profile
    tokens: bytes
    """The user's tokens, encrypted; empty where none are kept."""


class Users:
    """The users with a session, by account key. Every call ends with the deadline.

    All methods raise UsersUnavailable if DynamoDB did not respond. What they write may have been written.
    """

    def __init__(
        self, client: Callable[[], Any], table: str, deadline: Deadline, simulator: str = ""
    ) -> None:
        """`client` is called within each call, because creating one can take a while. `simulator` is as in
        `Profile.parse`.
        """
        self._table = Table(client, table, deadline)
        self._simulator = simulator

    def find(self, session: Claims) -> Found | None:
        """What is stored about the user of a live session; None if the session has ended. One read."""
        return _read(self._table.read(session.account_key), session, self._simulator)

    def remember(
        self, profile: Profile, replaced: Claims | None = None, tokens: bytes | None = NO_TOKENS
    ) -> str:
        """Store a user for `LIFETIME` and return the login ID, which all sessions of the user share.

        `replaced` is a session of the same user to end in the same write. `tokens` replace those that are
        stored, and `NO_TOKENS` removes them; None leaves them. An item whose login ID or ended sessions are
        not what this module writes gets a fresh login ID, which ends all its sessions.
        """
        key, login = profile.account_key, _Login(profile, tokens)
        item = self._end(replaced, login) if replaced else {}
        item = item or self._update(key, _STORE, {}, login)
        if not _is_usable(item):
            odd = {":login_id": item["login_id"]}
            item = self._update(key, _REPAIR, odd, login) or self._update(key, _STORE, {}, login)
        return str(item["login_id"]["S"])

    def end(self, session: Claims) -> None:
        """End one session, unless it has ended before; others of the user go on."""
        self._end(session)

    def forget(self, session: Claims) -> bool:
        """Erase a user with all sessions. Returns False, and erases nothing, if the session has ended."""
        return self._table.delete(session.account_key, _LIVE, _live(session))

    def _end(self, session: Claims, login: "_Login | None" = None) -> Item:
        """End one session, and store a login in the same write. Returns the item; {} if it had ended before."""
        live, ended = _live(session), {":ended": {"SS": [session.session_id]}}
        room = {":string_set": {"S": "SS"}, ":most": {"N": str(MOST_ENDED)}}
        item = self._update(session.account_key, _END_ONE, {**live, **ended, **room}, login)
        return item or self._update(session.account_key, _END_ALL, live, login)

    def _update(self, key: str, update: Update, values: Item, login: "_Login | None" = None) -> Item:
        """Change an item and store a login in one write. Returns the item; {} if the condition is false."""
        stored = login.values if login else {}
        if login:
            sets = (*update.sets, *(f"{name[1:]} = {name}" for name in stored))
            update = update._replace(sets=sets, removes=(*update.removes, *login.removes))

        def sent() -> Item:
            # A fresh login ID for each attempt: one that is sent twice could outlive a logout.
            fresh = {":fresh": {"S": secrets.token_urlsafe(16)}} if ":fresh" in update.expression else {}
            return {**values, **stored, **fresh}

        done, item = self._table.update(key, update, sent)
        return item if done else {}


class _Login(NamedTuple):
    """What a login stores."""

    profile: Profile
    tokens: bytes | None

    @property
    def values(self) -> Item:
        expires_at = {"N": str(int(time.time()) + LIFETIME)}
        tokens = {":tokens": {"B": self.tokens}} if self.tokens else {}
        return {":profile": {"S": self.profile.text}, ":expires_at": expires_at, **tokens}

    @property
    def removes(self) -> tuple[str, ...]:
        """A lease ends with the tokens that it was taken for."""
        return () if self.tokens is None else ("refreshing",) if self.tokens else ("tokens", "refreshing")


def _live(session: Claims) -> Item:
    return {":login_id": {"S": session.login_id}, ":session_id": {"S": session.session_id}}


def _is_usable(item: Item) -> bool:
    """Whether a cookie can hold the login ID, and `ended` is a set of session IDs."""
    return bool(_LOGIN_ID.fullmatch(item["login_id"].get("S", ""))) and "SS" in item.get("ended", {"SS": ()})


def _read(item: Item, session: Claims, simulator: str) -> Found | None:
    """What is stored, if the session is live. An item that another version of the app wrote counts as none."""
    try:
        alive = int(item["expires_at"]["N"]) > time.time()
        same = hmac.compare_digest(item["login_id"]["S"].encode(), session.login_id.encode())
        ended = session.session_id in item.get("ended", {"SS": ()})["SS"]
        if not alive or not same or ended:
            return None
        profile = Profile.parse(item["profile"]["S"], simulator)
        return Found(profile, item.get("tokens", {}).get("B", NO_TOKENS))
    except (KeyError, TypeError, ValueError, AttributeError, ProfileInvalid):
        return None
