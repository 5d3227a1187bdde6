"""SeedLedger: a model that is a pure function of integers, of which every peer writes its own.

Modules, from the ground up: `sign_bits` and `basis` turn integer coefficients into a vector,
`weights` adds it to the initial one (`compiled` does so faster where numba is installed, `sharing`
gives blocks to threads), `terms` are what a run agrees on, `operation` is what one update carries,
`author_log`
and `ledger` collect updates, `zeroth_order` and `projection` make them
from losses and from trained vectors.
"""
