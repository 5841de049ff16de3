"""Where a login or a logout returns to: a page of this app, or of a front end that the owner listed.

An open redirect would let any link that begins with our address lead to an attacker's page (RFC 9700 §4.11.1).
Only values that every browser and gateway reads alike are accepted. Characters that browsers may encode are encoded
here, so that every browser follows the URL as it is sent.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote

NAME = "return_to"
"""The query parameter of `/login` and `/logout`."""

_TEXT = re.compile(r"[!#-;=?-\[\]-~]{1,512}")  # printable ASCII except space, ", <, > and \
_PATH, _QUERY, _FRAGMENT = (
    str.maketrans({character: f"%{ord(character):02X}" for character in encoded})
    for encoded in ("^`{|}", "'", "`")
)
"""What browsers encode in each part of a URL (https://url.spec.whatwg.org); only Chromium encodes | in paths."""
_NEVER_ESCAPED = re.compile(
    r"[\x00-\x1f\x7fA-Za-z0-9._~/\\-]"
)  # controls, RFC 3986 §2.3, and separators of paths
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_OWN_ROUTES = {"/login", "/logout", "/callback"}


def resolve(text: str, app: str, frontends: Sequence[str]) -> str:
    """The absolute URL that a value of `return_to` stands for; "" if it is refused.

    The value is a path of the app, without its base path, or a URL of one of the origins `frontends`. `app` is the
    app's own address: its origin and base path.
    """
    if not _TEXT.fullmatch(text):
        return ""
    if text.startswith("/"):
        return app + _encoded(text) if _is_plain(text) and _route(text) not in _OWN_ROUTES else ""
    for origin in frontends:
        rest = text.removeprefix(origin)
        if rest != text and rest[:1] in {"", "/", "?", "#"}:
            path = rest if rest.startswith("/") else f"/{rest}"
            return origin + _encoded(path) if _is_plain(path) else ""
    return ""


def _encoded(text: str) -> str:
    """A path, with its query and fragment, as every browser writes it."""
    before, hash_sign, fragment = text.partition("#")
    path, mark, query = before.partition("?")
    return path.translate(_PATH) + mark + query.translate(_QUERY) + hash_sign + fragment.translate(_FRAGMENT)


def _is_plain(text: str) -> bool:
    """Whether a path is unambiguous: no empty first segment, no dot segments, no unusual escapes."""
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    segments = [segment.partition(";")[0] for segment in path.split("/")]
    escapes = [match[1] for match in _ESCAPE.finditer(path)]
    strange = (escape is None or _NEVER_ESCAPED.match(unquote(f"%{escape}")) for escape in escapes)
    return not path.startswith("//") and not {".", ".."} & {*segments} and not any(strange)


def _route(text: str) -> str:
    """The route that a path leads to, however it is written."""
    return unquote(re.split(r"[?#;]", text, maxsplit=1)[0]).rstrip("/")
