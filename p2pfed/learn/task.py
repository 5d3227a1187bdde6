"""What a peer learns: a model, data that stays with it, and how its quality is measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Rows, as_rows
from p2pfed.learn.partition import PartitionRule


def cross_entropy(outputs: Any, labels: Tensor) -> Tensor:
    """Return the mean cross entropy.

    Args:
        outputs: Logits of shape (b, classes), or an object whose `logits` they are.
        labels: Shape (b,), int64.
    """
    return functional.cross_entropy(_logits(outputs), labels)


def accuracy(outputs: Any, labels: Tensor) -> Tensor:
    """Return the share of rows whose largest logit is that of their label."""
    return (predicted_classes(outputs) == labels).float().mean()


def predicted_classes(outputs: Any) -> Tensor:
    """Return the class that each row is taken for: that of its largest logit.

    Args:
        outputs: Logits of shape (b, ..., classes), or an object whose `logits` they are.

    Returns:
        Shape (b, ...), int64; the number of classes, which no label is, where a logit is NaN.
    """
    logits = _logits(outputs)
    # argmax takes NaN for the largest, and a model that answers nothing must not be right.
    return logits.argmax(dim=-1).masked_fill(logits.isnan().any(dim=-1), logits.shape[-1])


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """Everything that is particular to one learning problem.

    The three sets of rows have no row in common: training rows are private and learned from,
    validation rows decide (verdicts, plateau, which model is best), test rows are only reported.

    Attributes:
        name: Stable and short.
        create_model: Makes a new model on the CPU. Called with the row's inputs as the one
            argument, or by name where they are named.
        train: Private rows; may be empty for a peer that only relays. A torch Dataset will do.
        validation: Rows for decisions.
        test: Rows for reports.
        loss: (outputs, labels) to the mean loss of a batch, a scalar that can be derived.
        metric: (outputs, labels) to the mean quality of a batch, a scalar, larger is better.
        class_names: What the labels mean, for people.
        groups: Shape (rows of train,): the natural owner of each row, if there is one.
        is_prepared_by_rows: Whether inputs were prepared with figures of this peer's own training
            rows, such as their mean: each row then shows in all of them.
    """

    name: str
    create_model: Callable[[], nn.Module]
    train: Rows | Dataset[Any]
    validation: Rows | Dataset[Any]
    test: Rows | Dataset[Any]
    loss: Callable[[Any, Tensor], Tensor] = cross_entropy
    metric: Callable[[Any, Tensor], Tensor] = accuracy
    class_names: tuple[str, ...] = ()
    groups: Tensor | None = None
    is_prepared_by_rows: bool = False

    def rows(self, split: str) -> Rows:
        """Return the rows of `train`, `validation` or `test`."""
        by_name = {"train": self.train, "validation": self.validation, "test": self.test}
        return as_rows(by_name[split])

    def for_peer(self, rule: PartitionRule, *, seed: int, index: int, count: int) -> "Task":
        """Return the task with the training rows that one of several peers owns.

        Args:
            rule: How rows are shared out.
            seed: The same for all peers, so that their shares do not overlap.
            index: Which peer, from 0.
            count: How many peers there are.

        Raises:
            ConfigError: If there are too few rows, or the rule needs groups and there are none.
        """
        if not 0 <= index < count:
            raise ConfigError("peer_index", index, f"write a number from 0 to {count - 1}")
        shares = rule.split(self.rows("train").labels, self.groups, seed=seed, count=count)
        return self.for_share(shares[index])

    def for_share(self, share: Tensor) -> "Task":
        """Return the task with some of the training rows.

        Args:
            share: Their indices, int64.
        """
        return replace(
            self,
            train=self.rows("train").subset(share),
            groups=None if self.groups is None else self.groups[share],
        )

    def majority_accuracy(self, split: str = "test") -> float:
        """Return the accuracy of always answering a split's most common label."""
        labels = self.rows(split).labels
        return float(torch.bincount(labels.long().view(-1)).max()) / labels.numel()

    def describe(self) -> Mapping[str, object]:
        """Return name and sizes, for people."""
        sizes = {split: len(self.rows(split)) for split in ("train", "validation", "test")}
        return {"name": self.name, "classes": self.class_names, **sizes}


def _logits(outputs: Any) -> Tensor:
    logits: Tensor = getattr(outputs, "logits", outputs)
    return logits
