"""A visitor's browser: keeps cookies, follows links, submits Spotify's consent page."""

from __future__ import annotations

import html
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import requests

T = TypeVar("T")

HOME = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    """By lower-case names, without Set-Cookie."""
    set_cookies: list[str]
    text: str

    @property
    def location(self) -> str:
        return self.headers["location"]

    @property
    def words(self) -> str:
        body = re.sub(r"(?s)<style>.*?</style>", "", self.text)
        return html.unescape(re.sub(r"<[^>]+>", "", body))

    @property
    def links(self) -> list[str]:
        """The links of the page, without those of the site's brand."""
        text = re.sub(r'(?s)<(header|footer) class="(brand|links)">.*?</\1>', "", self.text)
        return [html.unescape(url) for url in re.findall(r'<a href="([^"]+)"', text)]

    @property
    def user_id(self) -> str:
        """The text after `User ID: ` on the home page."""
        return self.words.partition("User ID: ")[2].partition("\n")[0]


@dataclass
class Visitor(ABC):
    home: str = HOME
    cookies: dict[str, str] = field(default_factory=dict)

    @abstractmethod
    def send(self, path: str, headers: Mapping[str, str]) -> Reply:
        """GET a path, query included."""

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Open a URL or a path of the app. Keeps cookies; does not follow redirects."""
        path = url.removeprefix(self.home)
        sent = {"Sec-Fetch-Site": "same-origin"} if headers is None else dict(headers)
        if self.cookies and "Cookie" not in sent:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = self.send(path, sent)
        for line in reply.set_cookies:
            name, _, rest = line.partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = rest.partition(";")[0]
        return reply

    def see_id(self) -> str:
        reply = self.get("/")
        assert reply.status == 200, reply
        return reply.user_id

    def begin(self) -> str:
        reply = self.get("/login")
        assert reply.status == 307, reply
        return reply.location

    def agree(self, url: str, persona: str = "premium", user_id: str = "") -> str:
        return self._decide(url, {"decision": "agree", "persona": persona, "user_id": user_id})

    def cancel(self, url: str) -> str:
        return self._decide(url, {"decision": "cancel"})

    def log_in(self, persona: str = "premium", user_id: str = "") -> Reply:
        return self.get(self.agree(self.begin(), persona, user_id))

    def _decide(self, url: str, form: Mapping[str, str]) -> str:
        reply = requests.post(url, data=form, allow_redirects=False, timeout=30)
        assert reply.status_code == 303, reply.text
        return reply.headers["Location"]


@dataclass
class HttpVisitor(Visitor):
    def send(self, path: str, headers: Mapping[str, str]) -> Reply:
        reply = requests.get(self.home + path, headers=dict(headers), allow_redirects=False, timeout=30)
        received = {name.lower(): value for name, value in reply.headers.items()}
        received.pop("set-cookie", None)
        return Reply(reply.status_code, received, reply.raw.headers.getlist("Set-Cookie"), reply.text)


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL's query, in which each must occur once."""
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in query.values()), query
    return {name: values[0] for name, values in query.items()}


def together(*acts: Callable[[], T]) -> list[T]:
    """Run functions at the same instant; returns their results. Raises the first failure once all have ended."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], T]) -> T:
        start.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as threads:
        return [done.result() for done in [threads.submit(run, act) for act in acts]]
