"""What is deployed, run as AWS runs it."""
