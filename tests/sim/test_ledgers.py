"""Runs whose model is a ledger: they learn, and end in the same bits at all peers."""

from typing import Any

import pytest

import sim
from p2pfed.learn.ledger_bench import LedgerBench
from sim.building import _build, draw_faults
from sim.faults import plan_faults
from sim.identities import identity_of
from sim.result import Recorder
from sim.scenario import load_scenario
from sim.world import World

LINE: dict[str, Any] = {
    "run": {"task": "digits"},
    "method": {"name": "projected", "epoch_count": 4},
    "codec": {"name": "operation"},
    "training": {
        "steps_per_round": 5,
        "threads": 1,
        "step_rule": {"name": "sgd", "learning_rate": 0.3},
    },
    "share": {"name": "dirichlet", "alpha": 0.5},
    "schedule": {"mode": "synchronous", "rounds_max": 20, "evaluate_every_rounds": 0},
    "topology": {"name": "line", "nodes": 4},
    "network": {"latency_s": 0.02},
    "compute": {"training_s": 0.5},
}
SEEDS: dict[str, Any] = {
    "method": {"name": "seeds"},
    "training": {
        "steps_per_round": 50,
        "threads": 1,
        "step_rule": {"name": "sgd", "learning_rate": 0.015},
    },
}
SPARSE_SUM: dict[str, Any] = {
    "method": {"name": "sparse-sum", "peer_count": 4},
    "codec": {"name": "sparse", "chunk": 256, "kept": 16},
    "training": {
        "steps_per_round": 10,
        "threads": 1,
        "step_rule": {"name": "adamw", "learning_rate": 0.003},
    },
}
# A machine's rank is its own affair.
ADAPTER_SET: dict[str, Any] = {
    "method": {"name": "adapter-set", "rank": 2},
    "training": {
        "steps_per_round": 5,
        "threads": 1,
        "step_rule": {"name": "sgd", "learning_rate": 0.3},
    },
    "variants": [
        {"peers": [index], "fields": {"method.rank": rank}}
        for index, rank in enumerate((2, 4, 8, 16))
    ],
}
KINDS = pytest.mark.parametrize(
    "changes",
    [{}, SEEDS, SPARSE_SUM, ADAPTER_SET],
    ids=["projected", "seeds", "sparse-sum", "adapter-set"],
)

MODES = pytest.mark.parametrize(
    "mode", ["synchronous", pytest.param("asynchronous", marks=pytest.mark.nightly)]
)


def digests(world: World) -> set[bytes]:
    return {host.bench.digest() for host in world.hosts if host.bench is not None}


def run_until_equal(changes: dict[str, Any]) -> World:
    scenario = load_scenario({**LINE, **changes})
    faults = draw_faults(scenario, 0)
    recorder = Recorder({}, [identity_of(0, index).peer for index in range(4)])
    world = _build(scenario, 0, {}, [recorder], keeps_models=True)
    plan_faults(world, faults)
    world.run(
        until_s=600.0,
        stop=lambda: all(host.is_done for host in world.hosts) and len(digests(world)) == 1,
    )
    return world


@pytest.mark.slow
def test_private_peers_end_at_their_budget_in_the_same_bits() -> None:
    privacy = {"enabled": True, "noise_multiplier": 4.0, "epsilon_max": 1.6}
    world = run_until_equal({**SEEDS, "privacy": privacy})
    for host in world.hosts:
        assert isinstance(host.bench, LedgerBench)
        assert host.bench.privacy_spent is not None
        assert 0.0 < host.bench.privacy_spent.epsilon <= 1.6
        assert 0 < world.status(host.index).round < 20
    assert len(digests(world)) == 1


@pytest.mark.slow
@MODES
@pytest.mark.parametrize(
    ("changes", "accuracy"), [({}, 0.8), (SEEDS, 0.6), (SPARSE_SUM, 0.8), (ADAPTER_SET, 0.8)]
)
def test_digits_are_learned(mode: str, changes: dict[str, Any], accuracy: float) -> None:
    schedule = {"mode": mode, "rounds_max": 20, "evaluate_every_rounds": 20}
    result = sim.run({**LINE, **changes, "schedule": schedule}, seed=0)
    found = result.metrics["mean_accuracy"]
    assert found is not None
    assert found > accuracy


@pytest.mark.slow
@MODES
@KINDS
def test_all_end_in_the_same_bits_after_crashes_and_lost_disks(
    mode: str, changes: dict[str, Any]
) -> None:
    faults = [
        {"kind": "crash", "peers": [1], "at_s": 2.0},
        {"kind": "restart", "peers": [1], "at_s": 4.0},
        {"kind": "crash", "peers": [2], "at_s": 5.0},
        {"kind": "restart", "peers": [2], "at_s": 7.0, "lose_disk": True},
    ]
    schedule = {"mode": mode, "rounds_max": 20, "evaluate_every_rounds": 0}
    world = run_until_equal({**changes, "schedule": schedule, "faults": faults})
    assert len(digests(world)) == 1
    for host in world.hosts:
        assert isinstance(host.bench, LedgerBench)
        assert len(host.bench.ledger.logs) >= 4


def test_who_is_done_long_before_others_still_ends_in_their_bits() -> None:
    schedule = {
        "mode": "asynchronous",
        "rounds_max": 4,
        "evaluate_every_rounds": 0,
        "linger_s": 10.0,
    }
    slow = {"kind": "slow", "at_s": 0.0, "peers": [3], "speed_ratio": 0.1}  # 6 s a round
    world = run_until_equal({"schedule": schedule, "faults": [slow]})
    assert len(digests(world)) == 1
    assert {world.status(index).round for index in range(4)} == {4}


@pytest.mark.slow
def test_what_arrives_while_a_gap_is_found_is_tried_again() -> None:
    # Far neighbors: a snapshot that closes the gap comes while what is after it is integrated.
    scenario = load_scenario(
        {
            **LINE,
            "method": {"name": "seeds"},
            "training": {
                "steps_per_round": 2,
                "batch_size": 4,
                "threads": 1,
                "step_rule": {"name": "sgd", "learning_rate": 0.005},
            },
            "network": {"latency_s": 0.3},
            "compute": {"training_s": 0.1, "integration_s": 0.02, "jitter_ratio": 0.5},
            "schedule": {"mode": "asynchronous", "rounds_max": 60, "evaluate_every_rounds": 0},
            "faults": [
                {"kind": "crash", "peers": [1], "at_s": 2.45},
                {"kind": "restart", "peers": [1], "at_s": 5.7},
            ],
        }
    )
    recorder = Recorder({}, [identity_of(235, index).peer for index in range(4)])
    world = _build(scenario, 235, {}, [recorder], keeps_models=True)
    plan_faults(world, draw_faults(scenario, 235))
    world.run(
        until_s=100.0,
        stop=lambda: all(host.is_done for host in world.hosts) and len(digests(world)) == 1,
    )
    assert len(digests(world)) == 1
