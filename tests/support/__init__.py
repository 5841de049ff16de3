"""Visitors and servers for the tests. The app's own code is never mocked."""
