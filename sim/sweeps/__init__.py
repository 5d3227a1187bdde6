"""Many simulations of one scenario: which, on how many processes, and what came out on the whole.

A *setting* is the scenario with some fields changed; a *cell* is a setting with a seed.
"""
