"""What one run is made of, and that it repeats."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import robust
import sim
import sim.rounds
from p2pfed.errors import ConfigError
from p2pfed.learn.learner import Plan
from p2pfed.learn.partition import Iid
from p2pfed.learn.task import Task
from sim.rounds import RoundsConfig, run
from sim.rounds.result import Tally
from sim.rounds.running import _share_out

ROOT = Path(__file__).parents[3]
MakeConfig = Callable[..., RoundsConfig]

# Random numbers of every kind.
FIELDS: dict[str, Any] = {
    "liars": 4,
    "attack": "noise",
    "data_attack": "mirror-labels",
    "data_params": {"class_count": 10},
    "rule": "bucketing+median",
    "integrator": {"beta_max": 0.2},
    "topology_params": {"degree": 6},
    "rounds": 2,
}
PROGRAM = f"""
from sim.rounds import RoundsConfig, run
print(run(RoundsConfig(**{FIELDS!r})).to_json())
"""


@pytest.mark.slow
def test_one_result_under_every_hash_seed() -> None:
    process = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        # The path, so that it imports what is tested here, whatever is installed.
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "42"},
        capture_output=True,
        text=True,
        check=True,
    )
    # This process has another one, drawn at random.
    assert process.stdout.strip() == run(RoundsConfig(**FIELDS)).to_json()


def test_equal_configurations_have_equal_results(make_config: MakeConfig) -> None:
    config = make_config(liars=2, attack="noise", rounds=3)
    result = run(config)
    assert result == run(config)
    assert result != run(replace(config, seed=1))
    assert result.digest != run(replace(config, rule="mean")).digest


@pytest.mark.parametrize("attack", ["none", "sign-flip", "alie"])
def test_one_after_the_other_gives_the_same_accuracies(
    make_config: MakeConfig, attack: str
) -> None:
    config = make_config(liars=2, attack=attack, rounds=4, rule="nnm+trimmed-mean")
    batched, sequential = run(config), run(replace(config, compute="sequential"))
    # One test row of 400 may fall on the other side of a border.
    assert batched.accuracies == pytest.approx(sequential.accuracies, abs=0.0026)
    assert batched.consensus_distance == pytest.approx(sequential.consensus_distance, rel=1e-3)
    assert batched.liar_weight == pytest.approx(sequential.liar_weight, abs=1e-3)
    assert batched.honest_reasons == sequential.honest_reasons


def test_silent_liars_are_as_if_absent(make_config: MakeConfig) -> None:
    config = make_config(liar_indices=(3, 7), attack="silent", rounds=3, rule="median")
    result = run(config)
    assert (result.liar_weight, result.liar_rejected_ratio, result.liar_reasons) == (None, None, {})
    assert list(result.accuracies) == [0, 1, 2, 4, 5, 6, 8, 9]
    # A lie that is no row changes nothing where the rule does not reckon with a number of liars.
    given: dict[str, Any] = {"attack": "non-finite", "attack_params": {"value": "inf"}}
    assert run(replace(config, **given)).digest == result.digest


def test_liars_that_behave_are_honest_peers(make_config: MakeConfig) -> None:
    # They mix by weights, whatever the rule of the others: under a mean all do the same.
    config = make_config(rule="mean", rounds=3, integrator={"norm_cap_ratio": None})
    honest = run(config)
    liars = run(replace(config, liar_indices=(0, 1)))
    for peer, accuracy in liars.accuracies.items():
        assert accuracy == pytest.approx(honest.accuracies[peer], abs=0.0026)
    assert liars.liar_weight == pytest.approx(0.2)


def test_errors_are_measured_in_spreads_of_the_honest_rows() -> None:
    tally = Tally()
    # Mean (3, 0), both at a distance of 1: a spread of 1/3 of the drift, and a result 2 away.
    tally.add_distances(torch.tensor([[2.0, 0.0], [4.0, 0.0]]), torch.tensor([3.0, 2.0]))
    assert tally.honest_spread() == pytest.approx(1.0 / 3.0)
    assert tally.result_error() == pytest.approx(2.0)
    # Equal rows, or a mean of zero, are no unit.
    tally.add_distances(torch.ones(2, 2), torch.zeros(2))
    tally.add_distances(torch.tensor([[1.0], [-1.0]]), torch.zeros(1))
    assert tally.result_error() == pytest.approx(2.0)
    assert Tally().honest_spread() is None


def test_the_mean_of_honest_peers_is_right_where_all_hear_all(make_config: MakeConfig) -> None:
    everybody = {"topology": "complete", "topology_params": {}}
    honest = run(make_config(rule="mean", **everybody))
    assert honest.result_error == pytest.approx(0.0, abs=1e-5)
    lied = run(make_config(rule="mean", liars=2, attack="sign-flip", **everybody))
    assert lied.result_error > 0.5


def test_bytes_are_those_of_all_rows_sent(make_config: MakeConfig) -> None:
    result = run(make_config(topology="ring", rounds=3, peers=5, attack="silent", liars=1))
    assert result.bytes_per_peer == 3 * 2 * 105 * 4  # also to those who do not answer


def test_a_peer_that_hears_nobody_learns_alone(make_config: MakeConfig) -> None:
    config = make_config(topology="line", peers=2, rounds=3, liar_indices=(0,), attack="silent")
    result = run(config)
    assert list(result.accuracies) == [1]
    assert (result.kept_own_ratio, result.false_rejected_ratio) == (0.0, None)
    assert result.consensus_distance == 0.0


def test_only_liars_train_on_poisoned_rows(blobs: Task, make_config: MakeConfig) -> None:
    config = make_config(
        liars=2, data_attack="shift-labels", data_params={"class_count": 5}, partition=Iid()
    )
    liars = config.place_liars()
    _, clean = _share_out(config, {})
    _, poisoned = _share_out(config, config.create_threats())
    for peer, (before, after) in enumerate(zip(clean, poisoned, strict=True)):
        shift = 1 if peer in liars else 0
        labels = before.rows("train").labels
        assert torch.equal(after.rows("train").labels, (labels + shift) % 5)
    assert torch.equal(poisoned[liars[0]].rows("test").labels, blobs.rows("test").labels)


def test_a_backdoor_is_measured_by_its_trigger(make_config: MakeConfig) -> None:
    trigger = {"positions": (0, 1), "value": 2.0, "target": 4, "ratio": 0.5}
    poisoned = make_config(
        liars=3, rule="mean", data_attack="backdoor", data_params=trigger, rounds=8
    )
    silent = replace(poisoned, attack="silent")
    with_liars, without = run(poisoned).attack_success, run(silent).attack_success
    assert with_liars is not None
    assert without is not None
    assert with_liars > 0.5 > 0.3 > without
    assert run(replace(poisoned, data_attack=None, data_params={}, rounds=1)).attack_success is None


def test_results_are_json(make_config: MakeConfig) -> None:
    result = run(make_config(liars=2, attack="alie", rounds=1, integrator={"params": {}}))
    told = json.loads(result.to_json())
    assert told == json.loads(json.dumps(result.to_dict(), sort_keys=True))
    assert told["config"]["liars"] == list(result.config["liars"])
    assert told["config"]["attack"] == {"name": "alie"}
    assert told["config"]["partition"] == {"alpha": 0.5, "examples_min": 12, "name": "dirichlet"}
    assert told["mean_accuracy"] == result.mean_accuracy
    assert told["worst_accuracy"] == min(told["accuracies"].values())
    assert set(told["model_digests"]) == set(told["accuracies"])


def test_a_rule_may_be_made_already(make_config: MakeConfig) -> None:
    rule = robust.create("trimmed-mean", byzantine_count=1)
    result = run(make_config(rule=rule, rounds=1))
    assert "byzantine_count=1" in result.config["rule"]
    assert json.loads(result.to_json())["config"]["rule"] == result.config["rule"]


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda _: None, "returned None"),
        (lambda view: view.own.tolist(), "returned \\["),
        (lambda view: view.honest, r"shape \(\d+, \d+\) and torch.float32; let it return"),
        (lambda view: view.own.double(), r"torch.float64; let it return .*torch.float32, as view"),
    ],
    ids=["nothing", "a list", "another shape", "another type"],
)
def test_what_an_attack_of_ones_own_must_not_return_is_no_defense(
    make_config: MakeConfig, lie: Any, said: str
) -> None:
    with pytest.raises(ConfigError, match=f"(?s)attack = '<lambda>': .*{said}"):
        run(make_config(liars=2, attack=lie, rounds=1))


def test_names_load_when_they_are_used() -> None:
    for name in ("RoundsConfig", "RoundsResult", "run"):
        assert name in dir(sim.rounds)
        assert getattr(sim.rounds, name).__module__ == sim.rounds._PUBLIC[name]
    assert sim.RoundsConfig is RoundsConfig
    with pytest.raises(AttributeError, match=r"sim\.rounds.*no_such_name"):
        _ = sim.rounds.no_such_name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"peers": 0}, "rounds.peers = 0"),
        ({"liars": 10}, "leave at least one honest peer"),
        ({"liar_indices": (1, 1)}, "name different peers from 0 to 9"),
        ({"liar_indices": (10,)}, "name different peers from 0 to 9"),
        ({"liar_indices": (1,), "liars": 2}, "as many as liars says"),
        ({"rounds": 0}, "rounds.rounds = 0"),
        ({"seed": -1}, "rounds.seed = -1"),
        ({"gossip_steps": 0}, "rounds.gossip_steps = 0"),
        ({"plan": Plan(steps_per_round=2, steps_per_round_min=1)}, "steps.steps_per_round_min = 1"),
        ({"compute": "quantum"}, "batched, sequential"),
        ({"mixing": "loud"}, "metropolis"),
        ({"attack": "charm"}, "charm"),
        ({"attack": "none", "attack_params": {"scale": 2.0}}, "none has none"),
        ({"attack": "alie", "attack_params": {"zeal": 2.0}}, "zeal"),
        ({"attack": 3}, "rounds.attack = 3: write a name"),
        ({"attack": torch.zeros_like, "attack_params": {"z": 2.0}}, "zeros_like has none"),
        ({"data_attack": "charm"}, "charm"),
        ({"data_params": {"class_count": 5}}, "name a data_attack"),
        ({"rule": "medain"}, r"rounds\.rule = 'medain': .*did you mean 'median'"),
        ({"integrator": {"beta": 0.2}}, r"rounds\.integrator\.beta = 0\.2: .*'beta_max'"),
        ({"integrator": {"beta_max": 0.7}}, r"rounds\.integrator\.beta_max = 0\.7"),
    ],
)
def test_what_cannot_be_used_is_refused(
    make_config: MakeConfig, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(**fields)


def test_what_cannot_be_made_is_refused(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"rounds\.topology = 'k-regular'"):
        run(make_config(topology="k-regular"))


def test_what_is_not_measured_changes_nothing_else(make_config: MakeConfig) -> None:
    config = make_config(rule="median", liars=2, attack="sign-flip", rounds=2, topology="ring")
    expected, found = run(config), run(replace(config, measures_spread=False))
    assert (found.honest_spread, found.result_error) == (None, None)
    assert expected.honest_spread is not None
    assert found.digest == expected.digest
    assert found.honest_reasons == expected.honest_reasons
