"""Between a clone and a live URL."""
