"""Which trainable values a run shares, and their one order as a flat vector.

The *gossip vector* is what all else works on: float32 on the CPU, shape (d,), whatever device and
precision the model computes with.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import final

import torch
from blake3 import blake3
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import LocalError


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterEntry:
    """One trainable tensor of the run.

    Attributes:
        name: Dotted name, free of what the method's library adds to it.
        shape: Its sizes; empty for a scalar.
        dtype: Name of the type in which it is trained.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """The number of values."""
        return prod(self.shape)


@final
class ParameterSpecification:
    """The ordered trainable tensors of a run; part of its genesis.

    Args:
        entries: In the order in which they stand in the vector.

    Raises:
        LocalError: If names repeat.
    """

    def __init__(self, entries: Iterable[ParameterEntry]) -> None:
        self.entries = tuple(entries)
        self.names = tuple(entry.name for entry in self.entries)
        if len(set(self.names)) != len(self.names):
            raise LocalError("two parameters of the specification have the same name")
        self.size = sum(entry.size for entry in self.entries)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "ParameterSpecification":
        """Describe tensors in ascending order of their names.

        The order in which a model defines its layers would do on one machine; sorted names stay
        the same when a library reorders its attributes.
        """
        return cls(
            ParameterEntry(
                name=name,
                shape=tuple(tensors[name].shape),
                dtype=str(tensors[name].dtype).removeprefix("torch."),
            )
            for name in sorted(tensors)
        )

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParameterSpecification) and self.entries == other.entries

    @override
    def __hash__(self) -> int:
        return hash(self.entries)

    @override
    def __repr__(self) -> str:
        return f"ParameterSpecification({len(self.entries)} tensors, {self.size} values)"

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Copy tensors into one vector.

        Args:
            tensors: At least the tensors of the specification, any device, floating point.

        Returns:
            Shape (d,), float32, on the CPU, newly allocated.

        Raises:
            LocalError: If a tensor is missing or has another shape.
        """
        given = []
        for entry in self.entries:
            tensor = tensors.get(entry.name)
            if tensor is None or tuple(tensor.shape) != entry.shape:
                found = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"
                raise LocalError(f"parameter {entry.name}: {found}, expected shape {entry.shape}")
            given.append(tensor.detach().reshape(-1))
        if all(tensor.dtype == torch.float32 and tensor.is_cpu for tensor in given):
            return torch.cat(given) if given else torch.empty(0)
        vector = torch.empty(self.size)
        for piece, tensor in zip(
            vector.split([it.size for it in self.entries]), given, strict=True
        ):
            piece.copy_(tensor)
        return vector

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """View a vector as tensors by name; they share its memory.

        Raises:
            LocalError: If it has not the shape (d,).
        """
        self.check(vector)
        pieces = vector.split([entry.size for entry in self.entries])
        return {
            entry.name: piece.view(entry.shape)
            for entry, piece in zip(self.entries, pieces, strict=True)
        }

    def check(self, vector: Tensor) -> None:
        """Refuse what is no gossip vector of this run.

        Raises:
            LocalError: If it is not of shape (d,) and float32.
        """
        if tuple(vector.shape) != (self.size,) or vector.dtype != torch.float32:
            raise LocalError(
                f"vector of shape {tuple(vector.shape)} and {vector.dtype}: the run's vectors "
                f"have shape ({self.size},) and torch.float32"
            )

    def digest(self, vector: Tensor) -> bytes:
        """Return the BLAKE3-256 of the values as little-endian float32.

        Raises:
            LocalError: If the vector is not one of this run.
        """
        self.check(vector)
        return blake3(little_endian(vector)).digest()

    def describe(self) -> tuple[tuple[str, tuple[int, ...], str], ...]:
        """Return (name, shape, dtype) of each entry, for a genesis."""
        return tuple((entry.name, entry.shape, entry.dtype) for entry in self.entries)


def little_endian(vector: Tensor) -> bytes:
    """Return the values of a float32 tensor as little-endian bytes, on any machine."""
    return vector.detach().cpu().contiguous().numpy().astype("<f4", copy=False).tobytes()
