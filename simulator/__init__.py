"""A simulated Spotify for one machine: the three endpoints of a login, strict, with personas to log in as.

It imports nothing from the app.
"""
