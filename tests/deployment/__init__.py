"""Tests of the deployed package, run as AWS runs it."""
