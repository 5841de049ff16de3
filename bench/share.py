"""The part of a core that Lambda gives a request: memory / 1769 MB, imitated by a control group's quota."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WHOLE_CORE_MB = 1769
PERIOD = 20_000
"""Microseconds in which the quota is given out, as on Lambda."""

ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Version 1 of control groups, and version 2."""


@contextmanager
def group(memory_mb: int) -> Iterator[Path]:
    """A control group whose processes get the share of a function with so much memory.

    Raises:
        OSError: this machine does not let us make one.
    """
    made = _root() / f"spotify-login-bench-{memory_mb}"
    made.mkdir(exist_ok=True)
    try:
        quota = PERIOD * memory_mb // WHOLE_CORE_MB
        if (made / "cpu.cfs_quota_us").exists():
            (made / "cpu.cfs_period_us").write_text(str(PERIOD))
            (made / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (made / "cpu.max").write_text(f"{quota} {PERIOD}")
        yield made
    finally:
        made.rmdir()


def refusal() -> str:
    """Why this machine lets us make no such group; empty where it does."""
    try:
        with group(WHOLE_CORE_MB):
            return ""
    except (OSError, StopIteration) as error:
        return str(error) or "it has no control groups"


def _root() -> Path:
    return next(path for path in ROOTS if path.is_dir())


def join(made: Path, pid: int) -> None:
    """Have a process get no more than its group's share from now on."""
    (made / "cgroup.procs").write_text(str(pid))


def leave(pid: int) -> None:
    """Have a process get what others get again."""
    (_root() / "cgroup.procs").write_text(str(pid))
