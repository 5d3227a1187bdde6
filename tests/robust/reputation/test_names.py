"""Neighbors are called as the caller called them, and no seed is below 0."""

from collections.abc import Callable
from typing import Any

import pytest

import robust

SEEN = robust.Observation(agreement=0.5)


def test_observe_returns_the_names_that_it_was_given() -> None:
    changed = robust.ReputationLedger().observe(0, {"bert": SEEN, b"anna": SEEN})
    assert changed == (b"anna", "bert")


def test_record_returns_the_names_that_it_was_given() -> None:
    assert robust.LossGate(7).record(0, {"bert": 0.1, b"anna": 0.2}) == (b"anna", "bert")


def test_those_forgotten_are_named_by_bytes() -> None:
    ledger = robust.ReputationLedger(robust.ReputationPolicy(peers_max=1))
    ledger.observe(0, {"anna": SEEN})
    assert ledger.observe(1, {"bert": SEEN}) == (b"anna", "bert")


@pytest.mark.parametrize(
    "make",
    [
        robust.LossGate,
        lambda seed: robust.Integrator(seed=seed),
        lambda seed: robust.DistancePrioritizer(seed=seed),
        lambda seed: robust.create("bucketing+mean", byzantine_count=1, seed=seed),
    ],
    ids=["gate", "integrator", "prioritizer", "rule"],
)
def test_a_negative_seed_is_refused_everywhere(make: Callable[[int], Any]) -> None:
    with pytest.raises(robust.RuleError, match="seed=-1 is not a whole number >= 0"):
        make(-1)
