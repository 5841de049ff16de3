"""`make figures`: draw the cold waits of the last run of `make bench` in docs/performance.png, using a browser."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from html import escape

from bench.starts import Group
from deploy import PROJECT
from tests.support import chromium

RUN = PROJECT / ".package" / "bench.json"
"""The waits of the last run."""

PICTURE = PROJECT / "docs" / "performance.png"

WIDTH = 440
"""The length of the longest bar in pixels."""

STYLE = (
    "body{font:14px sans-serif;width:760px;margin:16px;color:#222;background:#fff}h1{font-size:17px}"
    "h2{font-size:14px;margin:14px 0 2px}p{margin:2px;display:flex;align-items:center;gap:8px}"
    "b{width:220px;font-weight:400;text-align:right}i{height:14px;background:#3d6b8f}"
)


def save(groups: Mapping[str, Group], memory_mb: int) -> None:
    """Save the median waits over TLS, by route and package."""
    waits = {
        route: {subject.package.name: starts.wait.median for subject, starts in group.items() if subject.tls}
        for route, group in groups.items()
    }
    RUN.parent.mkdir(exist_ok=True)
    RUN.write_text(json.dumps({"memory_mb": memory_mb, "waits": waits}), encoding="utf-8")


def page(memory_mb: int, waits: Mapping[str, Mapping[str, float]]) -> str:
    """The bar chart as HTML."""
    longest = max(wait for group in waits.values() for wait in group.values())
    bars = ""
    for route, group in waits.items():
        bars += f"<h2>{escape(route)}</h2>"
        for name, wait in group.items():
            width = f"width:{wait / longest * WIDTH:.0f}px"
            bars += f"<p><b>{escape(name)}</b><i style='{width}'></i>{wait:.0f} ms</p>"
    title = f"Time until the first response of a cold function with {memory_mb} MB, over TLS"
    return f"<style>{STYLE}</style><h1>{title}</h1>{bars}"


def main() -> None:
    """Draw the picture."""
    if not RUN.exists():
        sys.exit("There is no run to draw. First run:\n\n    make bench")
    if not chromium.PATH:
        sys.exit(f"The chart could not be drawn: {chromium.MISSING}.")
    with chromium.chromium() as browser:
        tab = browser.new_page(viewport={"width": 800, "height": 200}, device_scale_factor=2)
        tab.set_content(page(**json.loads(RUN.read_text(encoding="utf-8"))))
        tab.screenshot(path=PICTURE, full_page=True)
    print(f"Drew {PICTURE.relative_to(PROJECT)}.")


if __name__ == "__main__":
    main()
