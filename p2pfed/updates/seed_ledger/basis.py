"""The basis srht-rad-v1: K directions of random signs, all of them at once by one transform.

A vector of d values is cut into blocks of K. In block b, direction k is
`z_k[i] = D_b[i] * (-1)^popcount(i & k) * S_b[k]`, with signs D_b and S_b from `sign_bits`. Each
direction alone looks like independent random signs; two of them are exactly orthogonal if d is a
multiple of K. A sum of all K directions costs a Walsh-Hadamard transform per block, d log2(K)
additions of integers instead of d K.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.seed_ledger.sharing import share_blocks
from p2pfed.updates.seed_ledger.sign_bits import (
    WORD_BITS,
    mix64,
    sign_mask_at,
    sign_masks,
    signed64,
)

NAME: Final = "srht-rad-v1"
DIRECTIONS_MIN: Final = WORD_BITS
DIRECTIONS_MAX: Final = 2**14  # 64 KiB of int32: one block still fits a core's caches

# Blocks transformed at a time hold this many values: 1 MiB of int32. Measured, K = 4096, one
# thread, million values per second: 71 at 2^16 values, 87 at 2^17, 95 at 2^18, 85 at 2^19.
_CHUNK_VALUES: Final = 2**18
# Sums of magnitudes below this cannot overflow the type, whatever the order of additions; of int64
# what a float64 holds exactly, because weights are computed from it.
_MAGNITUDES_END: Final = {torch.int32: 2**31, torch.int64: 2**53}


def epoch_key(run_id: bytes, epoch: int) -> int:
    """Return the 64 bits from which all signs of an epoch come.

    Args:
        run_id: Of the run.
        epoch: In [0, 2^64).

    Returns:
        The first 8 bytes, little-endian, of BLAKE2b-512(run_id || "basis" || epoch), the epoch as
        8 bytes, little-endian.
    """
    return int.from_bytes(
        blake2b(run_id + b"basis" + epoch.to_bytes(8, "little")).digest()[:8], "little"
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """The directions of one epoch.

    Attributes:
        key: What `epoch_key` returns.
        direction_count: K, a power of two from 64 to 16,384.
        size: d, the length of a vector.

    Source: srht-rad-v1 is our own. Ailon and Chazelle 2009, "The fast Johnson-Lindenstrauss
        transform", for random signs around a Hadamard matrix.
    """

    key: int
    direction_count: int
    size: int

    @property
    def block_count(self) -> int:
        """The number of blocks, of which the last may be cut off."""
        return -(-self.size // self.direction_count)

    @property
    def padded_size(self) -> int:
        """The number of values in whole blocks, and the squared length of a direction in them."""
        return self.block_count * self.direction_count

    def decode(self, coefficients: Tensor, blocks: range | None = None) -> Tensor:
        """Sum the directions, each times its coefficient.

        Args:
            coefficients: Shape (K,), int32 or int64, any device.
            blocks: Which blocks, without gaps; all of them if None.

        Returns:
            Shape (blocks * K,), of the type and on the device of the coefficients, exact. Values
            at or beyond `size` are padding.

        Raises:
            LocalError: If the coefficients are not as described, or their magnitudes sum to 2^31
                or more as int32, 2^53 as int64.
        """
        self._check(coefficients)
        wanted = range(self.block_count) if blocks is None else blocks
        if wanted.step != 1 or not 0 <= wanted.start <= wanted.stop <= self.block_count:
            raise LocalError(f"blocks {wanted}: a vector of {self.size} has {self.block_count}")
        decoded = coefficients.new_empty(len(wanted), self.direction_count)

        def work(part: range) -> None:
            for chunk in self.chunks(part):
                place = slice(chunk.start - wanted.start, chunk.stop - wanted.start)
                decoded[place].copy_(self.decode_chunk(coefficients, chunk).T)

        share_blocks(work, wanted, self.direction_count, on_cpu=coefficients.is_cpu)
        return decoded.reshape(-1)

    def decode_chunk(self, coefficients: Tensor, blocks: range) -> Tensor:
        """Decode blocks that `chunks` gave, of checked coefficients; shape (K, blocks)."""
        s_keys, d_keys = self._keys(blocks, coefficients.device)
        masks = sign_masks(s_keys, self.direction_count).to(coefficients.dtype)
        signed = (coefficients[:, None] ^ masks).sub_(masks)
        sums = _transform(signed, masks)
        signs = sign_masks(d_keys, self.direction_count)
        return sums.bitwise_xor_(signs).sub_(signs)

    def encode(self, difference: Tensor) -> Tensor:
        """Return the coordinates of a vector's orthogonal projection onto the directions.

        Args:
            difference: Shape (d,), floating point, any device.

        Returns:
            Shape (K,), float64. Of what `decode` makes of coefficients they are these again,
            exactly, if d is a multiple of K.

        Raises:
            LocalError: If the vector has another shape.

        Differs: the specification sums blocks one by one; here the last bits depend on the number
            of threads. Only the author computes coordinates, and rounds them.
        """
        if tuple(difference.shape) != (self.size,):
            raise LocalError(f"vector of shape {tuple(difference.shape)}, expected ({self.size},)")
        sums: dict[int, Tensor] = {}

        def work(part: range) -> None:
            chunks = [self._encode_chunk(difference, blocks) for blocks in self.chunks(part)]
            sums[part.start] = torch.stack(chunks).sum(dim=0)

        share_blocks(work, range(self.block_count), self.direction_count, on_cpu=difference.is_cpu)
        return torch.stack([sums[start] for start in sorted(sums)]).sum(dim=0) / self.padded_size

    def direction(self, index: int, *, device: torch.device | None = None) -> Tensor:
        """Return one direction.

        Args:
            index: k, in [0, K).
            device: Where it is wanted; the CPU if None.

        Returns:
            Shape (d,), float32, each value 1 or -1.

        Raises:
            LocalError: If there is no such direction.
        """
        count = self.direction_count
        if not 0 <= index < count:
            raise LocalError(f"direction {index}: there are {count}, from 0")
        parities = torch.arange(count, device=device) & index
        for places in (8, 4, 2, 1):
            parities ^= parities >> places
        column = -(parities & 1).to(torch.int32)[:, None]
        direction = torch.empty(self.padded_size, device=device)
        for blocks in self.chunks():
            s_keys, d_keys = self._keys(blocks, parities.device)
            masks = sign_masks(d_keys, count) ^ column
            masks ^= sign_mask_at(s_keys, index).to(torch.int32)
            place = direction[blocks.start * count : blocks.stop * count]
            place.view(-1, count).copy_(_signs(masks).T)
        return direction[: self.size]

    def chunks(self, blocks: range | None = None) -> Iterator[range]:
        """Cut blocks, or all of them, into as many at a time as caches hold."""
        wanted = range(self.block_count) if blocks is None else blocks
        step = max(1, _CHUNK_VALUES // self.direction_count)
        for start in range(wanted.start, wanted.stop, step):
            yield range(start, min(start + step, wanted.stop))

    def _encode_chunk(self, difference: Tensor, blocks: range) -> Tensor:
        count = self.direction_count
        s_keys, d_keys = self._keys(blocks, difference.device)
        values = torch.zeros(len(blocks) * count, dtype=torch.float64, device=difference.device)
        piece = difference[blocks.start * count : blocks.stop * count]
        values[: len(piece)] = piece
        signed = values.reshape(-1, count).T.contiguous() * _signs(sign_masks(d_keys, count))
        sums = _transform(signed, torch.empty_like(signed))
        return (sums * _signs(sign_masks(s_keys, count))).sum(dim=1)

    def _keys(self, blocks: range, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the keys of S_b and D_b of some blocks."""
        key = torch.tensor(signed64(self.key), device=device)
        counters = 2 * torch.arange(blocks.start, blocks.stop, device=device)
        return mix64(key, counters), mix64(key, counters + 1)

    def _check(self, coefficients: Tensor) -> None:
        end = _MAGNITUDES_END.get(coefficients.dtype)
        if tuple(coefficients.shape) != (self.direction_count,) or end is None:
            raise LocalError(
                f"coefficients of shape {tuple(coefficients.shape)} and {coefficients.dtype}, "
                f"expected ({self.direction_count},) and torch.int32 or torch.int64"
            )
        if magnitude_sum(coefficients) >= end:
            raise LocalError(
                f"the coefficients' magnitudes sum to {magnitude_sum(coefficients)}: sums of "
                f"directions could leave {coefficients.dtype}, which is safe below {end}"
            )


def magnitude_sum(coefficients: Tensor) -> int:
    """Return the sum of the magnitudes of integers, of any size."""
    # In float64 first: the magnitudes of a few int64 may sum to more than an int64 holds.
    if float(coefficients.double().abs().sum()) >= 2.0**62:
        return sum(abs(value) for value in coefficients.tolist())
    return int(coefficients.long().abs().sum())


def _transform(values: Tensor, spare: Tensor) -> Tensor:
    """Apply a Walsh-Hadamard transform to every column, in Sylvester's order.

    Args:
        values: Shape (K, n), contiguous; overwritten.
        spare: The same, for results in between; overwritten.

    Returns:
        One of the two.

    Source: Fino and Algazi 1976, "Unified matrix treatment of the fast Walsh-Hadamard transform".
    """
    count, width = values.shape
    half = count // 2
    while half:
        pairs, sums = (it.view(-1, 2, half * width) for it in (values, spare))
        torch.add(pairs[:, 0], pairs[:, 1], out=sums[:, 0])
        torch.sub(pairs[:, 0], pairs[:, 1], out=sums[:, 1])
        values, spare = spare, values
        half //= 2
    return values


def _signs(masks: Tensor) -> Tensor:
    return 2 * masks + 1
