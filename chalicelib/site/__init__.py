"""Your site: its brand, pages and routes. Releases change nothing in this folder; see docs/extending.md."""
