"""What a gossip vector means: outputs, accuracy and scores on held-out rows."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.func import functional_call

from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Examples
from p2pfed.learn.familiar import FamiliarClasses
from p2pfed.learn.task import Task, predicted_classes
from p2pfed.updates.method import AdaptedModel, local_statistics
from p2pfed.updates.specification import ParameterSpecification

Inputs = Tensor | Mapping[str, Tensor]


@final
class Model:
    """One model for the vectors of all peers.

    It is asked about the same rows for one peer after the other, so that model, metric and loss,
    which may be a user's own, get copies of them.

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
        self.fixed = adapted.fixed
        # Layers that a method wraps call their parameters otherwise than the specification does.
        inside = {id(parameter): name for name, parameter in adapted.model.named_parameters()}
        self._names = {name: inside[id(it)] for name, it in adapted.trainable.items()}
        self._module = adapted.model.eval()

    def call(self, parameters: Mapping[str, Tensor], inputs: Inputs) -> Any:
        """Return the outputs for rows of inputs under parameters by name."""
        inside = {self._names[name]: it for name, it in parameters.items()}
        if isinstance(inputs, Tensor):
            return functional_call(self._module, inside, (inputs,))
        return functional_call(self._module, inside, kwargs=dict(inputs))

    def outputs(self, vector: Tensor, inputs: Inputs) -> Any:
        """Return the outputs for rows of inputs under a vector of shape (d,)."""
        with torch.no_grad():
            return self.call(self.specification.unflatten(vector), _copy(inputs))

    def classes(self, vector: Tensor, inputs: Inputs) -> Tensor:
        """Return the class that a vector takes each row for, shape (rows,)."""
        return predicted_classes(self.outputs(vector, inputs))

    def measure(self, vector: Tensor, task: Task, rows: Examples) -> tuple[float, float]:
        """Return the task's metric and its loss on rows."""
        outputs = self.outputs(vector, rows.inputs)
        score = task.metric(outputs, rows.labels.clone())
        return float(score), float(task.loss(outputs, rows.labels.clone()))

    def loss(self, vector: Tensor, task: Task, rows: Examples) -> float:
        """Return the task's loss on rows."""
        return float(task.loss(self.outputs(vector, rows.inputs), rows.labels.clone()))

    def score(self, vector: Tensor, task: Task, rows: Examples) -> float:
        """Return the task's metric on rows."""
        return float(task.metric(self.outputs(vector, rows.inputs), rows.labels.clone()))


def _copy(inputs: Inputs) -> Inputs:
    if isinstance(inputs, Tensor):
        return inputs.clone()
    return {name: tensor.clone() for name, tensor in inputs.items()}


@final
class HeldOutScores:
    """Scores vectors on a peer's validation rows, as its learner would score its own model.

    One score per familiar class, or one for all rows: see `FamiliarClasses`. Real learners
    evaluate in batches, here all rows are one.

    Args:
        model: What a vector means.
        task: With the peer's own training rows.
    """

    def __init__(self, model: Model, task: Task) -> None:
        self._model = model
        self._task = task
        self._familiar = FamiliarClasses.of(task)
        rows = task.rows("validation") if self._familiar is None else self._familiar.rows
        self._rows = rows.batch(torch.arange(len(rows)))

    def __call__(self, vector: Tensor) -> Sequence[float]:
        """Return one score per shard.

        Raises:
            LocalError: If no validation row is of a class that the peer knows.
        """
        if self._familiar is None:
            return [self._model.score(vector, self._task, self._rows)]
        # The rows are at hand in one batch.
        return self._familiar.scores(lambda _: self._model.classes(vector, self._rows.inputs))
