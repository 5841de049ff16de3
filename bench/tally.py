"""The results of a load test, and requests at the same instant."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Tally:
    """The results so far."""

    total: int
    what: str
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lost: int = 0
    """Results that were wrong, such as logins after which the home page showed no user or another user."""
    refreshes: str = ""
    """The refreshes of access tokens, for the summary."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float, error: str = "", *, lost: bool = False) -> None:
        """Count one result and print the progress."""
        with self._lock:
            self.seconds.append(seconds)
            self.lost += lost
            if error:
                self.errors.append(error)
            done = len(self.seconds)
            if done % 25 == 0 or done == self.total:
                end = "\n" if done == self.total else ""
                print(
                    f"\r{self.what}: {done} of {self.total}, {len(self.errors)} errors", end=end, flush=True
                )

    def summary(self) -> str:
        """One line with the count, the times and what failed."""
        cuts = statistics.quantiles(self.seconds, n=100)
        return (
            f"{self.what}: {len(self.seconds)}, p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms, "
            f"errors {len(self.errors)}, lost {self.lost}{self.refreshes}"
        )


def together(*acts: Callable[[], object]) -> list[Exception]:
    """Run functions at the same instant. Returns their exceptions."""
    start = threading.Barrier(len(acts))
    failures: list[Exception] = []

    def do(act: Callable[[], object]) -> None:
        start.wait()
        try:
            act()
        except Exception as failure:  # noqa: BLE001 - every failure is counted
            failures.append(failure)

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures
