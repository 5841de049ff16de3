"""Drawings of the personas, in place of Spotify's pictures, which would need the internet."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, abort

_FACE = """<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300" viewBox="0 0 96 96">
<rect width="96" height="96" fill="{background}"/>
{behind}<path d="M14 96c0-21 15-30 34-30s34 9 34 30z" fill="{shirt}"/>
<path d="M41 56h14v9a7 7 0 0 1-14 0z" fill="{skin}"/><circle cx="48" cy="43" r="19" fill="{skin}"/>
{front}<circle cx="41" cy="44" r="2" fill="#2b2230"/><circle cx="55" cy="44" r="2" fill="#2b2230"/>
<path d="M41 52q7 6 14 0" fill="none" stroke="#2b2230" stroke-width="2" stroke-linecap="round"/>
</svg>"""

PICTURES: Mapping[str, str] = {
    "pia": _FACE.format(
        background="#f2b5a0",
        shirt="#3d4f8f",
        skin="#f6dcc6",
        behind='<path d="M25 44a23 24 0 0 1 46 0v26H25z" fill="#6b3a2e"/>\n',
        front='<path d="M29 41c0-14 9-19 19-19s19 5 19 19c-8 0-15-3-19-10-4 7-11 10-19 10z" fill="#6b3a2e"/>\n'
        '<path d="M27 43a21 22 0 0 1 42 0" fill="none" stroke="#2b2230" stroke-width="4"/>\n'
        '<rect x="23" y="40" width="8" height="14" rx="4" fill="#e0574f"/>'
        '<rect x="65" y="40" width="8" height="14" rx="4" fill="#e0574f"/>\n',
    ),
    "deva": _FACE.format(
        background="#a9c6dd",
        shirt="#d9893b",
        skin="#b97f58",
        behind="",
        front='<path d="M28 42c-2-16 9-22 20-22s22 6 20 22c-3-7-6-10-9-11-8 3-17 3-24 0-3 2-5 5-7 11z" fill="#231b22"/>\n'
        '<g fill="none" stroke="#231b22" stroke-width="2"><circle cx="41" cy="44" r="6"/>'
        '<circle cx="55" cy="44" r="6"/><path d="M47 44h2"/></g>\n',
    ),
    "odd": _FACE.format(
        background="#c9b8e8",
        shirt="#4a3f74",
        skin="#9bd0c0",
        behind='<path d="M36 28 30 14m30 14 6-14" stroke="#4a3f74" stroke-width="3"/>'
        '<circle cx="30" cy="13" r="4" fill="#e8c547"/><circle cx="66" cy="13" r="4" fill="#e8c547"/>\n',
        front='<circle cx="48" cy="33" r="4" fill="#fff"/><circle cx="48" cy="33" r="2" fill="#2b2230"/>\n',
    ),
}
"""SVG by name."""


_COVER = """<svg xmlns="http://www.w3.org/2000/svg" width="640" height="640" viewBox="0 0 96 96">
<rect width="96" height="96" fill="hsl({0} 45% 55%)"/><circle cx="48" cy="60" r="30" fill="hsl({0} 60% 80%)"/>
</svg>"""


def picture(name: str) -> Response:
    """Return a picture: a face, or the cover of a number. Pages of other origins, such as the app's, can show it."""
    kind, _, number = name.partition("-")
    is_cover = kind == "cover" and number.isdecimal() and len(number) < 3
    if name not in PICTURES and not is_cover:
        abort(404)
    text = _COVER.format(int(number) * 36) if is_cover else PICTURES[name]
    headers = {"Cache-Control": "public, max-age=86400", "Cross-Origin-Resource-Policy": "cross-origin"}
    return Response(text, headers=headers, mimetype="image/svg+xml")
