"""The adapter set: a model to which every peer adds low-rank changes, each of a rank of its own.

Modules, from the ground up: `terms` are what a run agrees on, `increment` is one change and its
bytes, `compaction` replaces many by one, `operation` is what one update carries, `author_log` and
`ledger` collect updates and make the model of them, `contributor` makes them from trained vectors.
"""
