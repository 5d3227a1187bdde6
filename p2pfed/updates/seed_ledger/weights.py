"""Weights from integers: initial values plus sums of directions, rounded once.

Everything before that rounding is exact, so it is all one in which order it is computed, by which
program, on which device: equal coefficients give equal bits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.seed_ledger import compiled
from p2pfed.updates.seed_ledger.basis import Basis, magnitude_sum
from p2pfed.updates.seed_ledger.sharing import share_blocks

_INT32_END = 2**31
_EXACT_END = 2**53  # whole numbers below this are float64


def materialize(
    start: Tensor,
    layers: Sequence[tuple[Basis, Tensor]],
    fraction_bits: int,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Compute `float32(float64(start) + 2^-q * sum of all layers)`.

    Args:
        start: Shape (d,), float32, any device.
        layers: A basis of that size and its coefficients, shape (K,), int64; one of each epoch.
        fraction_bits: q.
        out: Where to put the weights, like `start`, which it may be itself. To get new memory
            from the system takes as long as to fill it.

    Returns:
        Shape (d,), float32, on that device: `out`, or newly allocated.

    Raises:
        LocalError: If the magnitudes of all coefficients sum to 2^53 or more.
    """
    total = sum(magnitude_sum(coefficients) for _, coefficients in layers)
    if total >= _EXACT_END:
        raise LocalError(f"the coefficients' magnitudes sum to {total}, 2^53 or more")
    weights = torch.empty_like(start) if out is None else out
    if not layers:
        return weights.copy_(start)
    # int32 takes half the time; the sum cannot overflow, and so no partial sum can.
    dtype = torch.int32 if total < _INT32_END else torch.int64
    moved = [(basis, each.to(start.device, dtype)) for basis, each in layers]
    if not compiled.materialize(start, moved, fraction_bits, weights):
        _materialize_by_torch(start, moved, fraction_bits, weights)
    return weights


def _materialize_by_torch(
    start: Tensor, layers: Sequence[tuple[Basis, Tensor]], fraction_bits: int, weights: Tensor
) -> None:
    first = layers[0][0]
    count = first.direction_count

    def work(part: range) -> None:
        for blocks in first.chunks(part):
            sums = first.decode_chunk(layers[0][1], blocks)
            for basis, coefficients in layers[1:]:
                sums += basis.decode_chunk(coefficients, blocks)
            place = slice(blocks.start * count, min(blocks.stop * count, first.size))
            moves = torch.empty(sums.T.shape, dtype=torch.float64, device=start.device)
            values = moves.copy_(sums.T).view(-1)[: place.stop - place.start]
            values *= 2.0**-fraction_bits
            values += start[place]
            weights[place] = values  # the one rounding

    share_blocks(work, range(first.block_count), count, on_cpu=start.is_cpu)
