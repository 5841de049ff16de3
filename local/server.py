"""`chalice local` with a faster server, reloading for the app's own files only, and no codes in its log."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import chalice.cli
import chalice.cli.filewatch.stat as watcher
import chalice.local
from chalice.utils import OSUtils

from deploy import PROJECT
from local.port import another

EVENTS, BUGS = "spotify-login.events", "spotify-login.bugs"
"""The app's loggers."""

SOURCES = {".py", ".html", ".css", ".svg", ".png"}
"""The suffixes of the app's own files."""


class AppFiles(OSUtils):
    """Limits Chalice's file watcher to the app's own files, so that a change in `.venv` does not restart it."""

    def walk(self, path: str, followlinks: bool = False) -> Iterator[tuple[str, list[str], list[str]]]:  # noqa: FBT001, FBT002 - Chalice's signature
        """Walk app.py and chalicelib, without bytecode and the hidden files that editors and macOS create."""
        yield path, [], ["app.py"]
        for folder, folders, files in super().walk(str(Path(path, "chalicelib")), followlinks):
            folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
            own = [name for name in files if Path(name).suffix in SOURCES and not name.startswith(".")]
            yield folder, folders, own

    def mtime(self, path: str) -> float:
        """When a file was last changed; 0 for one that is not there, on which Chalice's watcher would end."""
        try:
            return float(super().mtime(path))
        except OSError:
            return 0.0


class Routes(chalice.local.RouteMatcher):
    """Chalice's routes, with the parameters of the path decoded as API Gateway decodes them."""

    def match_route(self, url: str) -> chalice.local.MatchResult:
        """Find the route of a URL."""
        found = super().match_route(url)
        decoded = {name: unquote(value) for name, value in found.captured.items()}
        return found._replace(captured=decoded)


class Server(chalice.local.ThreadedHTTPServer):
    """Chalice's server, with a connection queue that is long enough for fifty browsers."""

    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind the port, or print why that failed and exit."""
        try:
            super().server_bind()
        except OSError as failure:
            port = int(self.server_address[1])
            print(
                f"Could not open port {port}: {failure.strerror}. Choose another port:\n\n"
                f"    make run PORT={another(port)}",
                file=sys.stderr,
            )
            os._exit(1)  # Chalice serves from a thread, and an exception would end only that thread

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that the browser has closed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(chalice.local.ChaliceRequestHandler):
    """Chalice's handler, changed to send a response in one piece and to log a request in one line."""

    wbufsize = -1
    disable_nagle_algorithm = True
    default_request_version = "HTTP/1.0"  # HTTP/0.9 has no status line, not even for the error 400
    happened = threading.local()

    def parse_request(self) -> bool:
        """Reject also what Chalice fails to read: a length that is none, or credentials that are not ASCII."""
        if not super().parse_request():
            return False
        length, credentials = self.headers.get("Content-Length", "0"), self.headers.get("Authorization", "")
        if re.fullmatch(r"[0-9]{1,9}", length) and str(credentials).isascii():
            return True
        self.send_error(HTTPStatus.BAD_REQUEST)
        return False

    def log_error(self, *_: object) -> None:
        """Print nothing: log_request prints the status, and the message may quote a query."""

    def log_request(self, code: object = "-", size: object = "-") -> None:  # noqa: ARG002 - http.server's signature
        """Print the method, path, status and the app's events; never the query, which holds code and state."""
        events = self.happened.__dict__.pop("events", [])
        words = [word for event in events for word in _words(event)]
        if code == HTTPStatus.BAD_REQUEST and not self.command:
            words.append("not an HTTP request; the app's address begins with http://, not https://")
        request = ascii(f"{self.command} {self.path.partition('?')[0]}")[1:-1] if self.command else "-"
        print(f"{self.log_date_time_string()}  {request} {code}  {'; '.join(words)}".rstrip(), flush=True)

    @classmethod
    def take_event(cls, record: logging.LogRecord) -> bool:
        """Keep an event of the app for the line of its request instead of printing it. Other records are printed."""
        try:
            event = json.loads(record.getMessage())
        except ValueError:
            return True
        if isinstance(event, dict):
            cls.happened.__dict__.setdefault("events", []).append(event)
        return not isinstance(event, dict)


def _words(event: Mapping[str, Any]) -> Iterator[str]:
    """What the line of a request says about an event. One without a request ID is only a part of the request."""
    if "request_id" not in event:
        event = {**event, "outcome": f"{event.get('event', '')} {event.get('outcome', '')}".strip()}
    yield from (str(event[name]) for name in ("outcome", "reason", "detail", "error") if name in event)
    if "settings" in event:
        yield f"missing or unusable: {', '.join(map(str, event['settings']))}"
    if {"reason", "request_id"} <= event.keys():
        yield f"reference {event['request_id']}"


def _explain(arguments: threading.ExceptHookArgs) -> None:
    """Print why the app failed to load. Chalice loads it in a thread and then waits for an edit."""
    if not isinstance(arguments.exc_value, RuntimeError):  # Chalice's report, with file, line and reason
        threading.__excepthook__(arguments)
    reason = (
        arguments.exc_value
        if isinstance(arguments.exc_value, RuntimeError)
        else "The app could not be loaded."
    )
    print(f"{reason}\n\nFix this and save the file. The app then restarts.", file=sys.stderr, flush=True)


def _exit_with_parent() -> None:
    """Exit when stdin, a pipe from `make run`, closes: `make run` has ended, perhaps by SIGKILL."""
    os.read(0, 1)
    os._exit(1)


def main() -> None:
    """Run `chalice local` with this program's arguments."""
    watcher.OSUtils = AppFiles  # type: ignore[attr-defined]
    chalice.local.LocalDevServer.__init__.__defaults__ = (Handler, Server)  # for handler_cls and server_cls
    chalice.local.RouteMatcher = Routes  # type: ignore[misc]
    threading.excepthook = _explain
    if "MAKE_RUN" in os.environ:
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    logging.getLogger(EVENTS).addFilter(Handler.take_event)
    logging.getLogger(BUGS).addHandler(logging.StreamHandler())
    logging.getLogger("botocore").setLevel(logging.WARNING)
    arguments = sys.argv[1:]
    sys.argv = [sys.executable, "-m", "local.server", *arguments]  # what Chalice's reloader runs
    chalice.cli.cli(["--project-dir", str(PROJECT), "local", *arguments], obj={})


if __name__ == "__main__":
    main()
