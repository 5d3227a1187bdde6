"""What attackers foresee of a peer's integration is what the peer then computes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import robust
import topologies
from sim.rounds import RoundsConfig, run
from sim.rounds.neighborhood import Neighborhood, neighborhoods
from sim.rounds.peer_round import PeerRound
from sim.rounds.pipeline import Pipeline, Post, make_pipeline

MakeConfig = Callable[..., RoundsConfig]

NAMES = [b"f", b"e", b"d", b"c", b"b", b"a"]  # the last is first by name
LIARS = (1, 4)


def center_of_a_star() -> Neighborhood:
    star = topologies.create("star", nodes=6)
    places = neighborhoods(star, LIARS, example_counts=[10] * 6, mixing="metropolis")
    return places[0]


def make_round(pipeline: Pipeline, mass_caps: dict[int, float] | None = None) -> PeerRound:
    return PeerRound(
        pipeline=pipeline,
        place=center_of_a_star(),
        names=NAMES,
        mass_caps=mass_caps or {},
        round=3,
        progress=0.5,
    )


def test_liars_know_the_targets_answer() -> None:
    integrator = robust.Integrator("mean", norm_cap_ratio=None)
    answer = make_round(integrator).answer
    # Own, honest 2, 3, 5, liars 1, 4: each weighs 1/6.
    rows = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(answer(rows), rows.mean(dim=0))
    assert torch.allclose(answer(rows[:3]), rows[:3].mean(dim=0))
    capped = make_round(integrator, {1: 0.0, 4: 0.0}).answer
    assert torch.allclose(capped(rows), (3 * rows[0] + rows[1:4].sum(dim=0)) / 6)


@pytest.mark.parametrize("rule", ["mean", "krum", "bucketing+median", "nnm+trimmed-mean"])
def test_answer_to_the_rows_that_arrive_is_what_the_peer_computes(rule: str) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(6, 33, generator=generator)
    rows[[3, 5]] = rows[[2, 4]]  # ties
    integrator = robust.Integrator(rule, beta_max=0.2, seed=7, norm_cap_ratio=None)
    peer_round = make_round(integrator, {1: 0.1, 5: 0.9})
    received = {2: rows[1], 3: rows[2], 5: rows[3], 1: rows[4], 4: rows[5]}
    assert torch.equal(peer_round.answer(rows), peer_round.integrate(rows[0], received).vector)


Call = tuple[list[bytes], Tensor]


class Recorder:
    """The integrator of real peers, and all that it was called with: sorted rows and results."""

    def __init__(self, post: Post, calls: dict[tuple[int, int], list[Call]]) -> None:
        self.post, self.calls, self.pipeline = post, calls, make_pipeline(post)

    def integrate(
        self, own: Tensor, rows: Sequence[robust.Row], *, round: int, **others: Any
    ) -> robust.Integration:
        integration = self.pipeline.integrate(own, rows, round=round, **others)
        read = sorted(vector.numpy().tobytes() for vector in [own, *(row.vector for row in rows)])
        self.calls.setdefault((self.post.index, round), []).append((read, integration.vector))
        return integration


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "reputation"),
    [
        ("mean", None),
        ("bucketing+median", None),
        ("multi-krum", None),
        ("trimmed-mean", robust.ReputationPolicy()),
    ],
)
def test_attack_foresees_a_run_to_the_last_bit(
    make_config: MakeConfig, rule: str, reputation: robust.ReputationPolicy | None
) -> None:
    calls: dict[tuple[int, int], list[Call]] = {}
    config = make_config(
        rule=rule,
        reputation=reputation,
        liars=2,
        attack="adaptive-blend+inner-product",  # all liars of a target send it one row
        attack_params={"evaluations": 3},
        rounds=2,
        integrator={"beta_max": 0.2},
    )
    run(config, pipeline=lambda post: Recorder(post, calls))
    assert len(calls) == 2 * 8  # rounds, honest peers
    for *asked, (read, computed) in calls.values():
        foreseen = [vector for asked_rows, vector in asked if asked_rows == read]
        assert foreseen  # the blend that is sent is one that was tried
        assert all(torch.equal(vector, computed) for vector in foreseen)
