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

# Own training rows that make a class known. Guess.
_TRAINING_ROWS_MIN: Final = 10
# Validation rows below which the score of a class says little: one more right answer is worth 0.1.
# It is kappa in the authors' code, the size of its test set per class.
_JUDGING_ROWS_MIN: Final = 10


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FamiliarClasses:
    """The validation rows of the classes that a peer knows: one evaluation shard per class.

    A class is familiar that at least ten own training rows have; where none is, the most common
    ones are. Of these, it is those that at least ten validation rows have, too: what has none would
    score 0 for everybody. Rows with a label below 0 are ignored.

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
            `p2pfed.learn.task.accuracy`, a row has more than one label, the peer, a relay, has no
            training rows, or every class that it knows has fewer than ten validation rows. Where
            they have none at all, there are no rows.
        """
        if task.metric is not accuracy:  # before the labels, which may take long to read
            return None
        own_labels, held_out = task.rows("train").labels, task.rows("validation")
        if own_labels.ndim != 1 or not bool((own_labels >= 0).any()):
            return None
        labels = held_out.labels.long()
        own_counts = _count(own_labels)
        is_known = own_counts >= min(_TRAINING_ROWS_MIN, int(own_counts.max()))
        counts = _count(labels, class_count=len(own_counts))
        is_judged = is_known & (counts >= _JUDGING_ROWS_MIN)
        if not bool(is_judged.any()):
            if bool(counts[is_known].any()):
                return None
            is_judged = is_known
        familiar = torch.nonzero(is_judged).flatten()
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


def _count(labels: Tensor, *, class_count: int = 0) -> Tensor:
    """Count the rows of each class, shape (class_count,), or of all classes that there are."""
    counts = torch.bincount(labels[labels >= 0].long(), minlength=class_count)
    return counts[: class_count or None]
