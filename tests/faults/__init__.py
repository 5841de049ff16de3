"""Faults of Spotify and DynamoDB, and what the visitor sees."""
