"""Visitors, servers and the world around the app. Nothing here is a mock of ours."""
