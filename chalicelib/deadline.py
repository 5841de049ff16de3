"""The time that one request may take: a deadline for every call, and retries that respect it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Self, TypeVar

SECONDS = 20.0
"""API Gateway gives up after 29 s and the function after 25 s; this leaves time to send an error page."""

STORAGE_SECONDS = 4.0
"""The time after the calls to Spotify, in which a login is stored."""

ENCRYPTION_SECONDS = 3.5
"""What Spotify must leave in addition, where tokens are encrypted before they are stored."""

T = TypeVar("T")


@dataclass(frozen=True)
class Deadline:
    """A point in time on the monotonic clock, `SECONDS` from now unless given."""

    at: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def left(self) -> float:
        """Seconds until the deadline; negative once it has passed."""
        return self.at - time.monotonic()

    def within(self, seconds: float) -> Self:
        """The deadline, or `seconds` from now if that is earlier."""
        return type(self)(min(self.at, time.monotonic() + seconds))

    def run(self, call: Callable[[], T]) -> T:
        """Run a blocking call in a thread of its own, and return or raise what it does. Later calls reuse the thread.

        A socket timeout is not enough: it starts again with every byte, so a server that sends one now and
        then, in the headers or the body, holds a call for as long as it likes. Nor does it cover DNS. The
        thread of an abandoned call ends with it; no later call waits for it.

        Raises:
            TimeoutError: the deadline passed first.
        """
        if self.left() <= 0:
            raise TimeoutError
        outcome: Future[T] = Future()
        calls = _idle_worker()
        calls.put((call, outcome))
        try:
            return outcome.result(max(self.left(), 0))
        finally:
            if outcome.done():
                _idle.append(calls)
            else:
                calls.put(None)

    def retry(self, call: Callable[[], T], pause: Callable[[Exception, int], float | None]) -> T:
        """Call until it succeeds, or until another attempt is pointless or would come too late.

        `pause` is given the exception and the number of attempts so far, and returns the seconds to wait
        before the next one, or None to give up.
        """
        attempts = 0
        while True:
            attempts += 1
            try:
                return call()
            except Exception as failure:
                wait = pause(failure, attempts)
                if wait is None or wait >= self.left():
                    raise
            time.sleep(wait)


_Calls = SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]

_idle: list[_Calls] = []
"""The queues of threads that wait for a call. Starting a thread takes a fifth of the CPU time of a short request."""


def _idle_worker() -> _Calls:
    """The queue of a thread that waits for a call, started if there is none."""
    try:
        return _idle.pop()  # pop() is atomic: no two threads get the same one
    except IndexError:
        calls: _Calls = SimpleQueue()
        threading.Thread(target=_work, args=(calls,), daemon=True).start()
        return calls


def _work(calls: _Calls) -> None:
    """Make calls until there is None instead."""
    for call, outcome in iter(calls.get, None):
        try:
            outcome.set_result(call())
        except BaseException as failure:  # noqa: BLE001 - raised again in the waiting thread
            outcome.set_exception(failure)
        del call, outcome  # they hold tokens, and this thread may wait for long
