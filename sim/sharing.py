"""What all simulated peers share: one copy of what is frozen, and one split of the rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from p2pfed.config.learning import peer_task
from p2pfed.config.model import RunConfig
from p2pfed.config.naming import run_file_fields
from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Examples, Rows
from p2pfed.learn.learner import TaskLearner
from p2pfed.learn.partition import PartitionRule, create_partition
from p2pfed.learn.scoring import Scoring
from p2pfed.learn.task import Task
from p2pfed.learn.workbench import Workbench
from sim.benches import Bench


@final
class ChosenRows:
    """Some of the rows of all peers, which are there once: only batches are copied.

    Args:
        pool: Of all peers.
        indices: Which, int64.

    Attributes:
        pool: As it was given.
        indices: As they were given.
    """

    def __init__(self, pool: Rows, indices: Tensor) -> None:
        self.pool = pool
        self.indices = indices

    def __len__(self) -> int:
        return self.indices.numel()

    @property
    def labels(self) -> Tensor:
        """Copy the labels, shape (n, ...)."""
        return self.pool.labels[self.indices]

    def batch(self, indices: Tensor) -> Examples:
        """Return rows by index, shape (b,), int64."""
        return self.pool.batch(self.indices[indices])

    def subset(self, indices: Tensor) -> "ChosenRows":
        """Return the rows at these indices as rows of their own."""
        return ChosenRows(self.pool, self.indices[indices])


@final
class JoinedRows:
    """The rows of several peers that choose from one pool, to be read at once.

    Args:
        chosen: Each peer's, at least one.
    """

    def __init__(self, chosen: Sequence[ChosenRows]) -> None:
        self._pool = chosen[0].pool
        self._indices = torch.cat([it.indices for it in chosen])
        counts = torch.tensor([len(it) for it in chosen])
        self._firsts = (counts.cumsum(dim=0) - counts)[:, None]

    @classmethod
    def of(cls, rows: Sequence[Rows]) -> "JoinedRows | None":
        """Join rows of peers, if all choose from one pool in memory."""
        chosen = [it for it in rows if isinstance(it, ChosenRows)]
        if len(chosen) < len(rows) or not isinstance(chosen[0].pool, Examples):
            return None
        return cls(chosen) if all(it.pool is chosen[0].pool for it in chosen) else None

    def batch(self, indices: Sequence[Tensor]) -> Examples:
        """Return rows of every peer, shape (k, b, ...), by index among its own, shape (b,)."""
        return self._pool.batch(self._indices[torch.stack(tuple(indices)) + self._firsts])


@final
class SharedRows:
    """Makes the tasks of peers as `peer_task` does, and splits the rows once for all of them.

    Args:
        pool: The task with all rows.
    """

    def __init__(self, pool: Task) -> None:
        rows = pool.rows("train")
        # Its subsets, which are the peers' rows, copy none.
        self._pool = replace(pool, train=ChosenRows(rows, torch.arange(len(rows))))
        self._splits: dict[tuple[PartitionRule, int, int], list[Tensor]] = {}

    @run_file_fields()
    def task_of(self, config: RunConfig) -> Task:
        """Return the task with the rows of one peer's share.

        Raises:
            ConfigError: If the share cannot be used.
        """
        share = config.share
        if share.count == 1:
            return peer_task(config, pool=self._pool)
        rule = create_partition(share.name, **share.constants)
        key = (rule, config.run.seed, share.count)
        if key not in self._splits:
            labels = self._pool.rows("train").labels
            self._splits[key] = rule.split(
                labels, self._pool.groups, seed=config.run.seed, count=share.count
            )
        return self._pool.for_share(self._splits[key][share.index])


def share_frozen(model: nn.Module, original: nn.Module) -> None:
    """Let the frozen parameters of a model be those of another, as far as they have equal values.

    Nothing that a run does writes to a frozen parameter, so that no result changes. Buffers stay
    apart: normalization layers write to theirs.

    Args:
        model: Changed in place.
        original: Of the same architecture; keeps its memory.

    Raises:
        ConfigError: If the two are one model, as from a task of one's own that makes only one: what
            one peer learns, the other would have learned too.
    """
    trained = {id(it) for it in original.parameters() if it.requires_grad}
    if any(id(it) in trained for it in model.parameters()):
        fix = "it returned the same model twice; let it make a new one for each peer"
        raise ConfigError("task.create_model", type(model).__name__, fix)
    known = {
        name: parameter.data
        for name, parameter in original.named_parameters()
        if not parameter.requires_grad
    }
    for name, parameter in model.named_parameters():
        found = known.get(name)
        if parameter.requires_grad or found is None:
            continue
        is_same_kind = found.dtype == parameter.dtype and found.device == parameter.device
        if is_same_kind and torch.equal(found, parameter.data):
            parameter.data = found


def share_initial(bench: Workbench, original: Workbench) -> None:
    """Let a workbench know the initial vector by another's copy; nothing writes to it.

    Args:
        bench: Of the same run.
        original: Keeps its memory.
    """
    scoring = bench.exchange.integrator.evaluate
    if torch.equal(bench.initial, original.initial):
        bench.initial = original.initial
        if isinstance(scoring, Scoring):
            scoring.initial = original.initial


def in_one_piece(bench: Bench) -> Bench:
    """Return a bench whose learner reads and writes all that trains at once, if it can."""
    if isinstance(bench, Workbench) and isinstance(bench.learner, TaskLearner):
        bench.learner.pack()
    return bench
