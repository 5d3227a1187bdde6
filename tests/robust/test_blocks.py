"""Blocks cover every column once, and bound the memory of a pass."""

from itertools import pairwise

import pytest
import torch

from robust import blocks


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("shape", [(1,), (20, 5_000_000), (100_000,)])
def test_blocks_cover_all_columns_in_order(device: str, shape: tuple[int, ...]) -> None:
    vectors = torch.empty(shape[-1:], device=device).expand(shape)
    cut = list(blocks.column_blocks(vectors))
    assert cut[0].start == 0
    assert cut[-1].stop == shape[-1]
    assert all(left.stop == right.start for left, right in pairwise(cut))


def test_accelerators_get_few_large_blocks() -> None:
    vectors = torch.empty(20, 10_000_000, dtype=torch.bfloat16, device="meta")
    widest = max(cut.stop - cut.start for cut in blocks.column_blocks(vectors))
    assert widest > 100 * blocks.CPU_BLOCK_COLUMNS
    # Sums are in float32: four bytes an element.
    assert widest * 20 * 4 <= blocks.DEVICE_BLOCK_BYTES


def test_combining_skips_rows_without_a_coefficient() -> None:
    vectors = torch.tensor([[3e38], [1.0]])
    assert blocks.combine(vectors, [0.0, 2.0], [0, 1]).tolist() == [2.0]
