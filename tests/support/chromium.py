"""The Chromium that is installed on this machine, if any."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium on PATH (Debian: apt-get install chromium)"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
IGNORED = ["--disable-back-forward-cache"]
"""Playwright's options that are left out: by default it turns off the cache that Back uses."""


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """Run Chromium headless, and close it afterwards."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=PATH,
            args=[*QUIET, *options],
            ignore_default_args=IGNORED,
        )
        yield browser
        browser.close()
