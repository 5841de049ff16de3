"""Between a clone and a live URL."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
"""The root of the checkout."""
