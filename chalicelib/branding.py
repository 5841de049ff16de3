"""Check the brand in chalicelib/site/: what makes it unusable, and which colours are hard to read."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SITE = Path(__file__).parent / "site"

PICTURES = ("logo", "icon", "spotify")
"""The pictures that the folder can contain, as SVG or PNG."""

MOST_BYTES = 16 * 1024
"""The largest picture: each one is part of every page."""

TEXT = {
    "ink": ("paper", "card", "tint"),
    "quiet": ("paper", "card"),
    "accent": ("paper", "card"),
    "on-accent": ("accent",),
    **dict.fromkeys(("you", "owner", "wait"), ("card",)),
}
"""The backgrounds of each colour of text. The accent also colours buttons and focus rings."""

CONTRAST = 4.5
"""What WCAG 2.2 AA requires of text (1.4.3). Controls, which need 3 (1.4.11), have colours of text."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_REST = r"[\w.~:/?#@!$&'()*+,;=%-]*"
_URL = re.compile(
    rf"https://[\w-]+[\w.-]*(:\d+)?([/?#]{_REST})?|mailto:[\w.+-]+@[\w.-]+(\?{_REST})?|/(?!/){_REST}",
    re.ASCII,
)


def faults(brand: Any, folder: Path = SITE) -> list[str]:
    """The reasons why pages cannot use a brand's constants and the files beside it; empty if they can."""
    urls = {**brand.LINKS, **dict([brand.NEXT] if brand.NEXT else [])}
    found = [
        f"brand.py links {label!r} to {url!r}. Use https, mailto, or a path of this app, such as /privacy."
        for label, url in urls.items()
        if not _URL.fullmatch(url)
    ]
    for scheme in ("light", "dark"):
        colours = brand.COLOURS[scheme]
        found += [
            f"The {scheme} colour {name} of brand.py is {colours.get(name)!r}. Write it like #4a3f9f."
            for name in (*TEXT, "paper", "card", "tint", "line")
            if not _COLOUR.fullmatch(colours.get(name, ""))
        ]
    if "</" in (folder / "style.css").read_text(encoding="utf-8"):
        found.append("style.css contains `</`, which would end the style in the page. Delete it.")
    pictures = [
        path for path in folder.iterdir() if path.stem in PICTURES and path.suffix in (".svg", ".png")
    ]
    return found + [
        f"{path.name} has {path.stat().st_size} bytes. Make it smaller than {MOST_BYTES}: every page contains it."
        for path in pictures
        if path.stat().st_size > MOST_BYTES
    ]


def illegible(brand: Any) -> list[str]:
    """The colours of a usable brand that are hard to read, each with what it needs."""
    return [fault for scheme in ("light", "dark") for fault in _too_close(scheme, brand.COLOURS[scheme])]


def _too_close(scheme: str, colours: Mapping[str, str]) -> Iterator[str]:
    for text, backgrounds in TEXT.items():
        for background in backgrounds:
            ratio = contrast(colours[text], colours[background])
            if ratio < CONTRAST:
                yield (
                    f"The {scheme} colour {text} of brand.py is hard to read on {background}: "
                    f"its contrast is {ratio:.2f}, and WCAG 2.2 requires {CONTRAST}."
                )


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
