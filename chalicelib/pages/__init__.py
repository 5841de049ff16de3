"""The pages: HTML that is escaped by construction (MarkupSafe), and its Content-Security-Policy."""

import base64
import hashlib
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from markupsafe import Markup

from chalicelib.address import Address
from chalicelib.errors import LoginError
from chalicelib.profile import PICTURE_ORIGINS, Profile
from chalicelib.request import Request
from chalicelib.sessions import User

HERE = Path(__file__).parent

STYLE = (HERE / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

SPOTIFY_APPS = "https://www.spotify.com/account/apps/"
"""Where users withdraw what they have granted to apps."""

WELCOME, WHY = "Log in with your Spotify account", "Spotify asks you first, and you can say no."
ENDED = "Your session has ended"
WHY_ENDED = "This site no longer has it. To continue, log in again."

KEEPS = "It keeps access to your account, encrypted, until you log out, or for at most 30 days."
KEEPS_NOT = "It keeps no access to your account."

DESCRIBED = Markup('<meta name="description" content="Log in to this site with your Spotify account.">')
UNLISTED = Markup('<meta name="robots" content="noindex">')

LINKS = {
    "home": Markup('<a href="{}">Home</a>\n'),
    "login": Markup('<a href="{}">Log in</a>\n'),
    "another": Markup('<a href="{}">Use another account</a>\n'),
    "logout": Markup('<a href="{}" referrerpolicy="same-origin">Log out</a>\n'),
}
"""The links that an error page can offer."""

FIELDS = {
    "id": "Spotify ID",
    "account_id": "account ID",
    "display_name": "name",
    "images": "pictures",
    "country": "country",
    "email": "e-mail address",
    "product": "subscription",
    "followers": "number of followers",
    "explicit_content": "filter for explicit content",
    "type": "type of account",
    "external_urls": "links to your profile",
    "href": "links to your profile",
    "uri": "links to your profile",
}
"""The fields of a profile, in words."""


def content_security_policy(*pictures: str) -> str:
    """Allow only our style sheet, the empty icon, Spotify's pictures, and those of other origins (CSP Level 3)."""
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        f"img-src data: {' '.join((*PICTURE_ORIGINS, *pictures))}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    )


def home(address: Address, scope: str, *, keeps_access: bool = False, ended: bool = False) -> str:
    """The home page for a visitor who is not logged in.

    `scope` is what a login asks for, and `keeps_access` whether it keeps the access. `ended` explains that the
    browser's session is gone.
    """
    count = len(scope.split())
    return _page(
        ENDED if ended else WELCOME,
        "logged_out.html",
        DESCRIBED,
        why=WHY_ENDED if ended else WHY,
        permissions=f"{count or 'no'} permission" + ("" if count == 1 else "s"),
        access=KEEPS if keeps_access else KEEPS_NOT,
        **_links(address),
    )


def home_of(user: User, address: Address) -> str:
    """The home page of a logged-in user."""
    profile, ends = user.profile, datetime.fromtimestamp(user.session_ends, UTC)
    return _page(
        "You are logged in",
        "logged_in.html",
        id=profile.id,
        name=profile.display_name or profile.id,
        picture=_picture(profile),
        ends=f"{ends.day} {ends:%B %Y}",
        ends_at=ends.isoformat(),
        stored=_stored(profile),
        data=profile.text,
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
    return _page(
        error.title,
        "failure.html",
        kind=error.acts.name.lower(),
        label=error.acts.value,
        message=error.message,
        remedy=_linked(error.remedy),
        links=_offered(error, request) if request else "",
        reference=reference,
    )


def _offered(error: LoginError, request: Request) -> Markup:
    urls = {
        "home": request.address.url("/"),
        "login": request.link("/login"),
        "another": request.link("/login", show_dialog="true"),
        "logout": request.address.url("/logout"),
    }
    links = Markup("").join(LINKS[name].format(urls[name]) for name in error.offers)
    return _template("links.html").format(links=links)


def _links(address: Address) -> dict[str, str]:
    return {"login": address.url("/login"), "logout": address.url("/logout")}


def _picture(profile: Profile) -> Markup:
    return _template("picture.html" if profile.picture else "no_picture.html").format(url=profile.picture)


def _stored(profile: Profile) -> Markup:
    """The fields of a profile in words, each once; those that we do not know by their own names."""
    names = profile.fields
    known = [words for name, words in FIELDS.items() if name in names]
    unknown = [name for name in names if name not in FIELDS]
    return Markup("").join(Markup("<li>{}</li>\n").format(item) for item in dict.fromkeys(known + unknown))


def _linked(text: str) -> Markup:
    """One of our sentences, with its URLs as links."""
    parts = re.split(r"(https://[\w./-]*\w)", text)
    link = Markup('<a href="{0}">{0}</a>')
    return Markup("").join(link.format(part) if part.startswith("https://") else part for part in parts)


@cache
def _template(name: str) -> Markup:
    return Markup((HERE / name).read_text(encoding="utf-8"))  # noqa: S704 - ours, not a visitor's


def _page(title: str, template: str, meta: str = UNLISTED, **values: str) -> str:
    main = _template(template).format(title=title, **values)
    style = Markup(STYLE)  # noqa: S704 - ours, not a visitor's
    return str(_template("layout.html").format(title=title, meta=meta, style=style, main=main))
