"""Visitors and servers for the tests."""
