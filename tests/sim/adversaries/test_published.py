"""Attacks of single peers in scenarios: the hook that changes what they publish."""

from typing import Any

import pytest
import torch

import sim
from p2pfed.errors import ConfigError
from sim.adversaries import registry
from sim.adversaries.attacks.registry import LOCAL
from sim.adversaries.published import Published
from sim.scenario import load_scenario


def make(**adversary: Any) -> dict[str, Any]:
    return {
        "run": {"task": "digits"},
        "training": {"steps_per_round": 1, "threads": 1},
        "schedule": {"rounds_max": 3},
        "topology": {"name": "complete", "nodes": 4},
        "adversaries": [{"peer": 1, **adversary}],
    }


def test_every_attack_that_needs_no_view_can_be_published() -> None:
    assert set(registry.PUBLISHED) == {*LOCAL, "sleeper"} - {"non-finite"}
    own = torch.tensor([1.0, -2.0])
    for name in registry.PUBLISHED:
        adversary = registry.create(name, seed=0, index=1)
        assert isinstance(adversary, Published)
        for _ in range(3):
            lie = adversary.difference(own)
            assert (lie.shape, lie.dtype) == (own.shape, own.dtype)
            assert bool(lie.isfinite().all())
        of_stub = registry.create(name, seed=0, index=1)
        assert [type(of_stub.difference(number)) for number in (0.5, -1.0)] == [float, float]
    assert own.tolist() == [1.0, -2.0]


def test_rounds_and_the_past_are_counted() -> None:
    sleeper = registry.create(
        "sleeper+scaling", seed=0, index=1, params={"first_round": 2, "scale": 3.0}
    )
    own = [torch.tensor([float(number)]) for number in (1, 2, 3, 4)]
    assert [sleeper.difference(vector).item() for vector in own] == [1.0, 2.0, 9.0, 12.0]
    stale = registry.create("stale", seed=0, index=1, params={"age": 2})
    assert [stale.difference(vector).item() for vector in own] == [0.0, 1.0, 1.0, 2.0]


def test_noise_belongs_to_seed_and_peer() -> None:
    own = torch.zeros(4)

    def lie(seed: int, index: int) -> list[float]:
        drawn: list[float] = (
            registry.create("noise", seed=seed, index=index).difference(own).tolist()
        )
        return drawn

    assert lie(0, 1) == lie(0, 1)
    assert lie(0, 1) != lie(0, 2)
    assert lie(0, 1) != lie(1, 1)


def test_a_scenario_can_name_an_attack_and_its_parameters() -> None:
    scenario = load_scenario(make(kind="sleeper+sign-flip", first_round=1, scale=4.0))
    assert scenario.world.adversaries[0].params == {"first_round": 1, "scale": 4.0}


@pytest.mark.parametrize(
    ("adversary", "field"),
    [
        ({"kind": "sign-flip", "scale": "4"}, "adversaries.0.scale"),
        ({"kind": "sign-flip", "scales": 4.0}, "adversaries.0.scales"),
        ({"kind": "sign-flip", "seed": 4}, "adversaries.0.seed"),
        ({"kind": "sign-flip", "name": "x"}, "adversaries.0.name"),
        ({"kind": "garbage", "scale": 4.0}, "adversaries.0.scale"),
        ({"kind": "scaled-difference", "scale": "4"}, "adversaries.0.scale"),
        ({"kind": "alie"}, "adversaries.0.kind"),  # it needs a view
        ({"kind": "non-finite"}, "adversaries.0.kind"),  # no codec encodes it
        ({"kind": "sleeper+garbage"}, "adversaries.0.kind"),
        ({"kind": "zero+zero"}, "adversaries.0.kind"),
        ({"kind": "sleeper+sleeper"}, "adversaries.0.kind"),
        ({"kind": "sleeper", "first_round": 3}, "adversaries.0.first_round"),
        ({"kind": "sleeper+zero", "first_round": 4}, "adversaries.0.first_round"),
        ({"kind": "sleeper"}, "adversaries.0.kind"),  # 20 by default, and there are 3
    ],
)
def test_what_a_scenario_cannot_ask_for_is_named(adversary: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(make(**adversary))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("schedule", "first_round", "is_refused"),
    [
        ({"rounds_max": 3}, 2, False),
        ({"rounds_max": 0}, 90, False),
        ({"mode": "synchronous", "rounds_max": 3, "gossip_steps": 2}, 5, False),
        ({"mode": "synchronous", "rounds_max": 3, "gossip_steps": 2}, 6, True),
    ],
)
@pytest.mark.parametrize("fidelity", ["messages", "rounds"])
def test_a_sleeper_has_to_wake_before_training_ends(
    schedule: dict[str, Any], first_round: int, is_refused: bool, fidelity: str
) -> None:
    content = make(kind="sleeper", first_round=first_round) | {"schedule": schedule}
    if fidelity == "rounds":  # there gossip steps are no rounds, and some bound has to be there
        content |= {"fidelity": fidelity, "schedule": {"mode": "synchronous", "rounds_max": 3}}
        is_refused = first_round >= 3
    if not is_refused:
        load_scenario(content)
        return
    with pytest.raises(ConfigError, match="never lies in"):
        load_scenario(content)


@pytest.mark.slow
def test_a_published_attack_changes_what_others_learn() -> None:
    outcomes = {
        scale: sim.run(make(kind="sign-flip", scale=scale), seed=0).model_digests
        for scale in (0.5, 1.0)
    }
    again = sim.run(make(kind="sign-flip", scale=1.0), seed=0).model_digests
    assert outcomes[1.0] == again
    assert outcomes[0.5] != outcomes[1.0]
