"""The login in Chromium."""
