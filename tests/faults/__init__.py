"""Everything that can go wrong between us and Spotify or DynamoDB, and what the visitor sees of it."""
