"""`make run`: the whole login on one machine, without an account anywhere. Never deployed."""
