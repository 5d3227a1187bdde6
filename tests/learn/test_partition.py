"""Shares of rows: repeatable, and skewed, disjoint or drawn as each rule says."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from p2pfed.errors import ConfigError
from p2pfed.learn.partition import (
    PARTITIONS,
    Bootstrap,
    Dirichlet,
    DisjointRule,
    Iid,
    Natural,
    PartitionRule,
    Shards,
    create_partition,
)

DISJOINT = [
    Iid(),
    Iid(examples_min=0),
    Dirichlet(alpha=0.05, examples_min=3),
    Dirichlet(alpha=100.0),
    Dirichlet(alpha=1e-300, examples_min=0),
    Shards(),
    Shards(shards_per_peer=1, examples_min=2),
    Natural(),
    Natural(examples_min=5),
]


def make_labels(count: int, classes: int = 4) -> Tensor:
    return (torch.arange(count) * 7919) % 1000 % classes


@pytest.mark.parametrize("rule", DISJOINT, ids=repr)
@given(count=st.integers(1, 9), rows=st.integers(110, 200), seed=st.integers(0, 2**64 - 1))
def test_every_row_goes_to_exactly_one_peer(
    rule: DisjointRule, count: int, rows: int, seed: int
) -> None:
    labels, groups = make_labels(rows), torch.arange(rows) // 3
    shares = rule.split(labels, groups, seed=seed, count=count)
    assert len(shares) == count
    assert torch.equal(torch.cat(shares).sort().values, torch.arange(rows))
    assert all(len(share) >= rule.examples_min for share in shares)
    assert all(torch.equal(share, share.sort().values) for share in shares)
    again = rule.split(labels.clone(), groups, seed=seed, count=count)
    assert all(torch.equal(a, b) for a, b in zip(shares, again, strict=True))


@pytest.mark.parametrize("rule", [Iid(), Dirichlet(), Shards(), Bootstrap()], ids=repr)
def test_the_seed_decides(rule: PartitionRule) -> None:
    labels = make_labels(200)
    shares = [rule.split(labels, seed=seed, count=3)[0].tolist() for seed in (0, 1)]
    assert shares[0] != shares[1]


def test_drawn_rows_are_of_all_rows_and_come_again() -> None:
    shares = Bootstrap(examples=40).split(make_labels(30), seed=0, count=25)
    assert [len(share) for share in shares] == [40] * 25
    assert torch.cat(shares).unique().tolist() == list(range(30))
    assert all(torch.equal(share, share.sort().values) for share in shares)
    assert len({tuple(share.tolist()) for share in shares}) == 25
    again = Bootstrap(examples=40).split(make_labels(30), seed=0, count=25)
    assert all(torch.equal(a, b) for a, b in zip(shares, again, strict=True))


def test_there_is_nothing_to_draw_from_no_rows() -> None:
    with pytest.raises(ConfigError, match="partition"):
        Bootstrap().split(make_labels(0), seed=0, count=2)


def test_iid_shares_are_equal() -> None:
    sizes = [len(share) for share in Iid().split(make_labels(103), seed=0, count=4)]
    assert sorted(sizes) == [25, 26, 26, 26]


def test_alpha_sets_the_skew() -> None:
    labels = make_labels(4000)

    def largest_label_share(alpha: float) -> float:
        rule = Dirichlet(alpha=alpha, examples_min=1)
        shares = rule.split(labels, seed=0, count=8)
        return sum(
            float(torch.bincount(labels[share]).max()) / len(share) for share in shares
        ) / len(shares)

    assert largest_label_share(0.05) > 0.7
    assert largest_label_share(1000.0) < 0.3


def test_shards_limit_the_labels_of_a_peer() -> None:
    labels = make_labels(800)
    for share in Shards(shards_per_peer=2).split(labels, seed=0, count=8):
        assert len(labels[share].unique()) <= 3  # two shards, one of which may hold a border


def test_groups_stay_whole_and_sizes_even() -> None:
    groups = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    shares = Natural().split(torch.zeros(100, dtype=torch.long), groups, seed=0, count=2)
    assert sorted(sorted(groups[share].unique().tolist()) for share in shares) == [[0], [1, 2]]


def test_the_richest_give_to_the_poor() -> None:
    labels = torch.zeros(100, dtype=torch.long)
    sizes = [
        len(share)
        for share in Dirichlet(alpha=0.01, examples_min=20).split(labels, seed=0, count=4)
    ]
    assert sorted(sizes)[:3] == [20, 20, 20]


def test_every_rule_is_in_the_table() -> None:
    assert {type(rule) for rule in [*DISJOINT, Bootstrap()]} == set(PARTITIONS.values())
    assert all(made.name == name for name, made in PARTITIONS.items())
    assert create_partition("dirichlet", alpha=1) == Dirichlet(alpha=1)
    assert create_partition(Iid()) == Iid()


@pytest.mark.parametrize(
    ("name", "constants", "field"),
    [
        ("random", {}, "partition"),
        ("dirichlet", {"alpha": 0}, "partition.alpha"),
        ("dirichlet", {"beta": 1}, "partition.beta"),
        ("shards", {"shards_per_peer": 0}, "partition.shards_per_peer"),
        ("iid", {"examples_min": -1}, "partition.examples_min"),
        ("bootstrap", {"examples": 0}, "partition.examples"),
    ],
)
def test_mistakes_are_named(name: str, constants: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_partition(name, **constants)
    assert caught.value.field == field


def test_too_many_peers_and_missing_groups_are_named() -> None:
    with pytest.raises(ConfigError, match="fewer peers"):
        Iid().split(make_labels(3), seed=0, count=4)
    with pytest.raises(ConfigError, match="fewer than 100"):
        Dirichlet(examples_min=50).split(make_labels(99), seed=0, count=2)
    with pytest.raises(ConfigError, match="no groups"):
        Natural().split(make_labels(10), seed=0, count=2)
