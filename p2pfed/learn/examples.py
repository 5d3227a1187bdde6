"""Labelled rows of data, in memory or behind a torch Dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Protocol, final

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from p2pfed.errors import LocalError

LABELS = "labels"  # the key under which dictionaries hold them, as in transformers


class Rows(Protocol):
    """Labelled rows that can be read in any order."""

    def __len__(self) -> int:
        """Return how many rows there are."""

    @property
    def labels(self) -> Tensor:
        """The labels of all rows, shape (n, ...)."""

    def batch(self, indices: Tensor) -> "Examples":
        """Return rows by index, shape (b,), int64."""

    def subset(self, indices: Tensor) -> "Rows":
        """Return the rows at these indices as rows of their own."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Rows in memory.

    Attributes:
        inputs: What the model is called with: a tensor of shape (n, ...), or tensors by the names
            of the model's arguments, each of shape (n, ...).
        labels: Shape (n, ...).
    """

    inputs: Tensor | Mapping[str, Tensor]
    labels: Tensor

    def __post_init__(self) -> None:
        for tensor in self._tensors():
            if tensor.shape[:1] != self.labels.shape[:1]:
                raise LocalError(
                    f"inputs of shape {tuple(tensor.shape)} for labels of shape "
                    f"{tuple(self.labels.shape)}: the first sizes must be equal"
                )

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> "Examples":
        """Return rows by index, shape (b,), int64."""
        if isinstance(self.inputs, Tensor):
            return Examples(self.inputs[indices], self.labels[indices])
        chosen = {name: tensor[indices] for name, tensor in self.inputs.items()}
        return Examples(chosen, self.labels[indices])

    def subset(self, indices: Tensor) -> "Examples":
        """Return rows by index as rows of their own."""
        return self.batch(indices)

    def to(self, device: torch.device) -> "Examples":
        """Return the same rows on a device."""
        if isinstance(self.inputs, Tensor):
            return Examples(self.inputs.to(device), self.labels.to(device))
        moved = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        return Examples(moved, self.labels.to(device))

    def content_hashes(self) -> list[bytes]:
        """Return a 16-byte hash of each row's inputs, without its label."""
        columns = [tensor.cpu().contiguous() for tensor in self._tensors()]
        digests = []
        for row in range(len(self)):
            state = blake2b(digest_size=16)
            for column in columns:
                state.update(column[row].numpy().tobytes())
            digests.append(state.digest())
        return digests

    def _tensors(self) -> list[Tensor]:
        if isinstance(self.inputs, Tensor):
            return [self.inputs]
        return [self.inputs[name] for name in sorted(self.inputs)]


@final
class DatasetRows:
    """Rows of any map-style torch Dataset, read when they are needed.

    Args:
        dataset: Its items are (inputs, label), or dictionaries with the key `labels`.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]  # map-style datasets have a length

    @cached_property
    def labels(self) -> Tensor:
        """The labels of all rows; the first use reads the whole data set."""
        if not len(self):
            return torch.empty(0, dtype=torch.long)
        return self.batch(torch.arange(len(self))).labels

    def batch(self, indices: Tensor) -> Examples:
        """Return rows by index, shape (b,), int64, collated as torch's DataLoader does.

        Raises:
            LocalError: If the items are neither pairs nor dictionaries with labels.
        """
        items = default_collate([self._dataset[int(index)] for index in indices])
        if isinstance(items, dict) and LABELS in items:
            return Examples({k: v for k, v in items.items() if k != LABELS}, items[LABELS])
        if isinstance(items, Sequence) and len(items) == 2:
            return Examples(items[0], items[1])
        raise LocalError(
            "items of the data set are neither (inputs, label) nor dictionaries with the key "
            f"{LABELS!r}"
        )

    def subset(self, indices: Tensor) -> "DatasetRows":
        """Return the rows at these indices as rows of their own."""
        return DatasetRows(torch.utils.data.Subset(self._dataset, indices.tolist()))


def as_rows(data: Rows | Dataset[Any]) -> Rows:
    """Return rows as they are, and a torch Dataset as rows."""
    return DatasetRows(data) if isinstance(data, Dataset) else data


def drop_duplicates(examples: Examples, *, known: frozenset[bytes] = frozenset()) -> Examples:
    """Keep the first of rows with equal inputs, and none whose hash is known already."""
    seen = set(known)
    kept = []
    for index, content in enumerate(examples.content_hashes()):
        if content not in seen:
            seen.add(content)
            kept.append(index)
    return examples.batch(torch.tensor(kept, dtype=torch.long))


def order_by_content(examples: Examples) -> Examples:
    """Put rows in the order of their hashes: as good as shuffled, and the same everywhere."""
    hashes = examples.content_hashes()
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    return examples.batch(torch.tensor(order, dtype=torch.long))


def cut(examples: Examples, counts: Sequence[int]) -> list[Examples]:
    """Cut the first `counts` rows off one after the other; the last piece is the rest.

    Raises:
        LocalError: If no row would be left for the rest.
    """
    if sum(counts) >= len(examples):
        raise LocalError(f"{len(examples)} rows cannot give {list(counts)} and leave some over")
    sizes = [*counts, len(examples) - sum(counts)]
    return [examples.batch(indices) for indices in torch.arange(len(examples)).split(sizes)]
