"""Worlds in several parts, each with some of the peers, that keep step."""
