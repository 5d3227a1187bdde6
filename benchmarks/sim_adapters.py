"""Peers with adapters on a pretrained model: whether all of them have one copy of that.

Reuters R8 on MiniLM, adapters of rank 8 on queries and values and a head, as in the task's own
measurements; two steps of eight examples in a round, since memory does not depend on their number.
"""

import sys
from dataclasses import replace
from typing import Any, Final

import torch
from torch import nn

from benchmarks.sim_ways import DEGREE, Span, time_rounds, time_world
from p2pfed.learn.learner import Plan
from p2pfed.learn.reuters import reuters
from p2pfed.learn.steps import AdamW
from p2pfed.updates.methods import Lora
from sim.rounds.config import RoundsConfig

STEPS: Final = 2
BATCH: Final = 8
LEARNING_RATE: Final = 0.002
_METHOD: Final = {"rank": 8, "targets": ("query", "value"), "modules": ("head",)}


def without_torchvision() -> None:
    """Keep transformers from loading torchvision: that of byzfl is for another torch."""
    sys.modules["torchvision"] = None  # type: ignore[assignment] - what cannot be imported


def messages(peers: int, rounds: int, threads: int) -> Span:
    """Simulate the task with every frame."""
    scenario: dict[str, Any] = {
        "run": {"task": "reuters"},
        "method": {"name": "lora", **_METHOD},
        "codec": {"name": "float32"},
        "training": {
            "steps_per_round": STEPS,
            "batch_size": BATCH,
            "threads": threads,
            "device": "cpu",
            "step_rule": {"name": "adamw", "learning_rate": LEARNING_RATE},
        },
        "schedule": {"evaluate_every_rounds": 0},
    }
    return time_world(scenario, peers=peers, rounds=rounds)


def rounds(peers: int, rounds: int, threads: int) -> Span:
    """Exchange in step, one peer after the other: transformers does not work in `torch.func`."""
    torch.set_num_threads(threads)
    task = reuters()
    config = RoundsConfig(
        task=replace(task, create_model=lambda: _adapted(task.create_model())),
        plan=Plan(
            step_rule=AdamW(learning_rate=LEARNING_RATE), steps_per_round=STEPS, batch_size=BATCH
        ),
        topology_params={"degree": DEGREE},
        peers=peers,
        rule="trimmed-mean",
        rounds=rounds + 1,
        compute="sequential",
    )
    return time_rounds(config)


def _adapted(model: nn.Module) -> nn.Module:
    """Put adapters on a model: what is frozen then is frozen in rounds, too."""
    return Lora(**_METHOD).adapt(model, seed=0).model
