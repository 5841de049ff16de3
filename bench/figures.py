"""The measurements of one function."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Figures:
    """The measurements of one package. Times in milliseconds, sizes and memory in megabytes."""

    zip_mb: float
    unpacked_mb: float
    init_cpu: list[float] = field(default_factory=list)
    init_wall: list[float] = field(default_factory=list)
    peak_rss: float = 0.0
    cold: dict[str, float] = field(default_factory=dict)
    """By memory and route, such as "512 /callback"."""
    warm: dict[str, float] = field(default_factory=dict)
    calls: dict[str, list[str]] = field(default_factory=dict)
    opened: dict[str, float] = field(default_factory=dict)
    """The mean number of connections opened, by route."""
