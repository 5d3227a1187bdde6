"""`sim.run` on the shipped scenarios: real models, real data, no network."""

import json
from pathlib import Path
from typing import Any

import pytest

import sim
from p2pfed.errors import ConfigError
from sim.scenario import load_scenario
from tests.sim.by_hand import PeersByHand
from tests.sim.short import SHORT

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.mark.slow
def test_digits_on_a_ring_learn_and_repeat() -> None:
    first = sim.run(SCENARIOS / "digits-ring.toml", seed=0)
    assert first == sim.run(str(SCENARIOS / "digits-ring.toml"), seed=0)
    mean = first.metrics["mean_accuracy"]
    assert mean is not None
    assert mean > 0.7
    assert first.metrics["finished"] == 1.0
    assert first.metrics["hostile_weight_mass"] is None
    assert [report.stopped for report in first.peers] == ["rounds"] * 4
    assert [score.round for score in first.peers[0].scores] == [4, 9, 14, 19]
    assert len(set(first.model_digests)) == 4
    told = json.loads(first.to_json())
    assert told["trace_digest"] == first.trace_digest
    assert told["bytes_sent"] == list(first.bytes_sent)
    # Two neighbors, 20 rounds, 2,410 parameters of four bytes.
    assert min(first.bytes_sent) > 2 * 20 * 2_410 * 4
    assert max(first.bytes_sent) < 1.1 * 2 * 20 * 2_410 * 4


@pytest.mark.slow
def test_a_liar_gets_no_weight_while_processes_crash() -> None:
    result = sim.run(SCENARIOS / "digits-liar.toml", seed=1)
    assert result.metrics["finished"] == 1.0
    mean, mass = result.metrics["mean_accuracy"], result.metrics["hostile_weight_mass"]
    assert mean is not None
    assert mass is not None
    assert mean > 0.6
    assert mass < 0.02


@pytest.mark.slow
def test_a_ring_that_mixes_often_learns_alike() -> None:
    result = sim.run(SCENARIOS / "digits-gossip.toml", seed=0)
    mean, worst = result.metrics["mean_accuracy"], result.metrics["worst_accuracy"]
    assert mean is not None
    assert worst is not None
    assert mean > worst > mean - 0.05 > 0.75


def test_another_seed_is_another_run() -> None:
    scenario = {
        "run": {"task": "digits"},
        "training": {"steps_per_round": 1, "threads": 1},
        "schedule": {"rounds_max": 1},
        "topology": {"name": "line", "nodes": 2},
    }
    assert sim.run(scenario, seed=0).model_digests != sim.run(scenario, seed=1).model_digests


@pytest.mark.slow
def test_reputation_of_a_run_file_takes_a_liars_weight_away() -> None:
    # Even the plain mean, which by itself would give a liar of honest length its full share.
    scenario = {
        "run": {"task": "digits"},
        "training": {
            "steps_per_round": 4,
            "threads": 1,
            "step_rule": {"name": "sgd", "learning_rate": 0.1},
        },
        "integration": {"rule": "mean"},
        "schedule": {"mode": "synchronous", "rounds_max": 12},
        "topology": {"name": "complete", "nodes": 6},
        "adversaries": [{"peer": 2, "kind": "sign-flip"}],
    }
    policy = {"observations_min": 2, "ban_streak": 2, "probation_share_max": 1.0}
    believing = sim.run(scenario, seed=0)
    judging = sim.run({**scenario, "reputation": {"enabled": True, "policy": policy}}, seed=0)
    masses = [each.metrics["hostile_weight_mass"] for each in (believing, judging)]
    assert masses[0] == pytest.approx(1.0 / 6.0)
    assert masses[1] is not None
    assert masses[1] < 0.01
    assert judging.metrics["mean_accuracy"] > believing.metrics["mean_accuracy"] + 0.1


@pytest.mark.slow
def test_loss_gate_of_a_run_file_turns_a_sleeper_away() -> None:
    # It has earned its place before it lies, and this reputation forgets and forgives everything.
    scenario = {
        "run": {"task": "digits"},
        "training": {
            "steps_per_round": 4,
            "threads": 1,
            "step_rule": {"name": "sgd", "learning_rate": 0.1},
        },
        "integration": {"rule": "mean"},
        "schedule": {"mode": "synchronous", "rounds_max": 16},
        "topology": {"name": "complete", "nodes": 6},
        "adversaries": [{"peer": 2, "kind": "sleeper+sign-flip", "first_round": 4}],
    }
    policy = {"agreement_exponent": 0.0, "observations_min": 1, "ban_ratio": 1e-6}
    gate = {"enabled": True, "policy": {"probe_count": 5, "scores_min": 5, "memory": 0.5}}
    reputation = {"enabled": True, "policy": policy}
    believing = sim.run({**scenario, "reputation": reputation}, seed=0)
    gated = sim.run({**scenario, "reputation": {**reputation, "loss_gate": gate}}, seed=0)
    masses = [each.metrics["hostile_weight_mass"] for each in (believing, gated)]
    assert masses[0] is not None
    assert masses[1] is not None
    assert masses[1] < 0.6 * masses[0]
    assert gated.metrics["mean_accuracy"] > believing.metrics["mean_accuracy"] + 0.3


@pytest.mark.slow
def test_rounds_taken_by_hand_end_with_the_same_models() -> None:
    # Without network, time or protocol: whoever simulates or runs this gets these very bits.
    scenario = load_scenario(SCENARIOS / "digits-ring.toml")
    peers = PeersByHand(scenario, seed=5)
    for number in range(peers.configs[0].schedule.rounds_max):
        peers.play(number)
    assert peers.digests() == sim.run(scenario, seed=5).model_digests


@pytest.mark.parametrize("fidelity", ["messages", "rounds"])
@pytest.mark.parametrize(
    ("tables", "field"),
    [
        ({"run": {"task": "nonsense"}}, "run.task"),
        ({"share": {"name": "dirichlet", "alpha": -1.0}}, "share.alpha"),
    ],
)
def test_what_parts_refuse_is_named_as_in_the_scenario(
    fidelity: str, tables: dict[str, Any], field: str
) -> None:
    scenario = {**SHORT, **tables, "fidelity": fidelity}
    scenario["schedule"] = {"mode": "synchronous", "rounds_max": 1}
    with pytest.raises(ConfigError) as caught:
        sim.run(scenario)
    assert caught.value.field == field
