"""The pages: HTML that is escaped by construction (MarkupSafe), and its Content-Security-Policy."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from markupsafe import Markup

from chalicelib import branding
from chalicelib.address import Address
from chalicelib.errors import LoginError
from chalicelib.profile import PICTURE_ORIGINS, Profile
from chalicelib.request import Request
from chalicelib.sessions import User
from chalicelib.site import brand

HERE = Path(__file__).parent

if _faults := branding.faults(brand):
    raise ValueError(" ".join(_faults))


def _colours(scheme: str) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in brand.COLOURS[scheme].items())


def hash_of(text: str) -> str:
    """The source with which a content security policy allows one inline script or style (CSP Level 3)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


FRAME = (
    f":root {{ {_colours('light')} }}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{ {_colours('dark')} }} }}\n"
    + (HERE / "frame.css").read_text(encoding="utf-8")
)
"""The style of every page: colours, font, header and footer."""

STYLE, SITE_STYLE = ((folder / "style.css").read_text(encoding="utf-8") for folder in (HERE, branding.SITE))
"""The styles of our pages, and of the site's own."""

SPOTIFY_APPS = "https://www.spotify.com/account/apps/"
"""Where users withdraw what they have granted to apps."""

ENDED = "Your session has ended"
WHY_ENDED = "This site no longer has it. To continue, log in again."

KEEPS = "It keeps access to your account, encrypted, until you log out, or for at most 30 days."
KEEPS_NOT = "It keeps no access to your account."

DESCRIBED = Markup('<meta name="description" content="{}">')
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


POLICY = {
    "default-src": ("'none'",),
    "style-src": tuple(map(hash_of, (FRAME, STYLE, SITE_STYLE))),
    "img-src": ("data:", *PICTURE_ORIGINS),
    **dict.fromkeys(("base-uri", "form-action", "frame-ancestors", "object-src"), ("'none'",)),
}
"""What pages may use: our styles and the site's, its pictures, and Spotify's (CSP Level 3)."""

ALLOWABLE = ("script-src", "style-src", "img-src", "font-src", "media-src", "connect-src", "frame-src")
_SOURCE = re.compile(
    r"'self'|'sha(256|384|512)-[\w+/]+=*'|https://[\w-]+(\.[\w-]+)*(:\d+)?(/[\w./-]*)?", re.ASCII
)


def content_security_policy(allow: Mapping[str, Iterable[str]] | None = None) -> str:
    """The policy of a page. `allow` has what one page uses besides, as sources by directive.

    Raises:
        ValueError: `allow` has a directive other than `ALLOWABLE`, or a source other than hashes, https and 'self'.
    """
    policy = {**POLICY}
    for directive, sources in (allow or {}).items():
        if directive not in ALLOWABLE or not all(map(_SOURCE.fullmatch, sources)):
            raise ValueError(directive)
        policy[directive] = (*policy.get(directive, ()), *sources)
    return "; ".join(" ".join((directive, *sources)) for directive, sources in policy.items())


def site_page(request: Request, title: str, body: str) -> str:
    """A page of the site's own, with its style, header and footer. `title` is escaped, and so is `body`, unless it
    is Markup: fill a `template`.
    """
    return _laid_out(request.address, title, body, SITE_STYLE)


@cache
def template(path: Path) -> Markup:
    """An HTML file. Fill it with `format`, which escapes every value that is not Markup."""
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - a file of this app, not a visitor's


def home(address: Address, scope: str, *, keeps_access: bool = False, ended: bool = False) -> str:
    """The home page for a visitor who is not logged in.

    `scope` is what a login asks for, and `keeps_access` whether it keeps the access. `ended` explains that the
    browser's session is gone.
    """
    count = len(scope.split())
    return _page(
        address,
        ENDED if ended else brand.HOME["title"],
        "logged_out.html",
        DESCRIBED.format(brand.HOME["description"]),
        why=WHY_ENDED if ended else brand.HOME["text"],
        mark=_picture_of("spotify"),
        permissions=f"{count or 'no'} permission" + ("" if count == 1 else "s"),
        access=KEEPS if keeps_access else KEEPS_NOT,
        **_links(address),
    )


def home_of(user: User, address: Address) -> str:
    """The home page of a logged-in user."""
    profile, ends = user.profile, datetime.fromtimestamp(user.session_ends, UTC)
    return _page(
        address,
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
        next=_own_links(address, dict([brand.NEXT] if brand.NEXT else [])),
        **_links(address),
    )


def ask_to_log_in(request: Request) -> str:
    """Shown when another site sends a logged-in user to /login."""
    urls = {"login": request.link("/login"), "back": request.return_url}
    return _page(request.address, "Log in again?", "ask_to_log_in.html", **urls)


def ask_to_log_out(request: Request, token: str) -> str:
    """Shown if another site, or an unknown source, opened /logout. `token` proves that it was shown."""
    urls = {"logout": request.link("/logout", confirm=token), "back": request.return_url}
    return _page(request.address, "Log out?", "ask_to_log_out.html", **urls)


def failure(error: LoginError, reference: str, request: Request | None) -> str:
    """What happened and what to do next. Without links where the app's own address is unknown."""
    return _page(
        request.address if request else None,
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


def _template(name: str) -> Markup:
    return template(HERE / name)


@cache
def _data_url(name: str) -> str:
    """A picture of the site as a `data:` URL, so that no style or script in it acts on the page; "" without one."""
    for suffix, kind in ((".svg", "svg+xml"), (".png", "png")):
        path = branding.SITE / f"{name}{suffix}"
        if path.exists():
            return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return ""


def _picture_of(name: str) -> Markup:
    return Markup('<img src="{}" alt="">').format(_data_url(name)) if _data_url(name) else Markup()


def _own_links(address: Address | None, links: Mapping[str, str]) -> Markup:
    """Links of the brand. Paths need the app's address, and are left out where it is unknown."""
    base = "" if address is None else address.url("")
    urls = {label: base + url if url.startswith("/") else url for label, url in links.items()}
    link = Markup('<a href="{}">{}</a>\n')
    return Markup().join(link.format(url, label) for label, url in urls.items() if not url.startswith("/"))


def _page(address: Address | None, title: str, file: str, meta: str = UNLISTED, **values: str) -> str:
    return _laid_out(address, title, _template(file).format(title=title, **values), STYLE, meta)


def _laid_out(address: Address | None, title: str, body: str, style: str, meta: str = UNLISTED) -> str:
    header, links = _picture_of("logo") + brand.NAME, _own_links(address, brand.LINKS)
    if address and brand.NAME:
        header = Markup('<a href="{}">{}</a>').format(address.url("/"), header)
    page = _template("layout.html").format(
        title=f"{title} | {brand.NAME}" if brand.NAME else title,
        meta=meta,
        icon=_data_url("icon") or "data:,",
        frame=Markup(FRAME),  # noqa: S704 - the files of this app, not a visitor's
        style=Markup(style),  # noqa: S704
        header=Markup('<header class="brand">{}</header>\n').format(header) if header else "",
        main=body,
        footer=Markup('<footer class="links">\n{}</footer>\n').format(links) if links else "",
    )
    return str(page)
