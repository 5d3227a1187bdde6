"""Passes over long vectors in blocks of columns.

A block's rows and temporaries stay in the processor's cache, and the extra memory of a pass is
bounded. Each element of a result goes through the same rounded operations wherever a block begins,
so results do not depend on the block size; norms, which sum over elements, only by rounding.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

# Measured, trimmed mean of 20 rows of 1e6 fp32 on one core: 106 ms at 4,096 columns, 65 at 8,192,
# 48 at 16,384, 44 at 32,768, 50 at 131,072. The second best halves the cache that it needs.
CPU_BLOCK_COLUMNS: Final = 16_384
# Elsewhere each operation costs a kernel launch: few large blocks, but a bound on their memory.
DEVICE_BLOCK_BYTES: Final = 256 * 2**20

_ACCUMULATORS: Final = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}


def is_supported(dtype: torch.dtype) -> bool:
    """Tell whether rules can compute on vectors of `dtype`."""
    return dtype in _ACCUMULATORS


def supported_names() -> str:
    """List the supported types for a message."""
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in _ACCUMULATORS)


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """Return the type to sum `dtype` in: the half-size types need a wider one."""
    return _ACCUMULATORS[dtype]


def column_blocks(vectors: Tensor) -> Iterator[slice]:
    """Cut the last dimension of (d,) or (n, d) into slices, in order."""
    dimension = vectors.shape[-1]
    row_count = vectors.shape[0] if vectors.ndim == 2 else 1
    columns = CPU_BLOCK_COLUMNS
    if not vectors.is_cpu:
        columns = max(
            columns, DEVICE_BLOCK_BYTES // (row_count * accumulator(vectors.dtype).itemsize)
        )
    for start in range(0, dimension, columns):
        yield slice(start, min(start + columns, dimension))


def distance(vector: Tensor, origin: Tensor | None = None) -> float:
    """Compute the Euclidean norm of `vector - origin` where its square may overflow.

    Each block is divided by its largest magnitude first, which keeps 1e38 in range without a
    wider type (which not every device has).

    Args:
        vector: Shape (d,), a supported floating type.
        origin: Shape (d,), same type and device; the zero vector if left out.

    Returns:
        The norm; infinite or NaN if `vector - origin` has such an entry.
    """
    wide = accumulator(vector.dtype)
    peaks, norms = [], []
    for columns in column_blocks(vector):
        part = vector[columns].to(wide)
        if origin is not None:
            part = part - origin[columns].to(wide)
        peak = part.abs().amax().clamp_min(torch.finfo(wide).tiny)
        peaks.append(peak)
        norms.append(torch.linalg.vector_norm(part / peak))
    scales, lengths = torch.stack((torch.stack(peaks), torch.stack(norms))).tolist()  # (2, blocks)
    return math.hypot(*(scale * length for scale, length in zip(scales, lengths, strict=True)))


def combine(
    vectors: Tensor,
    coefficients: Sequence[float],
    order: Sequence[int],
    center: Tensor | None = None,
) -> Tensor:
    """Sum c_j x_j over the rows, or center + c_j (x_j - center), in the given order.

    Rows with coefficient 0 are not read. Products are rounded before they are added: a fused
    multiply-add, which torch uses in some lanes only, would make results depend on block borders.

    Args:
        vectors: Shape (n, d).
        coefficients: n numbers.
        order: The row indices in the order of summation.
        center: Shape (d,), same type and device, or None for the zero vector.

    Returns:
        Shape (d,), dtype and device of `vectors`, newly allocated.
    """
    wide = accumulator(vectors.dtype)
    result = torch.empty_like(vectors[0])
    for columns in column_blocks(vectors):
        start = None if center is None else center[columns].to(wide)
        total = (
            torch.zeros_like(vectors[0, columns], dtype=wide) if start is None else start.clone()
        )
        for row in order:
            if coefficients[row] == 0.0:
                continue
            part = vectors[row, columns].to(wide)
            part = part if start is None else part - start
            total += part * coefficients[row]
        result[columns] = total.to(result.dtype)
    return result
