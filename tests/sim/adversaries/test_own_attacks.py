"""Attacks of one's own: their mistakes must not look like a defense that works."""

from typing import Any

import pytest
import torch
from torch import Tensor

import sim
from p2pfed.errors import ConfigError
from sim.adversaries.attacks.own import OwnAttack
from sim.adversaries.published import Published
from sim.adversaries.view import View


def lie_of(function: Any, own: Tensor) -> Tensor:
    attack = OwnAttack(name="mine", function=function)
    lie: Tensor = Published(attack, torch.Generator()).difference(own)
    return lie


def test_no_number_is_an_error_where_the_own_row_has_numbers() -> None:
    with pytest.raises(ConfigError, match="attack = 'mine': it returned NaN or infinity"):
        lie_of(lambda view: view.own * float("nan"), torch.ones(3))
    assert bool(lie_of(lambda view: view.own, torch.full((3,), torch.nan)).isnan().all())


def test_an_error_of_its_own_is_told_with_attack_and_line() -> None:
    def divide(view: View) -> Tensor:
        return view.own * (1 // 0)

    line = divide.__code__.co_firstlineno + 1
    said = rf"attack = 'mine': mend .*test_own_attacks\.py:{line}: ZeroDivisionError: "
    with pytest.raises(ConfigError, match=said):
        lie_of(divide, torch.ones(3))


def digests_under(attack: Any) -> dict[int, str]:
    config = sim.RoundsConfig(attack=attack, liars=2, peers=5, rounds=2, topology="complete")
    return sim.rounds.run(config).model_digests


def test_what_an_attack_writes_to_its_tensors_reaches_nobody() -> None:
    def in_place(view: View) -> Tensor:
        for rows in (view.honest, view.honest_before, view.honest_weights):
            rows.zero_()
        lie: Tensor = view.own.mul_(-1)
        return lie

    def by_numpy(view: View) -> Tensor:
        row = view.own.numpy()
        row *= -1
        return torch.from_numpy(row)

    kept: list[Tensor] = []

    def in_one_tensor(view: View) -> Tensor:
        lie = kept[0] if kept else torch.empty_like(view.own)
        kept[:] = [lie]
        return lie.copy_(-view.own)

    honest = digests_under(lambda view: -view.own)
    for function in (in_place, by_numpy, in_one_tensor):
        assert digests_under(function) == honest, function.__name__


@pytest.mark.parametrize("rows", ["history", "own_history", "honest_history"])
def test_changing_an_earlier_round_is_an_error(rows: str) -> None:
    def change(view: View) -> Tensor:
        for found in getattr(view, rows):
            row = found if isinstance(found, Tensor) else found[0]
            row.mul_(-1)
        return view.own

    with pytest.raises(ConfigError, match=r"attack = 'change': it changed a row of an earlier"):
        digests_under(change)


def test_a_peer_of_messages_keeps_the_vector_that_its_attack_changes() -> None:
    own = torch.ones(3)
    assert lie_of(lambda view: view.own.mul_(-1), own).tolist() == [-1.0] * 3
    assert own.tolist() == [1.0] * 3
