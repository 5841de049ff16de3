"""Your routes: a Chalice Blueprint, which app.py registers. docs/extending.md has examples."""

from chalice import Blueprint

routes = Blueprint(__name__)
