"""Whole simulations come to the same, however their jobs are computed."""

from dataclasses import dataclass
from typing import Any, final

import pytest
import torch
from torch import Tensor

import sim
from p2pfed.core.events import Command, Event, JobFailed
from sim.host import Host
from sim.result import Result
from sim.watching import Watcher
from sim.world import World

PEERS, STOPPED = 8, 5
# Of the length of a drift: batched products add up in another order.
TOLERANCE = 1e-4

LOW_RANK = {"rank": 4, "targets": ["0"], "modules": ["2"]}
METHODS: dict[str, dict[str, Any]] = {
    "full": {"name": "full"},
    "lora": {"name": "lora", **LOW_RANK},
    "ffa-lora": {"name": "ffa-lora", **LOW_RANK},
    "fed-sb": {"name": "fed-sb", **LOW_RANK},
}
SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.5}
ADAMW = {"name": "adamw", "learning_rate": 0.01}


@final
class Troublemaker(Watcher):
    """Stops one peer while all train, and remembers the world."""

    def __init__(self) -> None:
        self.canceled = 0

    def world_began(self, world: World) -> None:
        self.world = world
        self.initial: dict[int, Tensor] = {}
        world.clock.after(3.9, lambda: world.command(STOPPED, Command.STOP))

    def event_handled(self, host: Host, event: Event, effects: object) -> None:
        del effects
        self.initial.setdefault(host.index, host.bench.initial)
        self.canceled += isinstance(event, JobFailed) and event.cancelled


@final
@dataclass(frozen=True)
class Played:
    """A simulation, and where its peers ended."""

    result: Result
    drifts: Tensor
    canceled: int


def play(jobs: str, **tables: Any) -> Played:
    watcher = Troublemaker()
    scenario: dict[str, Any] = {
        "run": {"task": "digits"},
        "share": {"name": "dirichlet", "alpha": 0.5},
        "codec": {"name": "float32"},
        "training": {
            "steps_per_round": 4,
            "steps_per_round_min": 2,
            "batch_size": 16,
            "threads": 1,
            "device": "cpu",
            "step_rule": SGD,
        },
        "integration": {"rule": "mean"},
        "schedule": {
            "mode": "synchronous",
            "rounds_max": 6,
            "evaluate_every_rounds": 3,
            "test_every_rounds": 3,
            "deadline_s": 3.0,
        },
        "topology": {"name": "k-regular", "nodes": PEERS, "degree": 4},
        "compute": {"jobs": jobs},
        # A part of them comes late and goes, one crashes in a training and comes back.
        "availability": [{"peers": [6], "from_s": 2.0, "until_s": 6.0}],
        "faults": [
            {"kind": "crash", "at_s": 2.8, "peers": [1]},
            {"kind": "restart", "at_s": 4.0, "peers": [1]},
            {
                "kind": "churn",
                "at_s": 5.0,
                "until_s": 8.0,
                "period_s": 1.0,
                "down_s": 1.0,
                "peers": [2, 3],
            },
        ],
        **tables,
    }
    result = sim.run(scenario, seed=3, watchers=[watcher])
    drifts = [
        host.bench.learner.vector() - watcher.initial[host.index] for host in watcher.world.hosts
    ]
    return Played(result=result, drifts=torch.stack(drifts), canceled=watcher.canceled)


def assert_alike(first: Played, second: Played) -> None:
    errors = torch.linalg.vector_norm(first.drifts - second.drifts, dim=1)
    assert torch.all(errors < TOLERANCE * torch.linalg.vector_norm(second.drifts, dim=1))
    for name in ("events", "virtual_s", "finished", "failed"):
        assert first.result.metrics[name] == second.result.metrics[name]
    assert first.result.rows_used == second.result.rows_used
    assert first.result.rejected == second.result.rejected
    assert first.result.bytes_sent == second.result.bytes_sent
    assert first.result.metrics["mean_accuracy"] == pytest.approx(
        second.result.metrics["mean_accuracy"], abs=0.005
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_a_troubled_world_comes_to_the_same(method: str, mode: str) -> None:
    tables: dict[str, Any] = {"method": METHODS[method]}
    if mode == "asynchronous":
        tables["schedule"] = {"mode": mode, "rounds_max": 6, "evaluate_every_rounds": 3}
    batched, sequential = (play(jobs, **tables) for jobs in ("batched", "sequential"))
    assert_alike(batched, sequential)
    assert batched.canceled == 1
    assert batched.result.model_digests != sequential.result.model_digests  # it was computed so


@pytest.mark.slow
def test_optimizers_keep_what_they_know_and_rounds_are_scaled() -> None:
    training = {
        "steps_per_round": 3,
        "normal_steps": 2,
        "batch_size": 16,
        "threads": 1,
        "device": "cpu",
        "step_rule": ADAMW,
    }
    played = [play(jobs, training=training) for jobs in ("batched", "sequential")]
    assert_alike(*played)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "nnm+trimmed-mean"])
def test_rules_use_and_reject_the_same_rows(rule: str) -> None:
    # One lies about its model, and one is turned away for its length.
    adversaries = [
        {"peer": 0, "kind": "sign-flip"},
        {"peer": 4, "kind": "scaled-difference", "scale": -10.0},
    ]
    tables = {"integration": {"rule": rule}, "adversaries": adversaries}
    batched, sequential = (play(jobs, **tables) for jobs in ("batched", "sequential"))
    assert_alike(batched, sequential)
    assert batched.result.rejected["norm-cap"]["hostile"] > 0
    assert batched.result.metrics["hostile_weight_mass"] == pytest.approx(
        sequential.result.metrics["hostile_weight_mass"], abs=1e-3
    )


@pytest.mark.slow
def test_one_seed_gives_one_trace() -> None:
    first, second = play("batched").result, play("batched").result
    assert first.trace_digest == second.trace_digest
    assert first.model_digests == second.model_digests
