"""The sparse sum: a model to which every peer adds sparse updates, in whatever order they come.

Modules, from the ground up: `terms` are what a run agrees on, `operation` is what one update
carries, `snapshot` and `author_log` are what one author has added up, `ledger` collects the logs
and makes the model of them, `contributor` makes updates from trained vectors.
"""
