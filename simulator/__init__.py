"""A simulated Spotify for one machine: a login, refreshes and some endpoints of the Web API.

It is strict, has personas to log in as, and imports nothing from the app. README.md lists what it supports.
"""
