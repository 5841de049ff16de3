"""What we believe about Spotify's HTTP behavior, checked against the simulator and, by `make contract`, against Spotify."""
