"""Measurements of speed and bytes; `make bench` runs them."""
