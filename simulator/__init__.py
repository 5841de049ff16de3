"""Spotify on this machine: a login's three endpoints, strict, with people to be. Knows nothing of the app."""
