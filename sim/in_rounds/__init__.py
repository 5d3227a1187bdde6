"""Scenarios with `fidelity = "rounds"`: played by `sim.rounds`, told as those with messages."""
