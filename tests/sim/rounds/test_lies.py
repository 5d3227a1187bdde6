"""Liars that each do something else."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from p2pfed.errors import ConfigError
from sim.rounds import RoundsConfig, run
from sim.rounds.coalition import Coalition
from sim.rounds.threat import Lie, lie_of_kind, threats_of
from tests.sim.rounds.test_parts import make_rows, places_of

MakeConfig = Callable[..., RoundsConfig]


def nothing(rows: Tensor) -> Tensor:
    return rows[0]


def test_each_liar_sends_what_its_own_lie_makes() -> None:
    lies = {1: Lie(attack="sign-flip"), 4: Lie(attack="scaling", attack_params={"scale": 3.0})}
    rows = make_rows(0)
    coalition = Coalition(threats_of(lies), seed=0)
    sent = coalition.rows(places_of("complete")[2], rows, rows, round=0, rule=nothing)
    assert torch.equal(sent[1], -rows[1])
    assert torch.equal(sent[4], 3.0 * rows[4])


def test_who_lies_about_data_alone_publishes_what_it_learned() -> None:
    lies = {1: lie_of_kind("zero", {}), 4: lie_of_kind("shift-labels", {"class_count": 5})}
    rows = make_rows(0)
    coalition = Coalition(threats_of(lies), seed=0)
    sent = coalition.rows(places_of("complete")[2], rows, rows, round=0, rule=nothing)
    assert torch.equal(sent[1], torch.zeros(3))
    assert torch.equal(sent[4], rows[4])


def test_equal_lies_are_one_threat() -> None:
    threats = threats_of({1: Lie(attack="alie"), 3: Lie(attack="alie"), 4: Lie(attack="zero")})
    assert threats[1] is threats[3]
    assert threats[1] is not threats[4]


def test_lies_run(make_config: MakeConfig) -> None:
    lies = {0: Lie(attack="silent"), 5: Lie(attack="sign-flip", attack_params={"scale": 20.0})}
    result = run(make_config(lies=lies, rounds=2))
    assert len(result.accuracies) == 8
    assert result.liar_reasons == {"norm-cap": 2 * 8}  # of the silent one nothing came
    assert result.config["lies"]["0"] == {"attack": {"name": "silent"}, "data_attack": None}


@pytest.mark.parametrize(
    "fields",
    [
        {"liars": 1},
        {"liar_indices": (1,)},
        {"attack": "zero"},
        {"data_attack": "shift-labels", "data_params": {"class_count": 5}},
        {"lies": {10: Lie()}},
    ],
    ids=lambda it: next(iter(it)),
)
def test_liars_are_named_in_one_way(make_config: MakeConfig, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(**{"lies": {0: Lie(attack="zero")}, **fields})
    assert caught.value.field == "rounds.lies"
