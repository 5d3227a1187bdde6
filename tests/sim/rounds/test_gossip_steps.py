"""Several gossip steps per round: how far peers come together, and what that is worth."""

from statistics import fmean

import pytest
import torch

import robust
import topologies
from p2pfed.learn.learner import Plan
from p2pfed.learn.partition import Dirichlet
from p2pfed.learn.steps import Sgd
from sim.rounds import RoundsConfig, run
from sim.rounds.neighborhood import neighborhoods
from tests.sim.rounds.conftest import MakeConfig

PEERS = 16  # of which every topology has a graph
SHAPES = sorted(set(topologies.names()) - {"file"})


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("name", SHAPES)
def test_peers_come_together_by_the_gap_to_the_power_of_the_steps(name: str, steps: int) -> None:
    parameters = {"degree": 4} if name == "k-regular" else {}
    net = topologies.create(name, nodes=PEERS, seed=1, **parameters)
    counts = [1] * PEERS
    places = neighborhoods(net, (), example_counts=counts, mixing="metropolis")
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(PEERS, 5, generator=generator, dtype=torch.float64)
    mean = vectors.mean(dim=0)
    before = float((vectors - mean).norm())
    integrator = robust.Integrator("mean", norm_cap_ratio=None)
    for _ in range(steps):
        vectors = torch.stack(
            [
                integrator.integrate(
                    vectors[it.peer],
                    [robust.Row(f"{k:02}", vectors[k], it.weights[k]) for k in it.honest],
                ).vector
                for it in places
            ]
        )
    assert torch.allclose(vectors.mean(dim=0), mean)
    least = 1.0 - net.spectral_gap()
    assert float((vectors - mean).norm()) <= least**steps * before + 1e-12


@pytest.mark.slow
def test_four_steps_lift_a_ring() -> None:
    accuracies = []
    for steps in (1, 4):
        config = RoundsConfig(
            partition=Dirichlet(alpha=0.3),
            topology="ring",
            rule="mean",
            integrator={"norm_cap_ratio": None},
            plan=Plan(step_rule=Sgd(learning_rate=0.1), steps_per_round=5, batch_size=16),
            rounds=10,
            gossip_steps=steps,
        )
        accuracies.append(fmean(run(config).accuracies.values()))
    once, four_times = accuracies
    assert four_times > once + 0.02


@pytest.mark.slow
def test_a_liar_that_lies_in_every_step_gains_nothing(make_config: MakeConfig) -> None:
    honest, attacked = (
        run(
            make_config(
                liars=liars, attack=attack, rule="nnm+trimmed-mean", gossip_steps=4, rounds=5
            )
        )
        for liars, attack in ((0, "none"), (2, "sign-flip"))
    )
    assert min(attacked.accuracies.values()) > fmean(honest.accuracies.values()) - 0.05


def test_every_step_sends_a_vector(make_config: MakeConfig) -> None:
    sent = [
        run(make_config(gossip_steps=steps, rounds=1, peers=3)).bytes_per_peer for steps in (1, 3)
    ]
    assert sent[1] == 3.0 * sent[0]
