"""The pages: HTML that is escaped by construction (MarkupSafe), and the policy that it needs."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from markupsafe import Markup

from chalicelib.address import Address
from chalicelib.errors import LoginError
from chalicelib.profile import PICTURE_HOSTS
from chalicelib.sessions import User

HERE = Path(__file__).parent

STYLE = (HERE / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{_STYLE_HASH}'",
        f"img-src data: {' '.join(f'https://{host}' for host in PICTURE_HOSTS)}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
"""Nothing but our style sheet, the empty icon and Spotify's profile pictures (CSP Level 3)."""


def home(user: User | None, scope: str, address: Address) -> str:
    """The home page, of nobody or of the logged-in user; `scope` is what a login asks for."""
    links = {"login": address.url("/login"), "logout": address.url("/logout")}
    if user is None:
        count = len(scope.split())
        permissions = "one permission" if count == 1 else f"{count} permissions"
        return _page("Log in with Spotify", "nobody.html", permissions=permissions, **links)
    profile = user.profile
    ends = datetime.fromtimestamp(user.session_ends, UTC)
    return _page(
        "Logged in with Spotify",
        "somebody.html",
        id=profile.id,
        name=profile.display_name or profile.id,
        picture=_template("picture.html").format(url=profile.picture) if profile.picture else "",
        ends=f"{ends.day} {ends:%B %Y}",
        ends_at=ends.isoformat(),
        stored=", ".join(profile.fields),
        **links,
    )


def ask_to_log_in(address: Address) -> str:
    """Asked when another site sends a logged-in user to /login."""
    return _page("Log in again?", "ask_to_log_in.html", login=address.url("/login"), home=address.url("/"))


def ask_to_log_out(address: Address) -> str:
    """Asked when another site sends anybody to /logout."""
    return _page("Log out?", "ask_to_log_out.html", logout=address.url("/logout"), home=address.url("/"))


def failure(error: LoginError, reference: str, address: Address | None) -> str:
    """What happened and what to do next. Without links where the app's own address is not known."""
    links = Markup("")
    if address:
        links = _template("links.html").format(login=address.url("/login"), home=address.url("/"))
    return _page(
        error.title,
        "failure.html",
        message=error.message,
        remedy=_linked(error.remedy),
        reference=reference,
        links=links,
    )


def _linked(text: str) -> Markup:
    """A sentence of ours, with the addresses in it as links."""
    parts = re.split(r"(https://[\w./-]*\w)", text)
    link = Markup('<a href="{0}">{0}</a>')
    return Markup("").join(link.format(part) if part.startswith("https://") else part for part in parts)


@cache
def _template(name: str) -> Markup:
    return Markup((HERE / name).read_text(encoding="utf-8"))  # noqa: S704 - ours, not a visitor's


def _page(title: str, template: str, **values: str) -> str:
    main = _template(template).format(title=title, **values)
    style = Markup(STYLE)  # noqa: S704 - ours, not a visitor's
    return str(_template("layout.html").format(title=title, style=style, main=main))
