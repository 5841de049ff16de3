"""Deployment to AWS: the package, the resources, the secrets and the checks."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
"""The root of the checkout."""
