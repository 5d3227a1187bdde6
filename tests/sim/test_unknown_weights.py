"""Rules of one's own that do not say what rows counted for."""

from typing import Any

import pytest
from torch import Tensor

import robust
import sim
from robust import registry
from sim.documents import with_overrides
from sim.result import UNKNOWN_MASS
from tests.sim.short import SHORT

LIAR: dict[str, Any] = with_overrides(
    SHORT,
    {
        "topology": {"name": "complete", "nodes": 4},
        "integration.norm_cap_ratio": "off",
        "schedule.mode": "synchronous",
        "adversaries": [{"peer": 0, "kind": "sign-flip"}],
    },
)


def alone(vectors: Tensor) -> Tensor:
    return vectors.mean(dim=0)


def weighed(vectors: Tensor) -> tuple[Tensor, list[float]]:
    return vectors.mean(dim=0), [1 / len(vectors)] * len(vectors)


@pytest.mark.slow
@pytest.mark.parametrize("fidelity", ["messages", "rounds"])
def test_the_mass_of_liars_is_known_if_the_rule_returns_weights(
    fidelity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})
    robust.register("alone", alone)
    robust.register("weighed", weighed)
    told, untold = (
        sim.run(with_overrides(LIAR, {"integration.rule": rule, "fidelity": fidelity}))
        for rule in ("weighed", "alone")
    )
    assert told.metrics["hostile_weight_mass"] == pytest.approx(0.25)
    assert told.warning is None
    assert untold.metrics["hostile_weight_mass"] is None
    assert untold.warning == UNKNOWN_MASS
