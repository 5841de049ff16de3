"""Real processes over HTTP: the local server, the emulated table, the simulated Spotify."""
