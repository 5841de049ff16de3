"""WebKit and Firefox for the tests, driven by their own protocols: W3C WebDriver, and Marionette.

Debian has no geckodriver, which translates WebDriver into Marionette.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.servers import free_port, running, wait_until_served

SECONDS = 60.0


class Engine(ABC):
    """A browser with one page. It accepts any certificate."""

    OPEN, RELOAD, RUN, FORGET = "", "", "", ""
    """The protocol's commands."""

    @abstractmethod
    def _send(self, command: str, parameters: dict[str, Any]) -> Any:
        """Send a command; returns its result."""

    def open(self, url: str) -> None:
        """Open a URL, and wait until the page is loaded."""
        self._send(self.OPEN, {"url": url})

    def reload(self) -> None:
        """Reload the page as the browser's own button does: a script's `location.reload()` is a request of the page."""
        self._send(self.RELOAD, {})

    def run(self, script: str) -> Any:
        """Run a script in the page; returns what it returns."""
        return self._send(self.RUN, {"script": script, "args": []})

    def forget(self) -> None:
        """Delete the cookies of the page's host."""
        self._send(self.FORGET, {})

    def click(self, name: str) -> None:
        found = f"[...document.querySelectorAll('a, button')].find(e => e.textContent == {json.dumps(name)})"
        self.wait_for(f"!!{found}")
        self.run(f"{found}.click()")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true in whichever page is shown."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                if self.run(f"return {condition}"):
                    return
            except (requests.RequestException, RuntimeError):
                pass  # the page is changing
            time.sleep(0.1)
        raise AssertionError(f"{condition} at {self.run('return location.href + document.body.innerText')}")


class WebKit(Engine):
    """WebKitGTK, by W3C WebDriver."""

    OPEN, RELOAD, RUN, FORGET = "/url", "/refresh", "/execute/sync", "/cookie"

    def __init__(self, driver: str, browser: str) -> None:
        # Link prefetch is off by default.
        options = {"binary": browser, "args": ["--automation", "--features=LinkPrefetch"]}
        capabilities = {"alwaysMatch": {"webkitgtk:browserOptions": options, "acceptInsecureCerts": True}}
        self._driver = driver
        self._session = ""
        self._session = self._send("", {"capabilities": capabilities})["sessionId"]

    def _send(self, command: str, parameters: dict[str, Any]) -> Any:
        path = f"/session/{self._session}{command}".rstrip("/")
        method = "DELETE" if command == self.FORGET else "POST"
        reply = requests.request(method, self._driver + path, json=parameters, timeout=SECONDS)
        reply.raise_for_status()
        return reply.json()["value"]


class Firefox(Engine):
    """Firefox, by Marionette: https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html"""

    OPEN, RELOAD, RUN = "WebDriver:Navigate", "WebDriver:Refresh", "WebDriver:ExecuteScript"
    FORGET = "WebDriver:DeleteAllCookies"

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self._stream = self._connection.makefile("rb")
        self._number = 0
        self._receive()  # the greeting
        self._send("WebDriver:NewSession", {"acceptInsecureCerts": True})

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
        self._connection.close()

    def _send(self, command: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, command, parameters])
        self._connection.sendall(f"{len(message)}:{message}".encode())
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(error["message"])
        return (result or {}).get("value")

    def _receive(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._stream.read(1)
        return json.loads(self._stream.read(int(length[:-1])))


@contextmanager
def webkit(folder: Path) -> Iterator[Engine]:
    port, display = free_port(), f":{os.getpid() % 30000 + 100}"
    (browser,) = Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser")
    settings = {
        "DISPLAY": display,
        "HOME": str(folder),
        "GSK_RENDERER": "cairo",
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    with (
        running(["Xvfb", display, "-screen", "0", "1024x768x24", "-nolisten", "tcp"]),
        running(["WebKitWebDriver", f"--port={port}"], settings),
    ):
        wait_until_served(port)
        yield WebKit(f"http://127.0.0.1:{port}", str(browser))


@contextmanager
def firefox(folder: Path) -> Iterator[Engine]:
    """Run Firefox headless. A proxy that does not exist blocks its background requests."""
    port = free_port()
    preferences = {
        "marionette.port": port,
        "network.proxy.type": 1,
        "network.proxy.http": "127.0.0.1",
        "network.proxy.http_port": 9,
        "network.proxy.ssl": "127.0.0.1",
        "network.proxy.ssl_port": 9,
        "network.proxy.no_proxies_on": "127.0.0.1",
    }
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
    (folder / "user.js").write_text("\n".join(lines))
    command = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
    with running(command, {"HOME": str(folder)}):
        wait_until_served(port)
        started = Firefox(port)
        yield started
        started.close()


ENGINES = {
    "WebKit": (webkit, ("WebKitWebDriver", "Xvfb"), "webkit2gtk-driver xvfb"),
    "Firefox": (firefox, ("firefox-esr",), "firefox-esr"),
}
"""How to run each engine, the programs that it needs, and the Debian packages that contain them."""


def missing(name: str) -> str:
    """Why an engine cannot run on this machine; "" if it can."""
    _, programs, packages = ENGINES[name]
    return "" if all(map(shutil.which, programs)) else f"no {name} (Debian: apt-get install {packages})"
