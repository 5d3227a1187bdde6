"""Attacks on votes about rankings, and on what liars train on."""

from typing import Any

import pytest
import torch
from torch import Tensor

from p2pfed.errors import LocalError
from sim.adversaries.attacks import create_attack, create_data_attack
from sim.adversaries.attacks.data import Backdoor, corner
from sim.adversaries.attacks.ranks import vote

RANKS = torch.tensor([[5, 3, 0, 4, 2, 1], [4, 5, 0, 2, 1, 3], [1, 5, 0, 3, 2, 4]])


def test_the_vote_that_is_attacked() -> None:
    # Sums 10, 13, 0, 9, 5, 8: from least to most 2, 4, 5, 3, 0, 1.
    assert vote(RANKS).tolist() == [4, 5, 0, 3, 1, 2]
    # Ties by number: sums 1, 1.
    assert vote(torch.tensor([[0, 1], [1, 0]])).tolist() == [0, 1]


def test_rank_attacks_worked_by_hand(make_view: Any) -> None:
    view = make_view(RANKS, dtype=torch.int64)
    assert create_attack("reverse-rank")(view).tolist() == [1, 0, 5, 2, 4, 3]
    assert create_attack("half-swap")(view).tolist() == [1, 2, 3, 0, 4, 5]
    assert create_attack("half-swap-reverse")(view).tolist() == [4, 3, 2, 5, 1, 0]
    # Elected order 2, 4, 5 | 3, 0, 1; one on each side of the border changes ends: 3 is worst,
    # 5 is best: 3, 2, 4, 0, 1, 5.
    lie = create_attack("edge-control", width_ratio=0.17)(view)
    assert lie.tolist() == [3, 4, 1, 0, 2, 5]
    # No width, no attack.
    honest = create_attack("edge-control", width_ratio=0.0)(view)
    assert torch.equal(honest, vote(RANKS))


def kept(rankings: Tensor) -> set[int]:
    """Return the better half of the weights by a Borda vote."""
    elected = vote(rankings)
    return set((elected >= elected.shape[0] // 2).nonzero().flatten().tolist())


def test_half_swap_does_more_harm_than_reversing(make_view: Any) -> None:
    # 16 honest votes near one order, 4 lies; the share of kept weights that are still kept.
    generator = torch.Generator().manual_seed(0)
    base = torch.linspace(-1.0, 1.0, 2000)
    scores = [base + 0.6 * torch.randn(2000, generator=generator) for _ in range(16)]
    honest = torch.stack([score.argsort().argsort() for score in scores])
    view = make_view(honest, dtype=torch.int64, byzantine_count=4)
    overlap = {}
    for name in ("reverse-rank", "half-swap", "edge-control"):
        lies = create_attack(name)(view).expand(4, -1)
        overlap[name] = len(kept(honest) & kept(torch.cat([honest, lies]))) / 1000
    assert overlap["reverse-rank"] > 0.99
    assert overlap["half-swap"] < 0.9
    assert overlap["edge-control"] < 0.95


def test_reversed_halves_hide_best_and_harm_least(make_view: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.linspace(-1.0, 1.0, 2000)
    scores = [base + 0.6 * torch.randn(2000, generator=generator) for _ in range(16)]
    honest = torch.stack([score.argsort().argsort() for score in scores])
    view = make_view(honest, dtype=torch.int64, byzantine_count=4)
    lies = {name: create_attack(name)(view) for name in ("reverse-rank", "half-swap")}
    lie = create_attack("half-swap-reverse")(view)
    assert kept(torch.cat([honest, lie.expand(4, -1)])) == kept(honest)
    near = (lie - honest).double().norm(dim=1).mean()
    assert all(near < 0.8 * (it - honest).double().norm(dim=1).mean() for it in lies.values())


def test_vectors_are_no_rankings(make_view: Any) -> None:
    with pytest.raises(LocalError, match="float64"):
        create_attack("reverse-rank")(make_view([[0.5, 1.0]]))


def test_labels() -> None:
    inputs, labels = torch.zeros(4, 2), torch.tensor([0, 1, 2, 3])
    for name, params, expected in (
        ("mirror-labels", {"class_count": 4}, [3, 2, 1, 0]),
        ("shift-labels", {"class_count": 4}, [1, 2, 3, 0]),
        ("swap-labels", {"first": 0, "second": 3}, [3, 1, 2, 0]),
        ("relabel", {"source": 1, "target": 3}, [0, 3, 2, 3]),
    ):
        same, relabeled = create_data_attack(name, **params)(inputs, labels)
        assert relabeled.tolist() == expected
        assert torch.equal(same, inputs)


def test_corner() -> None:
    assert corner(3, 4, 2) == (6, 7, 10, 11)


@pytest.mark.parametrize("shape", [(10, 16), (10, 4, 4), (10, 1, 4, 4)])
def test_backdoor_stamps_its_share(shape: tuple[int, ...]) -> None:
    inputs, labels = torch.zeros(shape), torch.full((10,), 5)
    attack = Backdoor(positions=corner(4, 4, 2), target=2, value=9.0)
    poisoned, relabeled = attack(inputs, labels)
    assert poisoned.shape == shape
    is_hit = relabeled == 2
    assert int(is_hit.sum()) == 3
    sums = poisoned.reshape(10, -1).sum(dim=1)
    assert torch.equal(sums, torch.where(is_hit, 36.0, 0.0))
    assert attack.stamped(inputs).reshape(10, 4, 4)[:, 2:, 2:].eq(9.0).all()
    assert attack.stamped(inputs).sum() == 360.0
    assert not inputs.any()


def test_backdoor_bears_whole_numbers_and_refuses_short_examples() -> None:
    tokens = torch.arange(6).reshape(2, 3)
    poisoned, labels = Backdoor(positions=[0], value=7, ratio=1.0)(tokens, torch.tensor([1, 1]))
    assert poisoned.tolist() == [[7, 1, 2], [7, 4, 5]]
    assert labels.tolist() == [0, 0]
    with pytest.raises(LocalError, match="position 3"):
        Backdoor(positions=[3])(tokens, torch.tensor([1, 1]))
