"""The frozen factors between which Fed-SB trains: drawn by every peer, or made once and shared."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, final

import numpy as np
import torch
from blake3 import blake3
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn

from p2pfed.errors import ConfigError
from p2pfed.updates.methods.peft_wrapping import global_generator_kept
from p2pfed.updates.methods.wrapping import find_linear_layers
from p2pfed.updates.portable import mix, stream_key

T = TypeVar("T")

_OVERSAMPLING: Final = 8  # Halko, Martinsson, Tropp 2011, section 4.2: 5 or 10 is enough
_POWER_ITERATIONS: Final = 10  # as the authors' program


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Basis:
    """The frozen factors of one layer, float32 on the CPU.

    Attributes:
        left: B, shape (rows, rank).
        right: A, shape (rank, columns).
    """

    left: Tensor
    right: Tensor

    def leading(self, rank: int) -> "Basis":
        """Return the part for a smaller rank: the first columns of B and rows of A."""
        return Basis(
            left=self.left[:, :rank].clone(memory_format=torch.contiguous_format),
            right=self.right[:rank].clone(),
        )


def portable_basis(seed: int, name: str, *, rows: int, columns: int, rank: int) -> Basis:
    """Draw the factors of a layer that every machine computes to the same bit, without data.

    Bases of one seed and name are nested: the one of a smaller rank is the leading part of the one
    of a larger.

    Args:
        seed: In [0, 2^64).
        name: Of the layer.
        rows: Of its weight.
        columns: Of its weight.
        rank: At most either of them.
    """
    left = hadamard_rows(seed, f"{name}.B", count=rank, size=rows)
    right = hadamard_rows(seed, f"{name}.A", count=rank, size=columns)
    return Basis(left=left.T.contiguous(), right=right)


def hadamard_rows(seed: int, label: str, *, count: int, size: int) -> Tensor:
    """Draw rows of a Hadamard matrix with random signs on its columns, each of length 1.

    They are orthogonal if `size` is a power of two. Else they are the leading parts of rows of the
    next power of two, which are different, and nearly orthogonal if they are few.

    Args:
        seed: In [0, 2^64).
        label: What for; another label gives independent rows.
        count: How many, at most `size`.
        size: Values of each.

    Returns:
        Shape (count, size), float32: +-1/sqrt(size).

    Source: Ailon, Chazelle 2006, the subsampled randomized Hadamard transform.
    """
    order = 1 << (size - 1).bit_length()
    keys = mix(stream_key(seed, f"{label} rows"), np.arange(order, dtype=np.uint64))
    chosen = np.argsort(keys, kind="stable")[:count].astype(np.uint64)
    columns = np.arange(size, dtype=np.uint64)
    signs = mix(stream_key(seed, f"{label} signs"), columns) >> np.uint64(63)
    parity = np.bitwise_count(chosen[:, None] & columns) & 1
    value = np.float32(1.0 / math.sqrt(size))
    return torch.from_numpy(np.where(parity ^ signs.astype(np.uint8), -value, value))


def gradient_basis(
    model: nn.Module,
    batches: Iterable[T],
    loss: Callable[[nn.Module, T], Tensor],
    *,
    rank: int,
    targets: tuple[str, ...],
) -> dict[str, Basis]:
    """Find the factors that hold most of the first step of full training.

    Not the same to the bit on another machine, and made from data: one peer makes it, and all
    others get the file. It tells of its examples, and no noise hides them: take public ones.

    Args:
        model: As it is before training. Gradients are gone afterwards; all else is as it was.
        batches: Some data, 50 to 200 examples in all.
        loss: Model and batch to a scalar.
        rank: How many singular vectors, at most either side of any of the layers.
        targets: Names, or last parts of names, of linear layers.

    Returns:
        By the name of each layer: the leading singular vectors of the sign of its summed gradient,
        which is where the first step of Adam goes.

    Raises:
        ConfigError: If a target is no linear layer or without effect, or the rank too large.

    Source: Ponkshe et al. 2024, "Initialization using update approximation is a silver bullet for
        extremely efficient low-rank fine-tuning" (LoRA-SB).
    Differs: R starts at zero and not at the singular values: peers start as the base.
    """
    trains = {id(each): each.requires_grad for each in model.parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    layers = find_linear_layers(model, targets)
    for name, layer in layers.items():
        check_rank(rank, name, layer)
        layer.weight.requires_grad_(True)
        layer.weight.grad = None
    try:
        for batch in batches:
            loss(model, batch).backward()
        return {name: _leading_directions(name, layer, rank) for name, layer in layers.items()}
    finally:
        for parameter in model.parameters():
            parameter.requires_grad_(trains[id(parameter)])
            parameter.grad = None


def _leading_directions(name: str, layer: nn.Linear, rank: int) -> Basis:
    if layer.weight.grad is None:
        raise ConfigError("method.targets", name, "remove it: the loss does not depend on it")
    step = layer.weight.grad.detach().float().cpu().sign()
    with global_generator_kept():
        left, _, right = torch.svd_lowrank(
            step, q=min(rank + _OVERSAMPLING, *step.shape), niter=_POWER_ITERATIONS
        )
    return Basis(left=left, right=right.T).leading(rank)


def check_rank(rank: int, name: str, layer: nn.Linear) -> None:
    """Refuse a rank that a layer's weight cannot have.

    Raises:
        ConfigError: If it is larger than either side.
    """
    largest = min(layer.in_features, layer.out_features)
    if rank > largest:
        raise ConfigError(
            "method.rank", rank, f'write at most {largest}, the smaller side of the layer "{name}"'
        )


def save_basis(bases: Mapping[str, Basis], path: Path) -> str:
    """Write bases to a safetensors file.

    Returns:
        The BLAKE3-256 of the file, in hexadecimal: the method's constant `basis`.
    """
    tensors = {}
    for name, basis in bases.items():
        tensors[f"{name}.B"] = basis.left.contiguous()
        tensors[f"{name}.A"] = basis.right.contiguous()
    data = safetensors.save(tensors)
    path.write_bytes(data)
    return blake3(data).hexdigest()


def load_basis(path: Path, basis: str) -> dict[str, Tensor]:
    """Read the file that `save_basis` wrote.

    Args:
        path: Of the file.
        basis: What its BLAKE3-256 must be.

    Returns:
        Tensors by the layer's name and `.A` or `.B`.

    Raises:
        ConfigError: If it cannot be read, or is another file than the run's.
    """
    field = "method.basis_file"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(field, str(path), f"it cannot be read: {error}") from error
    found = blake3(data).hexdigest()
    if found != basis:
        fix = f"its BLAKE3 is {found}, and method.basis says {basis}: get the run's file"
        raise ConfigError(field, str(path), fix)
    try:
        return safetensors.load(data)
    except SafetensorError as error:
        raise ConfigError(field, str(path), f"it is no safetensors file: {error}") from error


def pick_basis(tensors: Mapping[str, Tensor], name: str, layer: nn.Linear, rank: int) -> Basis:
    """Take one layer's factors from what `load_basis` returned.

    Raises:
        ConfigError: If they are not there, of another shape, of a smaller rank, or not finite.
    """
    left, right = tensors.get(f"{name}.B"), tensors.get(f"{name}.A")
    fits = (
        left is not None
        and right is not None
        and left.ndim == right.ndim == 2
        and left.shape[0] == layer.out_features
        and right.shape[1] == layer.in_features
        and left.shape[1] == right.shape[0] >= rank
        and bool(torch.isfinite(left).all() and torch.isfinite(right).all())
    )
    if not fits:
        shapes = f"({layer.out_features}, {rank}) and ({rank}, {layer.in_features})"
        fix = f"make it again: {name}.B and {name}.A must be finite, of shapes {shapes} or larger"
        raise ConfigError("method.basis_file", name, fix)
    assert left is not None
    assert right is not None
    return Basis(left=left.float(), right=right.float()).leading(rank)
