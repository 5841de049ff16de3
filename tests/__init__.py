"""The tests. Their names are the specification."""
