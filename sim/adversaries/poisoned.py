"""Attacks on data by one peer by itself: what it trains on in place of its own rows."""

from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Examples
from p2pfed.learn.task import Task
from sim.adversaries.adversary import Adversary
from sim.adversaries.attacks.data import DataAttack


@final
class Poisoned(Adversary):
    """Trains on what an attack makes of the own rows, and takes part as everybody does.

    Args:
        attack: Makes the rows.
    """

    def __init__(self, attack: DataAttack) -> None:
        self._attack = attack

    @override
    def task(self, own: Any) -> Any:
        return poisoned(own, self._attack, field="adversaries.kind")


def poisoned(task: Task, attack: DataAttack, *, field: str) -> Task:
    """Return a liar's task with the rows that it trains on; those of the task stay as they are.

    Args:
        task: With the liar's own rows.
        attack: Makes other rows of them.
        field: What to call the attack in errors.

    Raises:
        ConfigError: If the task's inputs are not one tensor, or the attack makes labels that are
            none of the task's.
        LocalError: If the attack does not fit the inputs.
    """
    rows = task.rows("train")
    examples = rows.batch(torch.arange(len(rows)))
    if not isinstance(examples.inputs, Tensor):
        fix = "remove it; the rows of this task have named inputs"
        raise ConfigError(field, type(attack).__name__, fix)
    found = Examples(*attack(examples.inputs, examples.labels))
    classes = len(task.class_names)
    if classes and bool(((found.labels < 0) | (found.labels >= classes)).any()):
        fix = f"it makes labels that the task has not; write parameters for 0 to {classes - 1}"
        raise ConfigError(field, type(attack).__name__, fix)
    return replace(task, train=found)
