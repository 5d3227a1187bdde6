"""What a `RoundsConfig` is given must be of the kinds that it works with."""

from typing import Any

import pytest

import sim
from p2pfed.errors import ConfigError
from sim.in_rounds.translation import rounds_config
from sim.rounds.threat import Lie
from tests.sim.short import SHORT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", 3),
        ("partition", "dirichelt"),
        ("partition", {"name": "dirichlet"}),
        ("plan", {"batch_size": 3}),
        ("method", "lora"),
        ("codec", "int8"),
        ("topology", ["ring"]),
        ("topology_params", [4]),
        ("attack_params", 3),
        ("data_attack", 3),
        ("liar_indices", 3),
        ("liar_indices", ("0",)),
        ("run_seed", "0"),
        ("topology_seed", "0"),
        ("measures_spread", "no"),
        ("lies", ["zero"]),
        ("lies", {0: "zero"}),
        ("lies", {"0": Lie(attack="zero")}),
        ("rule", 3),
        ("integrator", "mean"),
        ("reputation", True),
        ("loss_gate", True),
    ],
    ids=str,
)
def test_what_is_of_another_kind_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"give|write") as caught:
        sim.RoundsConfig(**{field: value})
    assert caught.value.field == f"rounds.{field}"


def test_rounds_are_run_of_a_config_alone() -> None:
    given: Any = {"rule": "mean"}
    with pytest.raises(ConfigError, match="rounds_config"):
        sim.rounds.run(given)


def test_a_config_is_made_of_whatever_can_be_run() -> None:
    config = rounds_config({**SHORT, "fidelity": "rounds", "schedule": {"mode": "synchronous"}})
    assert (config.rule, config.peers) == ("mean", 3)
