"""Bucketing: what a bucket is, who chooses it, and what is left of the liars' share."""

import pytest
import torch
from torch import Tensor

import robust
from robust.inputs import check_inputs
from robust.pre_aggregation.bucketing import Bucketing


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def buckets(step: Bucketing, row_count: int, keys: list[str] | None = None) -> list[set[int]]:
    inputs = check_inputs(torch.zeros(row_count, 1), own=None, weights=None, keys=keys, gram=None)
    return [set(row.nonzero().flatten().tolist()) for row in step.mixing(inputs)]


def test_each_bucket_is_the_mean_of_its_rows() -> None:
    # Seed 0 shuffles 0..4 to 2, 1, 0, 4, 3: buckets {2, 1}, {0, 4} and {3}, of the values 4, 2, 1,
    # 16, 8: 3, 8.5, 8. Their median is 8 and their mean 6.5.
    vectors = torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0]])
    step = Bucketing(byzantine_count=1, seed=0)
    assert buckets(step, 5) == [{1, 2}, {0, 4}, {3}]
    median = robust.create("bucketing+median", byzantine_count=1, seed=0).aggregate(vectors)
    assert median.vector.tolist() == [8.0]
    assert median.coefficients.tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]
    mean = robust.create("bucketing+mean", byzantine_count=1, seed=0).aggregate(vectors)
    assert mean.vector.tolist() == pytest.approx([6.5])
    sixth = 1 / 6
    assert mean.coefficients.tolist() == pytest.approx([sixth, sixth, sixth, 1 / 3, sixth])


@pytest.mark.parametrize(("n", "size"), [(1, 2), (6, 2), (7, 2), (7, 3), (9, 4), (5, 8)])
def test_every_row_is_in_one_bucket(n: int, size: int) -> None:
    found = buckets(Bucketing(byzantine_count=0, seed=3, bucket_size=size), n)
    assert len(found) == -(-n // size)
    assert sorted(row for bucket in found for row in bucket) == list(range(n))
    assert {len(bucket) for bucket in found[:-1]} <= {size}


def test_seed_decides_and_nothing_else() -> None:
    partitions = [buckets(Bucketing(byzantine_count=0, seed=seed), 10) for seed in range(8)]
    assert all(partition in partitions for partition in partitions)
    assert len({str(partition) for partition in partitions}) == 8
    again = buckets(Bucketing(byzantine_count=0, seed=2**200), 10)
    assert again == buckets(Bucketing(byzantine_count=0, seed=2**200), 10)


def test_buckets_are_those_of_the_keys_and_not_of_the_order() -> None:
    keys = [f"peer {row}" for row in range(9)]
    order = [4, 8, 0, 3, 7, 1, 2, 6, 5]
    step = Bucketing(byzantine_count=0, seed=11)
    shuffled = buckets(step, 9, [keys[row] for row in order])
    assert [{order[row] for row in bucket} for bucket in shuffled] == buckets(step, 9, keys)


def test_buckets_of_one_row_change_nothing() -> None:
    vectors, keys = make_vectors(7, 20), [5, 2, 6, 1, 0, 4, 3]
    weights = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    behind = robust.create("bucketing+mean", byzantine_count=2, seed=1, bucket_size=1)
    result = behind.aggregate(vectors, weights=weights, keys=keys)
    plain = robust.create("mean").aggregate(vectors, weights=weights, keys=keys)
    torch.testing.assert_close(result.vector, plain.vector)
    torch.testing.assert_close(result.coefficients, plain.coefficients)


def test_a_bucket_weighs_the_mean_of_its_rows() -> None:
    # Buckets {1, 2}, {0, 4} and {3} as above, of weights 2 and 4, 1 and 7, 10: 3, 4 and 10 of 17.
    rule = robust.create("bucketing+mean", byzantine_count=0, seed=0)
    result = rule.aggregate(torch.eye(5), weights=[1.0, 2.0, 4.0, 10.0, 7.0])
    expected = [2 / 17, 1.5 / 17, 1.5 / 17, 10 / 17, 2 / 17]
    assert result.coefficients.tolist() == pytest.approx(expected)


def test_liars_spoil_a_bucket_each_and_no_more() -> None:
    for seed in range(10):
        vectors = make_vectors(20, 6, seed)
        vectors[17:] = 1e6
        rule = robust.create("bucketing+trimmed-mean", byzantine_count=3, seed=seed)
        assert float(rule(vectors).abs().max()) < 5.0
    # Of 10 buckets of 20 rows, 5 liars may spoil half.
    broken = []
    for seed in range(10):
        vectors = make_vectors(20, 6, seed)
        vectors[15:] = 1e6
        rule = robust.create("bucketing+trimmed-mean", byzantine_count=3, seed=seed)
        broken.append(float(rule(vectors).abs().max()) > 1e4)
    assert any(broken)


def test_too_few_buckets_are_refused() -> None:
    rule = robust.create("bucketing+median", byzantine_count=2, seed=0)
    rule(make_vectors(9, 3))
    with pytest.raises(robust.InfeasibleError, match=r"Bucketing.*=2 needs 9 rows, got 8"):
        rule(make_vectors(8, 3))


def test_seed_has_to_be_given() -> None:
    with pytest.raises(robust.RuleError, match=r"missing \['seed'\]"):
        robust.create("bucketing+median", byzantine_count=1)


@pytest.mark.parametrize("seed", [-1, 1.0, True, "1", None])
def test_wrong_seed_is_refused(seed: object) -> None:
    with pytest.raises(robust.RuleError, match="seed"):
        robust.create("bucketing+median", byzantine_count=1, seed=seed)


def test_buckets_of_one_row_keep_the_order_of_the_rows() -> None:
    step = Bucketing(byzantine_count=0, seed=3, bucket_size=1)
    assert buckets(step, 7) == [{row} for row in range(7)]


@pytest.mark.parametrize("size", [0, -2, 2.0, True])
def test_wrong_bucket_size_is_refused(size: object) -> None:
    with pytest.raises(robust.RuleError, match="bucket_size"):
        robust.create("bucketing+median", byzantine_count=1, seed=0, bucket_size=size)
