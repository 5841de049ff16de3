"""How your site looks: its name, colours, links and texts. Constants only. docs/extending.md describes the pictures."""

NAME = ""
"""The name of the site, in the title and at the top of every page."""

LINKS: dict[str, str] = {}
"""Links at the foot of every page, such as {"Privacy": "/privacy", "Support": "mailto:help@example.com"}."""

NEXT: tuple[str, str] | None = None
"""The button of a logged-in user, such as ("Go to the charts", "/charts"). Without it there is none."""

HOME = {
    "title": "Log in with your Spotify account",
    "text": "Spotify asks you first, and you can say no.",
    "description": "Log in to this site with your Spotify account.",
}
"""The texts of the home page. Search engines show the description."""

COLOURS = {
    "light": {
        "ink": "#23202e",
        "quiet": "#5e5a6b",
        "paper": "#f1eee8",
        "card": "#fffefc",
        "tint": "#f0eefa",
        "line": "#d9d4ca",
        "accent": "#4a3f9f",
        "on-accent": "#ffffff",
        "you": "#1f5f86",
        "owner": "#95430f",
        "wait": "#695500",
    },
    "dark": {
        "ink": "#eceaf2",
        "quiet": "#aba7b8",
        "paper": "#131217",
        "card": "#1d1b24",
        "tint": "#292636",
        "line": "#3d3a4a",
        "accent": "#b8aefc",
        "on-accent": "#1b1830",
        "you": "#8cc8ee",
        "owner": "#f2b083",
        "wait": "#dcc767",
    },
}
"""Text (ink, quiet) on backgrounds (paper, card, tint), decoration (line), links and buttons (accent) with their text
(on-accent), and the labels of error pages (you, owner, wait). CSS has them as variables: `var(--accent)`.
"""

SECRETS: tuple[str, ...] = ()
"""Secrets of your own, by name. They come from the environment and, on AWS, from Parameter Store."""
