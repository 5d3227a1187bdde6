"""One change of an adapter set, and its bytes.

Layout, numbers as varints unless it says otherwise:

    epoch
    weight         float32, above 0
    each layer:    rank; if that is not 0, the scale (float32, above 0), then B row by row and A row
                   by row, integers of the terms' 8 or 16 bits

All little-endian. The change of a layer's weight is weight * scale * B A. An id is the BLAKE3-256
of these bytes.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, final

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from torch import Tensor

from p2pfed.errors import CodecError, LimitExceeded, LocalError, RemoteError
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.seed_ledger import varints
from p2pfed.updates.stacking import LowRankChange

EPOCH_MAX: Final = 2**32 - 1

_FLOAT: Final = struct.Struct("<f")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """The change of one layer but for the weight: scale * B A.

    Attributes:
        scale: Above 0, a float32.
        left: B, shape (rows, rank), integers.
        right: A, shape (rank, columns), integers.
    """

    scale: float
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    def reach(self) -> float:
        """Return a bound of the magnitudes of scale * B A: the largest of each column times row."""
        tops = np.abs(self.left).max(axis=0), np.abs(self.right).max(axis=1)
        return self.scale * int(np.dot(*tops))


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Increment:
    """One change; a value, never changed.

    Attributes:
        epoch: In which its author made it; for people.
        weight: Its author's share, above 0, a float32.
        layers: One for each shape of the terms; None where nothing changes.
        data: Its bytes.
        id: Their hash.
    """

    epoch: int
    weight: float
    layers: tuple[Factors | None, ...]
    data: bytes = field(repr=False)
    id: bytes

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not any(self.layers)

    def reach(self) -> float:
        """Return a bound of what it could add to any entry of a weight, the same everywhere."""
        return self.weight * max((each.reach() for each in self.layers if each), default=0.0)

    def times(self, factor: float) -> "Increment":
        """Return it with another weight, of any float64; bytes and id stay those that count."""
        return replace(self, weight=self.weight * factor)

    def product(self, layer: int, device: torch.device) -> Tensor | None:
        """Return what it adds to a layer's weight: float64, the same bits everywhere; or None."""
        factors = self.layers[layer]
        if factors is None:
            return None
        left, right = (
            torch.from_numpy(it).to(device).double() for it in (factors.left, factors.right)
        )
        return (left @ right).mul_(self.weight * factors.scale)

    def change(self, layer: int) -> LowRankChange | None:
        """Return the change of a layer's weight in float64, None if there is none."""
        factors = self.layers[layer]
        if factors is None:
            return None
        left = torch.from_numpy(factors.left).double()
        return LowRankChange(
            left * (self.weight * factors.scale), torch.from_numpy(factors.right).double()
        )


def make_increment(
    changes: Sequence[LowRankChange | None],
    terms: Terms,
    *,
    epoch: int,
    weight: float = 1.0,
) -> Increment:
    """Quantize changes.

    Args:
        changes: Of each layer, of any rank up to the largest; None where nothing changes.
        terms: Of the run.
        epoch: In [0, 2^32).
        weight: What part of the changes counts, such as one over the number of peers.

    Raises:
        LocalError: If that is not within the terms.
    """
    shapes = [None if it is None else (it.left.shape[0], it.right.shape[1]) for it in changes]
    fits = [shape in (None, wanted) for shape, wanted in zip(shapes, terms.shapes, strict=False)]
    if len(shapes) != len(terms.shapes) or not all(fits):
        raise LocalError(f"changes of {shapes}, expected {terms.shapes} or None each")
    if not 0 <= epoch <= EPOCH_MAX:
        raise LocalError(f"epoch {epoch}: write 0 to {EPOCH_MAX}")
    layers = [None if each is None else _quantize(each, terms) for each in changes]
    try:
        data = _encode(epoch, weight, layers, terms)
        return decode(data, terms)
    except (RemoteError, OverflowError) as error:
        raise LocalError(f"no increment of these terms: {error}") from error


