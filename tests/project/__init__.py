"""Checks of this project: its documents, its layout, its policies. An owner need not run them."""
