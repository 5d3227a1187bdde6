"""Attacks of one's own: their mistakes must not look like a defense that works."""

from typing import Any

import pytest
import torch
from torch import Tensor

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
