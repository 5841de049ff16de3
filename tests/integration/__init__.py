"""Tests over HTTP between real processes: the local server, the emulated table, the simulated Spotify."""
