from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from p2pfed.learn.examples import Examples
from p2pfed.learn.task import Task
from p2pfed.learn.workbench import Workbench
from sim.scenario import load_scenario
from sim.sharing import share_initial
from tests.sim.by_hand import PeersByHand

MakeBenches = Callable[..., list[Workbench]]

FEATURES, CLASSES, PEERS = 12, 3, 4


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, CLASSES))


@cache
def blobs() -> Task:
    """Make a task that is loaded at once, with the same rows to evaluate on for all."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(CLASSES, FEATURES, generator=generator)
    labels = torch.arange(240) % CLASSES
    inputs = centers[labels] + torch.randn(len(labels), FEATURES, generator=generator)
    train, validation, test = (
        Examples(inputs[part], labels[part]) for part in torch.arange(240).split(80)
    )
    return Task(
        name="blobs", create_model=make_model, train=train, validation=validation, test=test
    )


@cache
def blobs_for(width: int) -> Task:
    """Make the same task for a model of 16 values for each unit of its width, and three."""
    return replace(
        blobs(),
        create_model=lambda: nn.Sequential(
            nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, CLASSES)
        ),
    )


def blobs_above_512_kib() -> Task:
    return blobs_for(1 << 13)


def blobs_above_1_mib() -> Task:
    return blobs_for(1 << 14)


def blobs_above_4_mib() -> Task:
    return blobs_for(1 << 16)


@pytest.fixture
def make_benches() -> MakeBenches:
    """Return a maker of the benches of four peers that all know each other; it takes tables."""

    def make(**tables: Any) -> list[Workbench]:
        scenario: dict[str, Any] = {
            "run": {"task": "tests.sim.compute.conftest:blobs"},
            "codec": {"name": "float32"},
            "topology": {"name": "complete", "nodes": PEERS},
            **tables,
        }
        scenario["training"] = {
            "steps_per_round": 3,
            "batch_size": 8,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": 0.1},
            **tables.get("training", {}),
        }
        benches = PeersByHand(load_scenario(scenario), seed=1).benches
        for bench in benches:  # as those of a simulation
            if isinstance(bench, Workbench):
                share_initial(bench, benches[0])
        return benches

    return make
