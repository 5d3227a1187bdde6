"""How rows are shared out among peers: each to one of them, or drawn by each for itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.learn.randomness import numpy_generator
from p2pfed.updates.construction import check_integer, check_number, construct

Indices = NDArray[np.int64]


class PartitionRule(ABC):
    """A way to share rows out, deterministic per seed.

    Attributes:
        name: Its name in the run file and in the table.
    """

    __slots__ = ()

    name: ClassVar[str]

    @abstractmethod
    def split(
        self, labels: Tensor, groups: Tensor | None = None, *, seed: int, count: int
    ) -> list[Tensor]:
        """Share out the rows 0 to n - 1.

        Args:
            labels: Shape (n,), integers.
            groups: Shape (n,), integers; who owns each row by nature.
            seed: In [0, 2^64); peers that pass the same one agree about all shares.
            count: How many peers share.

        Returns:
            `count` tensors of ascending row indices, int64.

        Raises:
            ConfigError: If there are too few rows, or groups are needed.
        """


class DisjointRule(PartitionRule):
    """A way that gives every row to exactly one peer.

    Attributes:
        examples_min: Rows that each peer gets at least.
    """

    __slots__ = ()

    examples_min: int

    @final
    @override
    def split(
        self, labels: Tensor, groups: Tensor | None = None, *, seed: int, count: int
    ) -> list[Tensor]:
        """See `PartitionRule.split`.

        Raises:
            ConfigError: If there are fewer than `count * examples_min` rows, or groups are needed.
        """
        needed = count * max(self.examples_min, 1)
        if len(labels) < needed:
            raise ConfigError(
                "peer_count", count, f"{len(labels)} rows are fewer than {needed}; use fewer peers"
            )
        generator = numpy_generator(seed, "partition", self.name)
        shares = self._share(
            np.asarray(labels), None if groups is None else np.asarray(groups), generator, count
        )
        _top_up(shares, self.examples_min, generator)
        return [torch.from_numpy(np.sort(np.asarray(share, dtype=np.int64))) for share in shares]

    @abstractmethod
    def _share(
        self,
        labels: Indices,
        groups: Indices | None,
        generator: np.random.Generator,
        count: int,
    ) -> list[list[int]]:
        """Assign each row to a peer."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Iid(DisjointRule):
    """Shuffled rows in equal parts, give or take one."""

    name: ClassVar[str] = "iid"

    examples_min: int = 1

    def __post_init__(self) -> None:
        check_integer(self.examples_min, "partition.examples_min", least=0)

    @override
    def _share(
        self, labels: Indices, groups: Indices | None, generator: np.random.Generator, count: int
    ) -> list[list[int]]:
        return _as_lists(np.array_split(generator.permutation(len(labels)), count))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Dirichlet(DisjointRule):
    """Rows of each label in proportions drawn from a Dirichlet distribution.

    Source: Hsu, Qi, Brown 2019, "Measuring the effects of non-identical data distribution", sec. 3.
    Differs: proportions are drawn per label over peers, as common since Yurochkin et al. 2019
        ("Bayesian nonparametric federated learning of neural networks"), so every row is used.

    Attributes:
        alpha: Above 0; small values give each peer few labels, large ones equal shares.
        examples_min: Rows that each peer gets at least; the richest give them, at random.
    """

    name: ClassVar[str] = "dirichlet"

    alpha: float = 0.3
    examples_min: int = 12  # one batch of text

    def __post_init__(self) -> None:
        check_number(self.alpha, "partition.alpha", above=0.0)
        check_integer(self.examples_min, "partition.examples_min", least=0)

    @override
    def _share(
        self, labels: Indices, groups: Indices | None, generator: np.random.Generator, count: int
    ) -> list[list[int]]:
        shares: list[list[int]] = [[] for _ in range(count)]
        for label in np.unique(labels):
            rows = generator.permutation(np.flatnonzero(labels == label))
            proportions = generator.dirichlet(np.full(count, self.alpha))
            # A tiny alpha can underflow to no proportions at all: one peer takes the label then.
            if not np.isfinite(proportions).all():
                proportions = np.eye(count)[generator.integers(count)]
            borders = np.rint(np.cumsum(proportions)[:-1] * len(rows)).astype(np.int64)
            for share, piece in zip(shares, np.split(rows, borders), strict=True):
                share.extend(piece.tolist())
        return shares


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Shards(DisjointRule):
    """Rows sorted by label, cut into shards of equal size, some for each peer.

    Source: McMahan et al. 2017, "Communication-efficient learning of deep networks from
    decentralized data", sec. 3 (the pathological non-IID split, with two shards).

    Attributes:
        shards_per_peer: At least 1.
        examples_min: Rows that each peer gets at least.
    """

    name: ClassVar[str] = "shards"

    shards_per_peer: int = 2
    examples_min: int = 1

    def __post_init__(self) -> None:
        check_integer(self.shards_per_peer, "partition.shards_per_peer", least=1)
        check_integer(self.examples_min, "partition.examples_min", least=0)

    @override
    def _share(
        self, labels: Indices, groups: Indices | None, generator: np.random.Generator, count: int
    ) -> list[list[int]]:
        shuffled = generator.permutation(len(labels))
        by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
        shards = np.array_split(by_label, count * self.shards_per_peer)
        order = generator.permutation(len(shards)).reshape(count, self.shards_per_peer)
        return [[int(row) for shard in own for row in shards[shard]] for own in order]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Natural(DisjointRule):
    """Whole groups of rows (an author, a domain), the largest first to whoever has least.

    Attributes:
        examples_min: Rows that each peer gets at least; above 0, a group may have to be broken.
    """

    name: ClassVar[str] = "natural"

    examples_min: int = 1

    def __post_init__(self) -> None:
        check_integer(self.examples_min, "partition.examples_min", least=0)

    @override
    def _share(
        self, labels: Indices, groups: Indices | None, generator: np.random.Generator, count: int
    ) -> list[list[int]]:
        if groups is None:
            raise ConfigError("partition", self.name, "this task has no groups; write another one")
        names, sizes = np.unique(groups, return_counts=True)
        shuffled = generator.permutation(len(names))
        shares: list[list[int]] = [[] for _ in range(count)]
        for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
            poorest = min(range(count), key=lambda peer: len(shares[peer]))
            shares[poorest].extend(np.flatnonzero(groups == names[group]).tolist())
        return shares


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap(PartitionRule):
    """Rows that each peer draws with replacement, whatever others draw: for more peers than rows.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife".

    Attributes:
        examples: Rows that each peer draws, at least 1.
    """

    name: ClassVar[str] = "bootstrap"

    examples: int = 32

    def __post_init__(self) -> None:
        check_integer(self.examples, "partition.examples", least=1)

    @override
    def split(
        self, labels: Tensor, groups: Tensor | None = None, *, seed: int, count: int
    ) -> list[Tensor]:
        """See `PartitionRule.split`.

        Raises:
            ConfigError: If there are no rows.
        """
        if not len(labels):
            raise ConfigError("partition", self.name, "there are no rows to draw from")
        generator = numpy_generator(seed, "partition", self.name)
        drawn = generator.integers(len(labels), size=(count, self.examples))
        return [torch.from_numpy(share) for share in np.sort(drawn, axis=1)]


PARTITIONS: Final[Mapping[str, type[PartitionRule]]] = {
    "bootstrap": Bootstrap,
    "dirichlet": Dirichlet,
    "iid": Iid,
    "natural": Natural,
    "shards": Shards,
}


def create_partition(rule: str | PartitionRule, **constants: object) -> PartitionRule:
    """Make a partition rule from its name and constants, or hand back an object.

    Raises:
        ConfigError: If the name or a constant is unknown or out of range.
    """
    return construct(PARTITIONS, rule, constants, field="partition")


def _top_up(shares: list[list[int]], least: int, generator: np.random.Generator) -> None:
    """Move rows, drawn at random, from the richest peer to those below the minimum."""
    for share in shares:
        while len(share) < least:
            richest = max(shares, key=len)
            share.append(richest.pop(int(generator.integers(len(richest)))))


def _as_lists(pieces: Sequence[Indices]) -> list[list[int]]:
    return [piece.tolist() for piece in pieces]
