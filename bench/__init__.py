"""Measurements and long runs, which `make test` leaves out."""
