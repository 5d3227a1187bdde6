"""Attacks that are functions of one's own: their names, parameters and mistakes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from p2pfed.errors import ConfigError
from sim.adversaries import registry as adversaries
from sim.adversaries.attacks import attack_names, create_attack, register_attack, registry
from sim.adversaries.view import View


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})


def lowered(view: View, by: float = 1.0) -> Tensor:
    return view.own - by


def test_a_registered_function_is_an_attack_by_its_name() -> None:
    register_attack("lowered", lowered)
    assert "lowered" in attack_names()
    assert "lowered" in adversaries.names()
    liar = adversaries.create("lowered", seed=0, index=1, params={"by": 3.0})
    assert liar.difference(torch.ones(2)).tolist() == [-2.0, -2.0]


def test_a_sleeper_may_stand_before_it() -> None:
    register_attack("lowered", lowered)
    params = {"by": 3.0, "first_round": 1}
    liar = adversaries.create("sleeper+lowered", seed=0, index=1, params=params)
    sent = [liar.difference(torch.ones(2)).tolist() for _ in range(2)]
    assert sent == [[1.0, 1.0], [-2.0, -2.0]]


def test_a_wrong_row_from_a_peer_of_a_scenario_is_an_error() -> None:
    register_attack("typed", lambda view: view.own.double())
    liar = adversaries.create("typed", seed=0, index=1)
    with pytest.raises(ConfigError, match=r"attack = 'typed': it returned .*torch\.float64"):
        liar.difference(torch.ones(2))


def test_parameters_are_those_of_the_function() -> None:
    register_attack("lowered", lowered)
    with pytest.raises(ConfigError, match=r"zeal = 2\.0: remove it; lowered takes by"):
        create_attack("lowered", zeal=2.0)


@pytest.mark.parametrize("name", ["alie", "sleeper", "half-swap", "garbage", "none", "lowered"])
def test_taken_names_are_refused(name: str) -> None:
    register_attack("lowered", lowered)
    with pytest.raises(ConfigError, match=f"attack = '{name}': is there already"):
        register_attack(name, lambda view: view.own)


def test_every_kind_of_a_scenario_is_taken() -> None:
    assert set(adversaries.ADVERSARIES) <= set(registry.RESERVED)


@pytest.mark.parametrize("name", ["", "A B", "a+b", 3])
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="write small letters, digits and hyphens"):
        register_attack(name, lowered)


@pytest.mark.parametrize("function", [3, lambda: None, lambda *views: views])
def test_what_cannot_be_called_with_a_view_is_refused(function: Any) -> None:
    with pytest.raises(ConfigError, match="attack = 'wrong': give a function of a View"):
        register_attack("wrong", function)
