"""The adapter set: a model to which every peer adds low-rank changes that never change again.

Modules, from the ground up: `terms` are what a run agrees on, `increment` is one change and its
bytes, `adapters` is the set of them and the model that follows, `compaction` replaces many by one.
"""
