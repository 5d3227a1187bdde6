"""Acceptance suites that p2pfed runs on its own parts, for authors of others."""
