"""Local steps: how gradients become changes of the trainable parameters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, final

import torch
from torch import nn
from torch.optim import Optimizer
from typing_extensions import override

from p2pfed.updates.construction import Constant, check_number, construct


class StepRule(ABC):
    """A way to take local steps. Its state stays on the machine.

    Step rules are values: equal constants make equal rules.

    Attributes:
        name: Its name in the run file and in the table.
    """

    __slots__ = ()

    name: ClassVar[str]

    @abstractmethod
    def create_optimizer(
        self, trainable: Mapping[str, nn.Parameter], head_names: frozenset[str]
    ) -> Optimizer:
        """Make a fresh optimizer.

        Args:
            trainable: All parameters that train, by name.
            head_names: Names of those that belong to a head trained from scratch.
        """

    @abstractmethod
    def describe(self) -> dict[str, Constant]:
        """Return its constants, for the run file."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sgd(StepRule):
    """Stochastic gradient descent, plain or with momentum.

    Attributes:
        learning_rate: Factor of a step, above 0.
        head_learning_rate: The same of heads; 0 takes learning_rate for them as well.
        momentum: Part of a step that the next one repeats, from 0 to below 1.
        weight_decay: Pull towards zero, at least 0.
    """

    name: ClassVar[str] = "sgd"

    learning_rate: float = 0.1
    head_learning_rate: float = 0.0
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "steps.learning_rate", above=0.0)
        check_number(self.head_learning_rate, "steps.head_learning_rate", least=0.0)
        check_number(self.momentum, "steps.momentum", least=0.0, below=1.0)
        check_number(self.weight_decay, "steps.weight_decay", least=0.0)

    @override
    def create_optimizer(
        self, trainable: Mapping[str, nn.Parameter], head_names: frozenset[str]
    ) -> Optimizer:
        return torch.optim.SGD(
            _groups(trainable, head_names, self.learning_rate, self.head_learning_rate),
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )

    @override
    def describe(self) -> dict[str, Constant]:
        return asdict(self)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW(StepRule):
    """Adam with decoupled weight decay.

    Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", alg. 2.

    Attributes:
        learning_rate: Factor of a step, above 0.
        head_learning_rate: The same of heads; 0 takes learning_rate for them as well.
        beta1: Decay of the mean of gradients, from 0 to below 1.
        beta2: Decay of the mean of their squares, from 0 to below 1.
        weight_decay: Pull towards zero, at least 0.
    """

    name: ClassVar[str] = "adamw"

    learning_rate: float = 1e-3  # Kingma and Ba 2015, "Adam", alg. 1
    head_learning_rate: float = 0.0
    beta1: float = 0.9  # the same
    beta2: float = 0.999  # the same
    weight_decay: float = 0.0  # pulls towards zero, away from what the peers share

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "steps.learning_rate", above=0.0)
        check_number(self.head_learning_rate, "steps.head_learning_rate", least=0.0)
        check_number(self.beta1, "steps.beta1", least=0.0, below=1.0)
        check_number(self.beta2, "steps.beta2", least=0.0, below=1.0)
        check_number(self.weight_decay, "steps.weight_decay", least=0.0)

    @override
    def create_optimizer(
        self, trainable: Mapping[str, nn.Parameter], head_names: frozenset[str]
    ) -> Optimizer:
        return torch.optim.AdamW(
            _groups(trainable, head_names, self.learning_rate, self.head_learning_rate),
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            weight_decay=self.weight_decay,
        )

    @override
    def describe(self) -> dict[str, Constant]:
        return asdict(self)


STEP_RULES: Final[Mapping[str, type[StepRule]]] = {"adamw": AdamW, "sgd": Sgd}


def create_step_rule(rule: str | StepRule, **constants: object) -> StepRule:
    """Make a step rule from its name and constants, or hand back an object.

    Raises:
        ConfigError: If the name or a constant is unknown or out of range.
    """
    return construct(STEP_RULES, rule, constants, field="steps")


def _groups(
    trainable: Mapping[str, nn.Parameter],
    head_names: frozenset[str],
    learning_rate: float,
    head_learning_rate: float,
) -> list[dict[str, Any]]:
    body = [value for name, value in trainable.items() if name not in head_names]
    head = [value for name, value in trainable.items() if name in head_names]
    groups = [
        {"params": body, "lr": learning_rate},
        {"params": head, "lr": head_learning_rate or learning_rate},
    ]
    return [group for group in groups if group["params"]]
