"""The network sorts: proven for small counts, compared with torch for larger ones."""

from itertools import product

import pytest
import torch

from robust.sorting_network import comparators, sort_middle


@pytest.mark.parametrize("n", range(1, 10))
def test_every_sequence_of_zeros_and_ones_is_sorted(n: int) -> None:
    # A network that sorts all of these sorts everything (Knuth 1998, section 5.3.4, theorem Z).
    columns = torch.tensor(list(product([0.0, 1.0], repeat=n))).T.contiguous()  # (n, 2^n)
    expected = columns.sort(dim=0).values
    for cut in range((n - 1) // 2 + 1):
        middle = torch.stack(sort_middle(columns.clone(), cut))
        assert torch.equal(middle, expected[cut : n - cut])


@pytest.mark.parametrize("n", [16, 17, 31, 50, 100])
def test_larger_counts_are_sorted(n: int) -> None:
    columns = torch.randn(n, 50, generator=torch.Generator().manual_seed(n))
    middle = torch.stack(sort_middle(columns.clone(), n // 4))
    assert torch.equal(middle, columns.sort(dim=0).values[n // 4 : n - n // 4])


def test_comparators_that_no_middle_rank_needs_are_left_out() -> None:
    assert len(comparators(8, 0)) == 19  # Batcher's count for 8
    assert len(comparators(9, 4)) < len(comparators(9, 0))
    assert comparators(1, 0) == ()
