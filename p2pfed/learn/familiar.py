"""The classes that a peer knows, and how well models tell them from all others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.learn.examples import Rows
from p2pfed.learn.task import Task, accuracy
from robust.bristle.f1 import f1_per_class

# Rows of a class below which its score says little: one more right answer is worth 0.1.
_CLASS_ROWS_MIN: Final = 10


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FamiliarClasses:
    """The validation rows of the classes that a peer knows: one evaluation shard per class.

    A class is familiar that at least ten own training rows have; where none is, the most common
    ones are.

    Attributes:
        numbers: The familiar classes, ascending.
        rows: The validation rows of these classes.
        labels: Of these rows, shape (rows,), int64.

    Source: Verbraeken, de Vos and Pouwelse 2021, "Bristle: decentralized federated learning in
        Byzantine, non-i.i.d. environments", the scores of its performance-based integrator.
    Differs: the number of training rows that makes a class familiar is a choice of ours.
    """

    numbers: tuple[int, ...]
    rows: Rows
    labels: Tensor

    @classmethod
    def of(cls, task: Task) -> "FamiliarClasses | None":
        """Find a peer's familiar classes.

        Args:
            task: With the peer's own training rows.

        Returns:
            Them; None where validation rows are one shard: if the task's metric is not
            `p2pfed.learn.task.accuracy`, a row has more than one label, or the peer, a relay, has
            no training rows.
        """
        if task.metric is not accuracy:  # before the labels, which may take long to read
            return None
        own_labels, held_out = task.rows("train").labels, task.rows("validation")
        if own_labels.ndim != 1 or not len(own_labels):
            return None
        counts = torch.bincount(own_labels.long())
        familiar = torch.nonzero(counts >= min(_CLASS_ROWS_MIN, int(counts.max()))).flatten()
        labels = held_out.labels.long()
        indices = torch.nonzero(torch.isin(labels, familiar)).flatten()
        return cls(
            numbers=tuple(familiar.tolist()),
            rows=held_out.subset(indices),
            labels=labels[indices],
        )

    def scores(self, predict: Callable[[Rows], Tensor]) -> list[float]:
        """Compute a model's F1 on each class.

        The rows of all familiar classes are judged together, for no prediction could be a false
        positive among the rows of one class alone.

        Args:
            predict: From rows to the class that the model takes each for, among all classes and
                not only the familiar ones, shape (rows,), int64, on the CPU.

        Returns:
            One score in [0, 1] per class, in the order of `numbers`.

        Raises:
            LocalError: If there are no rows to judge on.
        """
        if not len(self.rows):
            raise LocalError(
                f"no validation row is of a class that this peer knows {self.numbers}; give the "
                "task some, or take a rule that does not evaluate"
            )
        predicted = predict(self.rows)
        class_count = 1 + max(int(predicted.max()), *self.numbers)
        scores = f1_per_class(predicted, self.labels, class_count=class_count).tolist()
        return [scores[number] for number in self.numbers]
