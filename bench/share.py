"""Limits a process to the share of a core that Lambda gives a request, memory / 1769 MB, by a control group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WHOLE_CORE_MB = 1769
PERIOD = 20_000
"""The quota's period in microseconds, as on Lambda."""

ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Version 1 of control groups, then version 2."""


@contextmanager
def group(memory_mb: int) -> Iterator[Path]:
    """Create a control group that limits its processes to the share of a function with that much memory.

    Raises:
        OSError: the group could not be created.
    """
    path = _root() / f"spotify-login-bench-{memory_mb}"
    path.mkdir(exist_ok=True)
    try:
        quota = PERIOD * memory_mb // WHOLE_CORE_MB
        if (path / "cpu.cfs_quota_us").exists():
            (path / "cpu.cfs_period_us").write_text(str(PERIOD))
            (path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (path / "cpu.max").write_text(f"{quota} {PERIOD}")
        yield path
    finally:
        path.rmdir()


def refusal() -> str:
    """Why no control group can be created on this machine; empty if one can."""
    try:
        with group(WHOLE_CORE_MB):
            return ""
    except (OSError, StopIteration) as error:
        return str(error) or "this machine has none"


def _root() -> Path:
    return next(path for path in ROOTS if path.is_dir())


@contextmanager
def limited(pid: int, memory_mb: int) -> Iterator[None]:
    """Limit a process to the share of a function with that much memory.

    Raises:
        OSError: no control group could be created.
    """
    with group(memory_mb) as path:
        (path / "cgroup.procs").write_text(str(pid))
        try:
            yield
        finally:
            (_root() / "cgroup.procs").write_text(str(pid))
