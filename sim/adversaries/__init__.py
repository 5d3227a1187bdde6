"""Peers that attack: what they train, what they say and what they serve."""
