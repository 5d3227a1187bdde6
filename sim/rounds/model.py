"""What a gossip vector means: outputs, accuracy and scores per class."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.func import functional_call

from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Examples, Rows
from p2pfed.learn.task import Task, predicted_classes
from p2pfed.updates.method import AdaptedModel, local_statistics
from p2pfed.updates.specification import ParameterSpecification
from robust.bristle.f1 import f1_per_class

Inputs = Tensor | Mapping[str, Tensor]

# Rows of a class below which its score says little: one more right answer is worth 0.1.
_CLASS_ROWS_MIN: Final = 10


@final
class Model:
    """One model for the vectors of all peers.

    Args:
        adapted: With every parameter trainable. It is put into evaluation mode: dropout is off,
            as in real learners.

    Raises:
        ConfigError: If it keeps running statistics: a peer's model would be more than its vector.
    """

    def __init__(self, adapted: AdaptedModel) -> None:
        if any(True for _ in local_statistics(adapted.model)):
            name = type(adapted.model).__name__
            fix = "use GroupNorm or LayerNorm; running statistics are not part of the vector"
            raise ConfigError("rounds.task", name, fix)
        self.specification: ParameterSpecification = adapted.specification
        self._module = adapted.model.eval()

    def call(self, parameters: Mapping[str, Tensor], inputs: Inputs) -> Any:
        """Return the outputs for rows of inputs under parameters by name."""
        if isinstance(inputs, Tensor):
            return functional_call(self._module, dict(parameters), (inputs,))
        return functional_call(self._module, dict(parameters), kwargs=dict(inputs))

    def outputs(self, vector: Tensor, inputs: Inputs) -> Any:
        """Return the outputs for rows of inputs under a vector of shape (d,)."""
        with torch.no_grad():
            return self.call(self.specification.unflatten(vector), inputs)

    def classes(self, vector: Tensor, inputs: Inputs) -> Tensor:
        """Return the class that a vector takes each row for, shape (rows,)."""
        return predicted_classes(self.outputs(vector, inputs))

    def loss(self, vector: Tensor, task: Task, rows: Examples) -> float:
        """Return the task's loss on rows."""
        return float(task.loss(self.outputs(vector, rows.inputs), rows.labels))

    def score(self, vector: Tensor, task: Task, rows: Examples) -> float:
        """Return the task's metric on rows."""
        return float(task.metric(self.outputs(vector, rows.inputs), rows.labels))


@final
class ClassScores:
    """Scores vectors on held-out rows of the classes that a peer knows: F1 of each.

    Args:
        model: What a vector means.
        held_out: Rows that nobody trains on; those of other classes are left out.
        own_labels: Labels of the peer's own training rows. The classes with at least ten of them
            are the shards; without any such class, the most common ones are.

    Attributes:
        classes: The classes that have a score, ascending.
    """

    def __init__(self, model: Model, held_out: Rows, own_labels: Tensor) -> None:
        counts = torch.bincount(own_labels)
        known = torch.nonzero(counts >= min(_CLASS_ROWS_MIN, int(counts.max()))).flatten()
        self.classes: tuple[int, ...] = tuple(known.tolist())
        indices = torch.nonzero(torch.isin(held_out.labels, known)).flatten()
        self._rows = held_out.batch(indices)
        self._model = model

    def __call__(self, vector: Tensor) -> Sequence[float]:
        """Return one score in [0, 1] per class, ascending."""
        outputs = self._model.outputs(vector, self._rows.inputs)
        logits = getattr(outputs, "logits", outputs)
        scores = f1_per_class(
            logits.argmax(dim=-1), self._rows.labels, class_count=logits.shape[-1]
        ).tolist()
        return [scores[number] for number in self.classes]
