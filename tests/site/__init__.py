"""The tests of your own site. Releases change nothing in this folder; see docs/extending.md."""
