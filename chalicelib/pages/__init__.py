"""The pages: HTML that is escaped by construction (MarkupSafe), and the policy that it needs."""

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
from chalicelib.request import Request
from chalicelib.sessions import User

HERE = Path(__file__).parent

STYLE = (HERE / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_PICTURES = " ".join(f"https://{host}" for host in PICTURE_HOSTS)
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data: {_PICTURES}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)
"""Nothing but our style sheet, the empty icon and Spotify's profile pictures (CSP Level 3)."""


SPOTIFY_APPS = "https://www.spotify.com/account/apps/"
"""Where users withdraw what they have granted to apps."""

KEEPS = "It keeps access to your account, encrypted, until you log out, for 30 days at most."
KEEPS_NOT = "It keeps no access to your account."


def home(address: Address, scope: str, *, keeps_access: bool = False, ended: bool = False) -> str:
    """The home page for a visitor who is not logged in.

    `scope` is what a login asks for, and `keeps_access` whether it keeps the access. `ended` explains that the
    browser's session was ended elsewhere.
    """
    count = len(scope.split())
    return _page(
        "Log in with Spotify",
        "logged_out.html",
        permissions=f"{count} permission" + ("" if count == 1 else "s"),
        access=KEEPS if keeps_access else KEEPS_NOT,
        ended=_template("ended.html") if ended else "",
        **_links(address),
    )


def home_of(user: User, address: Address) -> str:
    """The home page of a logged-in user."""
    profile, ends = user.profile, datetime.fromtimestamp(user.session_ends, UTC)
    return _page(
        "Logged in with Spotify",
        "logged_in.html",
        id=profile.id,
        name=profile.display_name or profile.id,
        picture=_template("picture.html").format(url=profile.picture) if profile.picture else "",
        ends=f"{ends.day} {ends:%B %Y}",
        ends_at=ends.isoformat(),
        stored=", ".join(profile.fields),
        access=_template("access.html").format(apps=SPOTIFY_APPS) if user.tokens else "",
        **_links(address),
    )


def ask_to_log_in(request: Request) -> str:
    """Shown when another site sends a logged-in user to /login."""
    return _page("Log in again?", "ask_to_log_in.html", login=request.link("/login"), back=request.return_url)


def ask_to_log_out(request: Request, token: str) -> str:
    """Shown if another site, or an unknown source, opened /logout. `token` proves that it was shown."""
    urls = {"logout": request.link("/logout", confirm=token), "back": request.return_url}
    return _page("Log out?", "ask_to_log_out.html", **urls)


def failure(error: LoginError, reference: str, request: Request | None) -> str:
    """What happened and what to do next. Without links where the app's own address is unknown."""
    template = _template("links_with_logout.html" if error.offers_logout else "links.html")
    urls = {name: request.link(f"/{name}") for name in ("login", "logout")} if request else {}
    links = template.format(home=request.address.url("/"), **urls) if request else ""
    about = {"message": error.message, "remedy": _linked(error.remedy), "reference": reference}
    return _page(error.title, "failure.html", links=links, **about)


def _links(address: Address) -> dict[str, str]:
    return {"login": address.url("/login"), "logout": address.url("/logout")}


def _linked(text: str) -> Markup:
    """One of our sentences, with its URLs as links."""
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
