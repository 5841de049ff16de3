"""The users table: remember, find, end, forget."""

import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib import aws
from chalicelib.claims import LIFETIME, Claims
from chalicelib.deadline import Deadline
from chalicelib.errors import ProfileInvalid, UsersUnavailable
from chalicelib.profile import Profile

MOST_ENDED = 100
"""Session IDs that an item keeps as ended. With more, its login ID changes instead."""

_LOGIN_ID = re.compile(r"[\w-]{22,128}", re.ASCII)

_LIVE = "login_id = :login_id AND NOT contains(ended, :session_id)"
_ROOM = "(attribute_not_exists(ended) OR (attribute_type(ended, :string_set) AND size(ended) < :most))"

# What an update assigns, its other clause, and its condition.
_STORE = ("login_id = if_not_exists(login_id, :fresh)", "", "")
_END_ONE = ("", "ADD ended :ended", f"{_LIVE} AND {_ROOM}")
_END_ALL = ("login_id = :fresh", "REMOVE ended", _LIVE)
_REPAIR = ("login_id = :fresh", "REMOVE ended", "login_id = :login_id")


class Users:
    """The users who are logged in somewhere, by account key. Every call ends with the deadline.

    All methods raise UsersUnavailable if DynamoDB did not respond. What they write may have been written.
    """

    def __init__(self, client: Callable[[], Any], table: str, deadline: Deadline) -> None:
        """`client` is called within each call, because creating one can take a while."""
        self._client = client
        self._table = table
        self._deadline = deadline

    def find(self, session: Claims) -> Profile | None:
        """The user of a live session; None if the session has ended. One strongly consistent read."""
        where = self._item(session.account_key)
        response = self._call(lambda: self._client().get_item(**where, ConsistentRead=True))
        return _read(response.get("Item", {}), session)

    def remember(self, profile: Profile, replaced: Claims | None = None) -> str:
        """Store a user for `LIFETIME` and return the login ID, which all sessions of the user share.

        `replaced` is a session of the same user to end in the same write. An item whose login ID or ended
        sessions are not what this module writes gets a fresh login ID, which ends all its sessions.
        """
        key = profile.account_key
        item = self.end(replaced, profile) if replaced else {}
        item = item or self._update(key, _STORE, {}, profile)
        if not _is_usable(item):
            odd = {":login_id": item["login_id"]}
            item = self._update(key, _REPAIR, odd, profile) or self._update(key, _STORE, {}, profile)
        return str(item["login_id"]["S"])

    def end(self, session: Claims, profile: Profile | None = None) -> Mapping[str, Any]:
        """End one session; others of the user go on. With a `profile`, store it in the same write.

        Returns the item as it is now; {} if the session had ended before.
        """
        live, ended = _live(session), {":ended": {"SS": [session.session_id]}}
        room = {":string_set": {"S": "SS"}, ":most": {"N": str(MOST_ENDED)}}
        item = self._update(session.account_key, _END_ONE, {**live, **ended, **room}, profile)
        return item or self._update(session.account_key, _END_ALL, live, profile)

    def forget(self, session: Claims) -> bool:
        """Erase a user with all sessions. Returns False, and erases nothing, if the session has ended."""
        where = self._item(session.account_key)
        condition = {"ConditionExpression": _LIVE, "ExpressionAttributeValues": _live(session)}
        return bool(self._call(lambda: self._client().delete_item(**where, **condition)))

    def _update(
        self, key: str, change: tuple[str, str, str], values: Mapping[str, Any], profile: Profile | None
    ) -> Mapping[str, Any]:
        """Change an item and store the profile in one write. Returns the item; {} if the condition is false."""
        assignment, clause, condition = change
        expires_at = {"N": str(int(time.time()) + LIFETIME)}
        stored = {":profile": {"S": profile.text}, ":expires_at": expires_at} if profile else {}
        assignments = [*filter(None, [assignment]), *(f"{name[1:]} = {name}" for name in stored)]
        expression = f"SET {', '.join(assignments)} {clause}" if assignments else clause
        conditional = {"ConditionExpression": condition} if condition else {}
        parameters = {"UpdateExpression": expression, "ReturnValues": "ALL_NEW", **conditional}

        def send() -> Mapping[str, Any]:
            # A fresh login ID for each attempt: one that is sent twice could outlive a logout.
            fresh = {":fresh": {"S": secrets.token_urlsafe(16)}} if ":fresh" in expression else {}
            call = {**parameters, "ExpressionAttributeValues": {**values, **stored, **fresh}}
            return dict(self._client().update_item(**self._item(key), **call)["Attributes"])

        return self._call(send)

    def _item(self, account_key: str) -> dict[str, Any]:
        return {"TableName": self._table, "Key": {"account_id": {"S": account_key}}}

    def _call(self, function: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        try:
            return aws.call(function, self._deadline)
        except aws.CallFailed as failure:
            if failure.code == "ConditionalCheckFailedException":
                return {}
            raise UsersUnavailable(failure.code) from None


def _live(session: Claims) -> dict[str, Any]:
    return {":login_id": {"S": session.login_id}, ":session_id": {"S": session.session_id}}


def _is_usable(item: Mapping[str, Any]) -> bool:
    """Whether a cookie can hold the login ID, and `ended` is a set of session IDs."""
    return bool(_LOGIN_ID.fullmatch(item["login_id"].get("S", ""))) and "SS" in item.get("ended", {"SS": ()})


def _read(item: Mapping[str, Any], session: Claims) -> Profile | None:
    """The profile, if the session is live. An item that another version of the app wrote counts as none."""
    try:
        alive = int(item["expires_at"]["N"]) > time.time()
        same = hmac.compare_digest(item["login_id"]["S"].encode(), session.login_id.encode())
        ended = session.session_id in item.get("ended", {"SS": ()})["SS"]
        return Profile.parse(item["profile"]["S"]) if alive and same and not ended else None
    except (KeyError, TypeError, ValueError, AttributeError, ProfileInvalid):
        return None
