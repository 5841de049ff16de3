"""Measurements and long runs. None of it is part of the tests."""
