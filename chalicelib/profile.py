"""A Spotify user, as GET /v1/me describes them."""

import json
import re
from dataclasses import dataclass
from typing import Any, Self

from chalicelib.errors import ProfileInvalid

KEY_BYTES = 2048
"""DynamoDB's limit for a partition key, in UTF-8."""

PICTURE_ORIGINS = ("https://i.scdn.co", "https://platform-lookaside.fbsbx.com")
"""Where Spotify keeps profile pictures: its own host and, for accounts made with Facebook, Facebook's."""

_PATH = re.compile(r"/[!-~]*")


@dataclass(frozen=True)
class Profile:
    """What we need of a profile, and the whole of it as Spotify wrote it."""

    account_key: str
    """`account_id`, which Spotify promises never to change; `id:` and the id where Spotify sends none."""
    id: str
    display_name: str | None
    picture: str | None
    """A URL on one of `PICTURE_ORIGINS` or of a simulator."""
    text: str
    """The JSON as it came: floats, depth and spelling survive; as DynamoDB's types they would not."""

    @property
    def fields(self) -> list[str]:
        """The names of the fields that Spotify sent."""
        return [_printable(name) for name in json.loads(self.text)]

    @classmethod
    def parse(cls, text: str, simulator: str = "") -> Self:
        """Read the body of GET /v1/me. Only a usable id is demanded of it. `simulator` is another origin whose
        pictures may be shown.

        Raises:
            ProfileInvalid: it is not a JSON object, or its id or account_id is not text that can be a key.
        """
        try:
            document = json.loads(text)
            user_id = document["id"]
            account_id = document.get("account_id")
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            raise ProfileInvalid from None
        key = f"id:{user_id}" if account_id in (None, "") else account_id
        if not (_is_key(user_id) and _is_key(key)):
            raise ProfileInvalid
        name = document.get("display_name")
        shown = _printable(name) if isinstance(name, str) and name else None
        return cls(key, user_id, shown, _picture(document.get("images"), simulator), text)


def _is_key(value: object) -> bool:
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= KEY_BYTES
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell and UTF-8 cannot
        return False


def _printable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _picture(images: Any, simulator: str) -> str | None:
    """The first picture that our pages may show; Spotify lists the largest first."""
    origins = (*PICTURE_ORIGINS, simulator) if simulator else PICTURE_ORIGINS
    for image in images if isinstance(images, list) else []:
        url = image.get("url") if isinstance(image, dict) else None
        if isinstance(url, str) and any(
            url.startswith(origin) and _PATH.fullmatch(url, len(origin)) for origin in origins
        ):
            return url
    return None
