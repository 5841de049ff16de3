"""`make run`: the app with a simulated Spotify and DynamoDB in memory. Never deployed."""
