"""A simulated Spotify for one machine: a login, refreshes and two endpoints of the Web API.

It is strict, has personas to log in as, and imports nothing from the app.
"""
