"""How much of each row is in a run of ranks: worked by hand, and by fractions."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from robust.sorted_runs import UNITS, Run, kept_values


def make_run(block: Tensor, start: int, length: int) -> Run:
    ranks = block.sort(dim=0).values
    return Run(start, length, ranks[start], ranks[start + length - 1])


def slow(block: Tensor, start: int, length: int) -> list[float]:
    """Give each value its share of the ranks that values equal to it take."""
    kept = [Fraction(0)] * len(block)
    for column in block.T.tolist():
        for row, value in enumerate(column):
            first, equal = sum(other < value for other in column), column.count(value)
            ranks = range(max(first, start), min(first + equal, start + length))
            kept[row] += Fraction(len(ranks), equal)
    return [float(number) for number in kept]


def test_equal_values_share_what_is_kept_of_them() -> None:
    # Ranks 1 and 2 of 0, 0, 0, 4: two of three zeros. And of 1, 2, 4, 4: the 2 and one 4 of two.
    block = torch.tensor([[0.0, 4.0], [0.0, 1.0], [4.0, 2.0], [0.0, 4.0]])
    kept = kept_values(block, make_run(block, 1, 2)).tolist()
    assert kept == pytest.approx([2 / 3 + 1 / 2, 2 / 3, 1.0, 2 / 3 + 1 / 2])
    # One start for each column: ranks 2 and 3 of the second, both fours.
    run = Run(torch.tensor([1, 2]), 2, torch.tensor([0.0, 4.0]), torch.tensor([0.0, 4.0]))
    kept = kept_values(block, run).tolist()
    assert kept == pytest.approx([2 / 3 + 1.0, 2 / 3, 0.0, 2 / 3 + 1.0])


@pytest.mark.parametrize("spread", [1, 3, 1000])
@pytest.mark.parametrize(("n", "start", "length"), [(1, 0, 1), (5, 1, 3), (8, 3, 2), (9, 0, 5)])
def test_shares_are_those_of_fractions(n: int, start: int, length: int, spread: int) -> None:
    generator = torch.Generator().manual_seed(n)
    block = torch.randint(spread, (n, 40), generator=generator).float()
    kept = kept_values(block, make_run(block, start, length))
    assert kept.tolist() == pytest.approx(slow(block, start, length), abs=40 / UNITS)


def test_sums_are_exact_in_any_order() -> None:
    block = torch.randint(3, (7, 999), generator=torch.Generator().manual_seed(0)).float()
    order = torch.randperm(999, generator=torch.Generator().manual_seed(1))
    kept = kept_values(block, make_run(block, 2, 3))
    assert not torch.equal(kept, kept.round())
    assert torch.equal(kept, kept_values(block[:, order], make_run(block[:, order], 2, 3)))
