"""The brand of the site: what is refused, and what pages do with what is accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from markupsafe import Markup

from chalicelib import branding, pages, web
from chalicelib.branding import contrast, faults, illegible
from chalicelib.errors import LoginError
from chalicelib.request import Request
from chalicelib.site import brand
from tests.support.events import event, reply_of
from tests.support.gateway import GatewayVisitor

Brands = Callable[..., None]


@pytest.fixture
def branded(monkeypatch: pytest.MonkeyPatch) -> Brands:
    """Change constants of the brand."""

    def change(**constants: object) -> None:
        for name, value in constants.items():
            monkeypatch.setattr(brand, name, value)

    return change


def with_constants(**constants: object) -> Any:
    return SimpleNamespace(**{**vars(brand), **constants})


def recoloured(scheme: str, **colours: str) -> Any:
    changed = {name.replace("_", "-"): value for name, value in colours.items()}
    return with_constants(COLOURS={**brand.COLOURS, scheme: {**brand.COLOURS[scheme], **changed}})


def test_the_brand_of_this_site_can_be_used_and_is_easy_to_read() -> None:
    assert faults(brand) == illegible(brand) == []


@pytest.mark.promise("P4")
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "http://example.com", "//example.com", "/\\example.com", "data:text/html,x", "privacy",
        "", "https://", "https://example.com/\n", 'https://example.com/"x', "mailto:", "HTTPS:example.com",
    ],
)  # fmt: skip
def test_a_link_is_https_mailto_or_a_path_and_nothing_else(url: str) -> None:
    for changed in (with_constants(LINKS={"Privacy": url}), with_constants(NEXT=("Go on", url))):
        (fault,) = faults(changed)
        assert fault.startswith("brand.py links ")
    for usable in ("https://example.com/a?b=c#d", "mailto:help@example.com?subject=Hi", "/privacy", "/"):
        assert faults(with_constants(LINKS={"Privacy": usable}, NEXT=("Go on", usable))) == []


@pytest.mark.promise("P4")
@pytest.mark.parametrize(
    "colour", ["red", "#fff", "#12345g", "#123456; } * { display: none", "</style>", "#123456\n"]
)
@pytest.mark.parametrize("name", ["ink", "line", "on_accent", "wait"])
def test_a_colour_has_six_hexadecimal_digits(name: str, colour: str) -> None:
    (fault,) = faults(recoloured("dark", **{name: colour}))
    assert fault.startswith(f"The dark colour {name.replace('_', '-')} of brand.py is ")


@pytest.mark.promise("P4")
def test_a_style_that_ends_its_element_and_a_picture_that_is_too_large_are_refused(tmp_path: Path) -> None:
    style = tmp_path / "style.css"
    style.write_text("h1 { margin: 0 }")
    assert faults(brand, tmp_path) == []
    style.write_text("h1::after { content: '</style><script>' }")
    (tmp_path / "logo.png").write_bytes(bytes(20_000))
    first, second = faults(brand, tmp_path)
    assert first.startswith("style.css contains `</`")
    assert second.startswith("logo.png has 20000 bytes")


@pytest.mark.promise("P6")
def test_colours_of_text_with_too_little_contrast_are_named_for_light_and_dark() -> None:
    assert contrast("#000000", "#ffffff") == 21
    assert contrast("#767676", "#ffffff") > 4.5 > contrast("#777777", "#ffffff")
    fault = illegible(recoloured("light", quiet="#777777", paper="#ffffff"))[0]
    assert "quiet of brand.py is hard to read on paper: its contrast is 4.48" in fault
    for scheme in ("light", "dark"):
        for text, backgrounds in branding.TEXT.items():
            for background in backgrounds:
                same = brand.COLOURS[scheme][background]
                found = illegible(recoloured(scheme, **{text.replace("-", "_"): same}))
                assert any(f"The {scheme} colour {text} " in fault and background in fault for fault in found)


@pytest.mark.promise("P4")
def test_names_links_and_texts_are_escaped_on_every_page(visitor: GatewayVisitor, branded: Brands) -> None:
    odd = "<b>\"'&{title}"
    home = dict.fromkeys(brand.HOME, odd)
    branded(NAME=odd, LINKS={odd: "https://example.com/?a=1&b='"}, NEXT=(odd, "/next"), HOME=home)
    shown = [visitor.get("/").text, pages.failure(LoginError(), "x", None)]
    visitor.log_in()
    shown.append(visitor.get("/").text)
    assert "You are logged in" in shown[-1]
    for html in shown:
        assert "<b>" not in html
        assert html.count("&lt;b&gt;&#34;&#39;&amp;{title}") >= 3
        assert 'href="https://example.com/?a=1&amp;b=&#39;"' in html


def test_pages_have_the_name_and_links_of_the_site_and_paths_begin_at_the_app(
    visitor: GatewayVisitor, branded: Brands
) -> None:
    branded(NAME="My Charts", LINKS={"Privacy": "/privacy", "Help": "mailto:help@example.com"})
    reply = visitor.get("/callback")
    assert "My Charts</title>" in reply.text
    for url in (f"{visitor.home}/", f"{visitor.home}/privacy", "mailto:help@example.com"):
        assert f'<a href="{url}">' in reply.text
    unknown = pages.failure(LoginError(), "x", None)
    assert "My Charts" in unknown
    assert "/privacy" not in unknown, "without the app's address, there is no URL for a path"


def navigation_of(visitor: GatewayVisitor) -> str:
    return visitor.get("/").text.partition("<nav")[2].partition("</nav>")[0]


def test_the_button_of_a_logged_in_user_leads_on_to_the_site_and_without_next_there_is_none(
    visitor: GatewayVisitor, branded: Brands
) -> None:
    visitor.log_in()
    branded(NEXT=None)
    before = navigation_of(visitor)
    assert before.count("<a ") == before.count('class="quiet"') == 2
    branded(NEXT=("Go to the charts", "/charts"))
    assert navigation_of(visitor).split("\n")[1] == f'<a href="{visitor.home}/charts">Go to the charts</a>'


def test_the_pictures_of_the_site_are_data_urls(
    visitor: GatewayVisitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = visitor.get("/").text
    assert '<link rel="icon" href="data:,">' in before
    for name in ("logo.png", "icon.svg", "spotify.svg"):
        (tmp_path / name).write_text(f"<svg>{name}</svg>")
    monkeypatch.setattr(branding, "SITE", tmp_path)
    pages._data_url.cache_clear()
    html = visitor.get("/").text
    pages._data_url.cache_clear()
    assert html.count('src="data:image/png;base64,') == 1
    assert '<link rel="icon" href="data:image/svg+xml;base64,' in html
    assert '"><img src="data:image/svg+xml;base64,PHN2Zz5zcG90aWZ5' in html.partition("<nav")[2]


SCRIPT = "document.title = 'Ready'"


@pytest.fixture
def site(settings: dict[str, str]) -> web.App:
    site = web.App()

    @site.route("/own")
    @web.view("own")
    def own(request: Request) -> web.Result:
        allow = {"img-src": ["https://mosaic.scdn.co"], "script-src": [pages.hash_of(SCRIPT)]}
        return web.page(pages.site_page(request, "<Own>", "<p>"), allow)

    @site.route("/plain")
    @web.view("plain")
    def plain(request: Request) -> web.Result:
        return web.page(pages.site_page(request, "Plain", Markup("<p>Hello</p>")))

    @site.route("/refused/{source}")
    @web.view("refused")
    def refused(__: Request, source: str) -> web.Result:
        directive, _, allowed = source.partition(" ")
        return web.page("", {directive: [allowed]})

    return site


def policy_of(text: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for words in (part.split() for part in text.split(";"))}


@pytest.mark.promise("P7")
def test_a_page_can_allow_sources_of_its_own_and_no_other_page_allows_them(
    site: web.App, settings: dict[str, str]
) -> None:
    own, plain = (reply_of(site(event(path), None)) for path in ("/own", "/plain"))
    allowed, usual = (policy_of(reply.headers["content-security-policy"]) for reply in (own, plain))
    assert allowed.pop("script-src") == [pages.hash_of(SCRIPT)]
    assert {*allowed.pop("img-src")} == {*usual.pop("img-src"), "https://mosaic.scdn.co"}
    assert allowed == usual
    other = web.page("", {"img-src": ["https://mosaic.scdn.co"]})
    assert "script-src" not in other.headers["Content-Security-Policy"]
    assert "&lt;Own&gt;" in own.text
    assert "&lt;p&gt;" in own.text
    assert "<p>Hello</p>" in plain.text


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    "source",
    [
        "script-src 'unsafe-inline'", "script-src *", "script-src data:", "script-src https:", "default-src 'self'",
        "base-uri 'self'", "img-src https://a.example;script-src", "img-src https://a.example https://b.example",
        "frame-ancestors 'self'", "script-src 'sha256-x'y", "img-src http://a.example", "img-src https://*.example",
    ],
)  # fmt: skip
def test_a_page_cannot_allow_all_inline_scripts_all_hosts_or_another_directive(
    site: web.App, source: str
) -> None:
    reply = reply_of(
        site(event("/refused/x", route="/refused/{source}") | {"pathParameters": {"source": source}}, None)
    )
    assert reply.status == 500
    usual = reply_of(site(event("/plain"), None))
    assert reply.headers["content-security-policy"] == usual.headers["content-security-policy"]


def test_a_page_of_the_site_has_its_style_and_not_that_of_the_login(site: web.App) -> None:
    html = reply_of(site(event("/plain"), None)).text
    assert html.count("<style>") == 2
    assert f"<style>{pages.SITE_STYLE}</style>" in html
    assert pages.STYLE not in html
