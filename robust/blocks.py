"""Passes over long vectors in blocks of columns.

A block's rows and temporaries stay in the processor's cache, and the extra memory of a pass is
bounded. Each element of a result goes through the same rounded operations wherever a block begins,
so results do not depend on the block size; norms, which sum over elements, only by rounding.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeGuard

import torch
from torch import Tensor

from robust.errors import InputError

# Measured, trimmed mean of 20 rows of 1e6 fp32 on one core: 106 ms at 4,096 columns, 65 at 8,192,
# 48 at 16,384, 44 at 32,768, 50 at 131,072. The second best halves the cache that it needs.
CPU_BLOCK_COLUMNS: Final = 16_384
# A pass that does little per value waits for memory, not for the cache, and each operation costs
# a start: wider blocks, up to this many times. Measured, sum of 20 rows of 1e7 fp32 on one core: 80
# ms at 16,384 columns, 51 at 131,072, 46 at 262,144, 43 at 1,048,576; to read them once takes 29.
STREAM_BLOCKS_MAX: Final = 32
# What such a pass may hold at a time: for the products of 20 rows of fp32, 4 blocks of columns. By
# the same measurement 301 ms with 1.4 MiB, 257 with 6, 264 with 12, 311 with 24.
STREAM_BYTES: Final = 6 * 2**20
# Where torch lets what it allocates begin.
_LINE_BYTES: Final = 64
# Elsewhere each operation costs a kernel launch: few large blocks, but a bound on their memory.
DEVICE_BLOCK_BYTES: Final = 256 * 2**20

# A sum of squares that is this many times the smallest number has lost no digits to smaller ones.
_SQUARE_MARGIN: Final = 1e13

_ACCUMULATORS: Final = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}


def is_supported(dtype: torch.dtype) -> bool:
    """Tell whether rules can compute on vectors of `dtype`."""
    return dtype in _ACCUMULATORS


def is_dense(value: object) -> TypeGuard[Tensor]:
    """Tell whether a value is a tensor with entries in memory that a pass over columns can read.

    Sparse, nested, quantized and MKL-DNN tensors and those of the device "meta" are not.
    """
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not (value.is_nested or value.is_meta or value.is_quantized)
    )


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
        columns = max(columns, DEVICE_BLOCK_BYTES // (row_count * max(4, vectors.dtype.itemsize)))
    for start in range(0, dimension, columns):
        yield slice(start, min(start + columns, dimension))


def stream_blocks(vectors: Tensor, *, held_rows: int) -> Iterator[slice]:
    """Cut the last dimension as `column_blocks`, for passes that do little per value.

    Args:
        vectors: Shape (d,) or (n, d).
        held_rows: How many rows of a block, in the type that is summed in, the pass holds.
    """
    if not vectors.is_cpu:
        yield from column_blocks(vectors)
        return
    bytes_per_column = held_rows * max(4, vectors.dtype.itemsize)
    count = min(max(STREAM_BYTES // (bytes_per_column * CPU_BLOCK_COLUMNS), 1), STREAM_BLOCKS_MAX)
    columns = count * CPU_BLOCK_COLUMNS
    for start in range(0, vectors.shape[-1], columns):
        yield slice(start, min(start + columns, vectors.shape[-1]))


def write_unsigned_zeros(values: Tensor, into: Tensor) -> None:
    """Copy values, of -0.0 as 0.0.

    Sorting takes the two for equal, so that the order of the rows decides which of them is where.
    The least values of a wide type may become -0.0 in a short one: of them, no order decides.

    Args:
        values: Any shape.
        into: The same shape; of another type if need be.
    """
    torch.add(values, 0.0, out=into)


def is_finite(vectors: Tensor) -> bool:
    """Tell whether there is neither NaN nor infinity in a tensor of shape (d,) or (n, d)."""
    wide = accumulator(vectors.dtype)
    for columns in stream_blocks(vectors, held_rows=len(vectors) if vectors.ndim == 2 else 1):
        part = vectors[..., columns]
        # Either of them makes the sum one of them. So does a sum that overflows: then look closer.
        if not math.isfinite(float(part.sum(dtype=wide))):
            extremes = torch.stack(torch.aminmax(part))
            if not bool(torch.isfinite(extremes).all()):
                return False
    return True


def check_finite(vectors: Tensor, name: str, *, first_column: int = 0) -> None:
    """Raise InputError unless `is_finite`; columns are numbered from `first_column`."""
    if not is_finite(vectors):
        where = _first_wild(vectors, first_column)
        raise InputError(f"{name}: NaN or infinity, {where}; robust.Integrator rejects such rows")


def _first_wild(vectors: Tensor, first_column: int) -> str:
    """Say where NaN or infinity stands first, in a tensor that has one."""
    for number, row in enumerate(vectors if vectors.ndim == 2 else vectors[None]):
        wild = (~torch.isfinite(row)).nonzero()
        if len(wild):
            column = first_column + int(wild[0])
            place = f"row {number}, column {column}" if vectors.ndim == 2 else f"place {column}"
            return f"{float(row[int(wild[0])])} in {place}"
    raise AssertionError("all values are finite")


def distance(vector: Tensor, origin: Tensor | None = None) -> float:
    """Compute the Euclidean norm of `vector - origin` where its square may overflow.

    A block whose squares are out of range is divided by its largest magnitude first, which keeps
    1e38 in range without a wider type (which not every device has).

    Args:
        vector: Shape (d,), a supported floating type.
        origin: Shape (d,), same type and device; the zero vector if left out.

    Returns:
        The norm; infinite or NaN if one of the two has such an entry, and infinite where both are
        finite and their difference is beyond the range of its type.
    """
    wide = accumulator(vector.dtype)
    tiny = torch.finfo(wide).tiny
    lengths = []
    for columns in stream_blocks(vector, held_rows=2):
        part = vector[columns].to(wide)
        if origin is not None:
            part = part - origin[columns].to(wide)
        elif part.data_ptr() % _LINE_BYTES:
            # Sums round by where they begin in memory; equal rows are to be equally long.
            part = part.clone()
        square = float(torch.dot(part, part))
        if tiny * _SQUARE_MARGIN <= square < math.inf:
            lengths.append(math.sqrt(square))
            continue
        peak = part.abs().amax().clamp_min(tiny)
        if not bool(torch.isfinite(peak)):
            return float(peak)  # divided by itself, infinity is NaN, which sorts nowhere
        lengths.append(float(peak) * float(torch.linalg.vector_norm(part / peak)))
    return math.hypot(*lengths)


def combine(
    vectors: Tensor,
    coefficients: Sequence[float],
    order: Sequence[int],
    center: Tensor | None = None,
    center_share: float = 1.0,
) -> Tensor:
    """Sum c_j x_j over the rows, or s center + c_j (x_j - center), in the given order.

    Rows with coefficient 0 are not read. Products are rounded before they are added: a fused
    multiply-add, which torch uses in some lanes only, would make results depend on block borders.

    Args:
        vectors: Shape (n, d).
        coefficients: n numbers.
        order: The row indices in the order of summation.
        center: Shape (d,), same type and device, or None for the zero vector.
        center_share: The s, other than 1 if what the rows lack is not the center's.

    Returns:
        Shape (d,), dtype and device of `vectors`, newly allocated.

    Raises:
        InputError: If the result is not finite because a vector is not.
    """
    shares = {row: coefficients[row] for row in order if coefficients[row] != 0.0}
    values = set(shares.values())
    common = values.pop() if len(values) == 1 else None
    result = _combined(vectors, shares, common, center, center_share)
    if is_finite(result):
        return result
    check_finite(vectors, "vectors")
    if common is None:
        return result
    # A sum may leave the range of its type where the mean does not.
    scaled = _combined(vectors, shares, None, center, center_share)
    return torch.where(result.isfinite(), result, scaled)


def _combined(
    vectors: Tensor,
    shares: Mapping[int, float],
    common: float | None,
    center: Tensor | None,
    center_share: float,
) -> Tensor:
    """Sum as `combine` does; if all shares are a `common` one, it multiplies the sum at its end."""
    wide = accumulator(vectors.dtype)
    result = torch.empty_like(vectors[0])
    for columns in stream_blocks(vectors, held_rows=3):
        start = None if center is None else center[columns].to(wide)
        total = result[columns].to(wide)  # a view, where the types agree
        spare = torch.empty_like(total)
        if not shares:
            total.zero_()
        for place, (row, share) in enumerate(shares.items()):
            term, target = vectors[row, columns].to(wide), spare if place else total
            if start is not None:
                term = torch.sub(term, start, out=target)
            if common is None:
                term = torch.mul(term, share, out=target)
            if place:
                total += term
            elif term is not total:
                total.copy_(term)
        if common not in (None, 1.0):
            total *= common
        if start is not None:
            total += start if center_share == 1.0 else start * center_share
        result[columns] = total
    return result
