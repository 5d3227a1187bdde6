"""FLoRA's stacking is exact for any ranks, and compaction is the best of its rank."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from p2pfed.errors import LocalError
from p2pfed.updates.codecs import Float32
from p2pfed.updates.stacking import LowRankChange, closest, compact, stack

RANKS = (2, 4, 8)
WEIGHTS = (0.5, 0.2, 0.3)


def draw(rank: int, *, rows: int = 12, columns: int = 10, seed: int = 0) -> LowRankChange:
    generator = torch.Generator().manual_seed(100 * seed + rank)
    return LowRankChange(
        torch.randn(rows, rank, generator=generator),
        torch.randn(rank, columns, generator=generator),
    )


def best_of_rank(matrix: torch.Tensor, rank: int) -> torch.Tensor:
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


def test_worked_stack() -> None:
    one = LowRankChange(torch.tensor([[1.0], [0.0]]), torch.tensor([[2.0, 0.0]]))
    two = LowRankChange(torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0, 1.0]]))
    assert stack([one, two], [0.5, 2.0]).product().tolist() == [[1.0, 0.0], [6.0, 6.0]]


def test_stacking_different_ranks_is_exact() -> None:
    changes = [draw(rank) for rank in RANKS]
    stacked = stack(changes, WEIGHTS)
    assert stacked.rank == sum(RANKS)
    wanted = sum(
        weight * it.product().double() for weight, it in zip(WEIGHTS, changes, strict=True)
    )
    torch.testing.assert_close(stacked.product().double(), wanted, atol=1e-6, rtol=1e-6)


def test_averaging_padded_factors_is_not() -> None:
    changes = [draw(rank) for rank in RANKS]
    left, right = torch.zeros(12, 8), torch.zeros(8, 10)
    for weight, change in zip(WEIGHTS, changes, strict=True):
        left[:, : change.rank] += weight * change.left
        right[: change.rank] += weight * change.right
    error = (left @ right - stack(changes, WEIGHTS).product()).norm()
    assert float(error) > 1.0


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(1, 12))
def test_compaction_is_the_truncated_decomposition(
    rows: int, columns: int, rank: int, kept: int
) -> None:
    change = draw(rank, rows=rows, columns=columns)
    compacted = compact(change, kept)
    assert compacted.rank == min(rows, columns, rank, kept)
    found, best = compacted.product().double(), best_of_rank(change.product(), kept)
    torch.testing.assert_close(found, best, atol=1e-4, rtol=1e-4)


def test_compaction_of_a_stack_keeps_what_has_that_rank() -> None:
    change = draw(3)
    doubled = stack([change, change], [0.5, 0.5])
    torch.testing.assert_close(
        compact(doubled, 3).product(), change.product(), atol=1e-5, rtol=1e-5
    )


def test_a_message_costs_its_own_rank_times_both_sides() -> None:
    for rank in RANKS:
        change = draw(rank)
        sent = torch.cat((change.left.reshape(-1), change.right.reshape(-1)))
        assert len(Float32().encode(sent)) == 4 * rank * (12 + 10)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: stack([], []), "0 changes"),
        (lambda: stack([draw(2)], [0.5, 0.5]), "2 weights"),
        (lambda: stack([draw(2), draw(2, rows=3)], [0.5, 0.5]), "one size"),
        (lambda: compact(draw(2), 0), "at least rank 1"),
        (lambda: LowRankChange(torch.ones(3, 2), torch.ones(3, 2)), "expected"),
        (lambda: LowRankChange(torch.ones(3), torch.ones(3, 2)), "expected"),
    ],
)
def test_mistakes_are_named(made: Callable[[], object], words: str) -> None:
    with pytest.raises(LocalError, match=words):
        made()


@pytest.mark.parametrize("shape", [(6, 90), (90, 70), (5, 1)])
def test_the_closest_change_is_that_of_the_largest_singular_values(
    shape: tuple[int, int],
) -> None:
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randn(shape, generator=generator) @ torch.diag(
        0.5 ** torch.arange(shape[1], dtype=torch.float32)
    )
    rank = min(4, *shape)
    values = torch.linalg.svdvals(matrix.double())
    error = (matrix.double() - closest(matrix, rank).product()).norm()
    assert float(error) <= 1.001 * float(values[rank:].norm()) + 1e-12


def test_a_matrix_of_low_rank_is_found_exactly() -> None:
    wide = torch.ones(300, 1, dtype=torch.float64) @ torch.arange(200.0).double()[None, :]
    torch.testing.assert_close(closest(wide, 1).product(), wide)
