"""`chalice local`, made pleasant: fast sockets, reloading on the app's own files, no codes in its log."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chalice.cli
import chalice.cli.filewatch.stat as watcher
import chalice.local
from chalice.utils import OSUtils

from deploy import PROJECT

EVENTS = "spotify-login.events"


class AppFiles(OSUtils):
    """Shows Chalice's watcher what the app is made of: a log or a `.venv` would restart it for nothing."""

    def walk(self, path: str, followlinks: bool = False) -> Iterator[tuple[str, list[str], list[str]]]:  # noqa: FBT001, FBT002 - Chalice's signature
        """Walk the project's app.py and chalicelib, without bytecode."""
        yield path, [], ["app.py"]
        for folder, folders, files in super().walk(str(Path(path, "chalicelib")), followlinks):
            folders[:] = [name for name in folders if name != "__pycache__"]
            yield folder, folders, [name for name in files if Path(name).suffix in {".py", ".html", ".css"}]


class Server(chalice.local.ThreadedHTTPServer):
    """Chalice's server, with room for fifty browsers at the door."""

    request_queue_size = 128

    def server_bind(self) -> None:
        """Take the port, or say in a sentence that somebody else has it, and end."""
        try:
            super().server_bind()
        except OSError as failure:
            print(f"Port {self.server_address[1]} cannot be served: {failure.strerror}.", file=sys.stderr)
            os._exit(1)  # Chalice serves from a thread; an exception would end only that

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(chalice.local.ChaliceRequestHandler):
    """Chalice's handler, which sends an answer in one piece and logs a request in one line."""

    wbufsize = -1
    disable_nagle_algorithm = True
    happened = threading.local()

    def log_request(self, code: object = "-", size: object = "-") -> None:  # noqa: ARG002 - http.server's signature
        """Print method, path, status and what the app logged; never the query, which holds code and state."""
        event = self.happened.__dict__.pop("event", {})
        said = [event[name] for name in ("outcome", "reason", "detail", "error") if name in event]
        if "settings" in event:
            said.append("missing or not usable: " + ", ".join(event["settings"]))
        if "reason" in event:
            said.append(f"reference {event['request_id']}")
        path = self.path.partition("?")[0]
        print(
            f"{self.log_date_time_string()}  {self.command} {path} {code}  {'; '.join(said)}".rstrip(),
            flush=True,
        )

    @classmethod
    def take_event(cls, record: logging.LogRecord) -> bool:
        """Keep an event of the app for the line of its request, instead of printing it."""
        cls.happened.event = json.loads(record.getMessage())
        return False


def _explain(arguments: threading.ExceptHookArgs) -> None:
    """Say what is wrong with the app: Chalice loads it in a thread, and waits for an edit when that fails."""
    if isinstance(arguments.exc_value, RuntimeError):  # what Chalice makes of it, with file, line and reason
        print(f"{arguments.exc_value}\n\nThe next save starts it again.", file=sys.stderr, flush=True)
    else:
        threading.__excepthook__(arguments)


def main() -> None:
    """Run `chalice local` with the arguments of this program."""
    watcher.OSUtils = AppFiles  # type: ignore[attr-defined]
    chalice.local.LocalDevServer.__init__.__defaults__ = (Handler, Server)  # its handler_cls and server_cls
    threading.excepthook = _explain
    logging.getLogger(EVENTS).addFilter(Handler.take_event)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    arguments = sys.argv[1:]
    sys.argv = [sys.executable, "-m", "local.server", *arguments]  # what Chalice's reloader starts again
    chalice.cli.cli(["--project-dir", str(PROJECT), "local", *arguments], obj={})


if __name__ == "__main__":
    main()
