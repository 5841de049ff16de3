"""The figures as tables and as a chart."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from statistics import median

from bench.figures import Figures
from tests.support import chromium

BASE = "empty function"
"""The package that the others are compared with."""

SHARE = "512"
"""The memory size, in MB, of the cold waits in the chart: the one in .chalice/config.json."""


def tables(figures: Mapping[str, Figures]) -> str:
    """Markdown tables: first the ratio to the empty function, then milliseconds and megabytes."""
    names = list(figures)
    warm = {name: one for name, one in figures.items() if one.warm}
    routes = next(iter(warm.values())).warm
    parts = [
        table(
            ["initialization", *names],
            [
                [
                    "CPU, relative to an empty function",
                    *(f"{_cpu(one) / _cpu(figures[BASE]):.1f}x" for one in figures.values()),
                ],
                ["CPU, ms", *(f"{_cpu(one):.0f}" for one in figures.values())],
                ["wall, ms", *(f"{median(one.init_wall):.0f}" for one in figures.values())],
                ["peak memory, MB", *(f"{one.peak_rss:.0f}" for one in figures.values())],
                [
                    "zip / unpacked, MB",
                    *(f"{one.zip_mb:.1f} / {one.unpacked_mb:.1f}" for one in figures.values()),
                ],
            ],
        ),
        table(
            ["cold wait, ms", *names],
            [
                [
                    f"{memory} MB, {route}",
                    *(_cell(one.cold.get(f"{memory} {route}")) for one in figures.values()),
                ]
                for memory, _, route in (key.partition(" ") for key in _longest(figures, "cold"))
            ],
        ),
        table(
            ["warm request, CPU ms", *warm],
            [[route, *(f"{one.warm[route]:.1f}" for one in warm.values())] for route in routes],
        ),
        table(
            ["warm request, calls and connections opened", *warm],
            [
                [
                    route,
                    *(
                        f"{', '.join(one.calls[route]) or 'none'}; {one.opened[route]:.1f}"
                        for one in warm.values()
                    ),
                ]
                for route in routes
            ],
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def plot(figures: Mapping[str, Figures], path: Path) -> None:
    """Draw the cold waits as a bar chart, using a browser."""
    longest = max(wait for one in figures.values() for key, wait in one.cold.items() if key.startswith(SHARE))
    bars = ""
    for route in [key.partition(" ")[2] for key in _longest(figures, "cold") if key.startswith(SHARE)]:
        bars += f"<h2>{escape(route)}</h2>"
        for name, one in figures.items():
            wait = one.cold.get(f"{SHARE} {route}")
            if wait:
                bars += f"<p><b>{escape(name)}</b><i style='width:{wait / longest * 480:.0f}px'></i>{wait:.0f} ms</p>"
    page = (
        "<style>body{font:14px sans-serif;width:760px;margin:16px;color:#222;background:#fff}h1{font-size:17px}"
        "h2{font-size:14px;margin:14px 0 2px}p{margin:2px;display:flex;align-items:center;gap:8px}"
        "b{width:110px;font-weight:400;text-align:right}i{height:14px;background:#3d6b8f}</style>"
        f"<h1>Time until the first response of a cold function with {SHARE} MB</h1>{bars}"
    )
    with chromium.chromium() as browser:
        tab = browser.new_page(viewport={"width": 800, "height": 200}, device_scale_factor=2)
        tab.set_content(page)
        tab.screenshot(path=path, full_page=True)


def _cpu(one: Figures) -> float:
    return median(one.init_cpu)


def _longest(figures: Mapping[str, Figures], what: str) -> list[str]:
    return max((list(getattr(one, what)) for one in figures.values()), key=len)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; "" without rows."""
    lines = [head, ["---"] * len(head), *rows] if rows else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