def _quantize(change: LowRankChange, terms: Terms) -> Factors | None:
    left, right = change.left.detach().double().cpu(), change.right.detach().double().cpu()
    if not (torch.isfinite(left).all() and torch.isfinite(right).all()):
        raise LocalError("a change has NaN or infinity; did training diverge?")
    # What is moved from a column of B to its row of A leaves the product as it is, and both as
    # large as each other lose least.
    tops = left.abs().amax(dim=0), right.abs().amax(dim=1)
    used = (tops[0] > 0) & (tops[1] > 0)
    if not bool(used.any()):
        return None
    shift = (tops[1][used] / tops[0][used]).sqrt()
    left, right = left[:, used] * shift, right[used] / shift[:, None]
    units = float(left.abs().max()) / terms.number_max, float(right.abs().max()) / terms.number_max
    return Factors(
        units[0] * units[1],
        torch.round(left / units[0]).long().numpy(),
        torch.round(right / units[1]).long().numpy(),
    )


def _encode(
    epoch: int,
    weight: float,
    layers: Sequence[Factors | None],
    terms: Terms,
) -> bytes:
    number = f"<i{terms.bits // 8}"
    parts = [varints.pack(np.array([epoch])), _FLOAT.pack(weight)]
    for factors in layers:
        rank = 0 if factors is None else factors.left.shape[1]
        parts.append(varints.pack(np.array([rank])))
        if factors is not None:
            parts.append(_FLOAT.pack(factors.scale))
            parts += [each.astype(number).tobytes() for each in (factors.left, factors.right)]
    return b"".join(parts)


def decode(data: bytes | memoryview, terms: Terms) -> Increment:
    """Read an increment of another peer.

    Args:
        data: Any bytes.
        terms: Of the run.

    Raises:
        CodecError: If they are not the encoding of an increment within the terms.
        LimitExceeded: If it could change an entry by more than they allow.
    """
    if len(data) > bytes_max(terms):
        raise CodecError(f"an increment of {len(data)} bytes, at most {bytes_max(terms)}")
    data = bytes(data)
    (epoch,), position = varints.unpack(data, 0, 1)
    if epoch > EPOCH_MAX:
        raise CodecError(f"an increment of epoch {epoch}")
    weight, position = _read_float(data, position)
    layers = []
    for shape in terms.shapes:
        factors, position = _read_layer(data, position, shape, terms)
        layers.append(factors)
    if position != len(data):
        raise CodecError("bytes after the end of an increment")
    increment = Increment(
        epoch=int(epoch),
        weight=weight,
        layers=tuple(layers),
        data=data,
        id=blake3(data).digest(),
    )
    if increment.reach() > terms.entry_max:
        raise LimitExceeded(f"an increment that could exceed {terms.entry_max:g} in an entry")
    return increment


def bytes_max(terms: Terms) -> int:
    """Return the most bytes that an increment can have."""
    head = varints.BYTES_MAX + _FLOAT.size
    ranks = (min(terms.rank_max, *shape) for shape in terms.shapes)
    numbers = sum(rank * sum(shape) for rank, shape in zip(ranks, terms.shapes, strict=True)) * (
        terms.bits // 8
    )
    return head + len(terms.shapes) * (varints.BYTES_MAX + _FLOAT.size) + numbers


def _read_layer(
    data: bytes, position: int, shape: tuple[int, int], terms: Terms
) -> tuple[Factors | None, int]:
    (rank,), position = varints.unpack(data, position, 1)
    rank = int(rank)
    most = min(terms.rank_max, *shape)
    if rank > most:
        raise CodecError(f"a change of rank {rank}, at most {most}")
    if rank == 0:
        return None, position
    scale, position = _read_float(data, position)
    rows, columns = shape
    size = terms.bits // 8
    border, end = position + rows * rank * size, position + (rows + columns) * rank * size
    if len(data) < end:
        raise CodecError("factors that end early")
    left, right = (
        np.frombuffer(part, dtype=f"<i{size}").astype(np.int64)
        for part in (data[position:border], data[border:end])
    )
    if min(int(left.min()), int(right.min())) < -terms.number_max:
        raise CodecError(f"a number below {-terms.number_max}")
    return Factors(scale, left.reshape(rows, rank), right.reshape(rank, columns)), end


def _read_float(data: bytes, position: int) -> tuple[float, int]:
    end = position + _FLOAT.size
    if len(data) < end:
        raise CodecError("an increment that ends early")
    (value,) = _FLOAT.unpack(data[position:end])
    if not (math.isfinite(value) and value > 0):
        raise CodecError(f"a weight or scale of {value}")
    return value, end
