"""Outer steps: what a peer does with the mixture of vectors that local steps have led to.

Without one a peer goes on from the mixture itself. An outer step takes the way from where the peer
started its local steps to the mixture as one step of an optimizer with momentum.
"""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import ConfigError, LocalError
from p2pfed.updates.construction import Constant, check_number, construct, one_of

_log = logging.getLogger(__name__)

# By how much mixing can turn round what peers disagree on: 1 less the least eigenvalue of
# Metropolis weights, 2 d / (d + 1) for d neighbors each and two groups that know but each other.
# A ring has 1.33; this is d = 16.
_SWING_MAX: Final = 32.0 / 17.0

_STATE: Final = "outer/"
_START: Final = "outer/start"
_MOMENTUM: Final = "outer/momentum"
_IS_DUE: Final = "outer/is-due"

NONE: Final = "none"


class OuterStep(ABC):
    """A way to take outer steps: a value, equal constants make equal ones.

    Attributes:
        name: Its name in the run file and in the table.
    """

    __slots__ = ()

    name: ClassVar[str]

    @abstractmethod
    def step(self, start: Tensor, momentum: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step.

        Args:
            start: What the peer went on from after its last step, shape (d,), float32.
            momentum: What the last step left, the same; zeros before the first.
            mixed: What mixing made of where local steps have led to, the peer's and its neighbors'.

        Returns:
            What the peer goes on from, and the new momentum.
        """

    @abstractmethod
    def describe(self) -> dict[str, Constant]:
        """Return its constants, for the run file."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Diloco(OuterStep):
    """Nesterov momentum on the mean of differences: g = start - mixed, m <- momentum * m + g.

    The step is learning_rate * (g + momentum * m). The constants must let peers agree, whether
    they meet in random pairs or in a graph that stays.

    Source: Douillard et al. 2023, "DiLoCo: distributed low-communication training of language
        models", alg. 1, with the Nesterov momentum of torch.optim.SGD. The bounds are in
        `diloco_rate_max`.
    Differs: the mean is that of the neighborhood, as the rule makes it.

    Attributes:
        learning_rate: Above 0.
        momentum: From 0 to below 1.
    """

    name: ClassVar[str] = "diloco"

    learning_rate: float = 0.7
    momentum: float = 0.9

    def __post_init__(self) -> None:
        _check(self.learning_rate, self.momentum, diloco_rate_max)

    @override
    def step(self, start: Tensor, momentum: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        gradient = start - mixed
        after = self.momentum * momentum + gradient
        return start - self.learning_rate * (gradient + self.momentum * after), after

    @override
    def describe(self) -> dict[str, Constant]:
        return {"learning_rate": self.learning_rate, "momentum": self.momentum}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Noloco(OuterStep):
    """Momentum on the way to the mixture: m <- momentum * m + learning_rate * (mixed - start).

    The step is m. The way to the mixture is the mean of the neighborhood's differences less the
    own distance from the mean of its starts, so that one number weighs both, as in the authors'
    program. The mean over all peers moves by momentum * mean m + learning_rate * mean difference.

    Source: Kolehmainen et al. 2025, "NoLoCo: no-all-reduce low communication training method for
        large models", with gamma = beta as in its program.
    Differs: any neighborhood and rule in place of random pairs; the constants are bound tighter,
        see `noloco_rate_max`.

    Attributes:
        learning_rate: Above 0. It contracts best at half the bound or below.
        momentum: From 0 to below 1.
    """

    name: ClassVar[str] = "noloco"

    learning_rate: float = 0.7
    momentum: float = 0.5

    def __post_init__(self) -> None:
        _check(self.learning_rate, self.momentum, noloco_rate_max)

    @override
    def step(self, start: Tensor, momentum: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        after = self.momentum * momentum + self.learning_rate * (mixed - start)
        return start + after, after

    @override
    def describe(self) -> dict[str, Constant]:
        return {"learning_rate": self.learning_rate, "momentum": self.momentum}


def noloco_rate_max(momentum: float) -> float:
    """Return the learning rate below which `Noloco` lets peers agree.

    The smaller of two bounds. In independent random pairs, a peer's disagreement e and momentum m
    change as m' = a m - g U e and e' = e + m', where U is a projection of mean 1/2; the second
    moments E|e|^2, E<e, m> and E|m|^2 follow a linear recurrence, whose matrix has the eigenvalue 1
    where g (2 a^2 + g - 2) = 0. In a graph that stays, U is a number of each way to disagree, and
    the recurrence of (e, m) has the eigenvalue -1 where g U = 2 (1 + a).
    """
    return min(2.0 * (1.0 - momentum**2), 2.0 * (1.0 + momentum) / _SWING_MAX)


def diloco_rate_max(momentum: float) -> float:
    """Return the learning rate below which `Diloco` lets peers agree.

    As in `noloco_rate_max`; with momentum b and learning rate l the eigenvalue of pairs is 1 where
    (2 b^2 + b) l^2 + (2 - 4 b^2) l - 4 (1 - b^2) = 0, and that of a graph -1 where
    l U (1 + 2 b) = 2 (1 + b).
    """
    square, linear = 2.0 * momentum**2 + momentum, 2.0 - 4.0 * momentum**2
    constant = 4.0 * (1.0 - momentum**2)
    in_pairs = 2.0
    if square > 0.0:
        in_pairs = (math.sqrt(linear**2 + 4.0 * square * constant) - linear) / (2.0 * square)
    return min(in_pairs, 2.0 * (1.0 + momentum) / (1.0 + 2.0 * momentum) / _SWING_MAX)


def _check(learning_rate: float, momentum: float, rate_max: Callable[[float], float]) -> None:
    check_number(momentum, "outer.momentum", least=0.0, below=1.0)
    check_number(learning_rate, "outer.learning_rate", above=0.0)
    if learning_rate >= rate_max(momentum):
        fix = f"write less than {rate_max(momentum):.3g}, or a smaller momentum; peers would drift"
        raise ConfigError("outer.learning_rate", learning_rate, f"{fix} apart")


@final
class OuterState:
    """What a peer's next outer step depends on.

    One step answers to one training job: what is integrated without training before it, as when
    a model is only evaluated at the end, must not be moved by momentum once more.

    Args:
        rule: How to step.
        start: The vector from which the peer's first local steps start, shape (d,), float32.
    """

    def __init__(self, rule: OuterStep, start: Tensor) -> None:
        self.rule = rule
        self._start = start.clone()
        self._momentum = torch.zeros_like(start)
        self._is_due = False

    def trained(self) -> None:
        """Make a step due."""
        self._is_due = True

    def step(self, mixed: Tensor) -> Tensor:
        """Return what to go on from: a step towards a mixture, shape (d,), if one is due."""
        if self._is_due:
            self._start, self._momentum = self.rule.step(self._start, self._momentum, mixed)
            self._is_due = False
        else:
            self._start = mixed.clone()
        return self._start.clone()

    def state(self) -> dict[str, Tensor]:
        """Return what the next step depends on, as tensors by name; they are never changed."""
        return {
            _START: self._start,
            _MOMENTUM: self._momentum,
            _IS_DUE: torch.tensor([self._is_due]),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else, or of another model.
        """
        for name in (_START, _MOMENTUM):
            it = state.get(name)
            if it is None or it.shape != self._start.shape or it.dtype != torch.float32:
                raise LocalError(f"the saved state has no {name} that fits this model")
        is_due = state.get(_IS_DUE)
        if is_due is None or is_due.shape != (1,):
            raise LocalError(f"the saved state has no {_IS_DUE}")
        self._start, self._momentum = state[_START], state[_MOMENTUM]
        self._is_due = bool(is_due)

    def restart(self, start: Tensor) -> None:
        """Go on from a vector without momentum, as after a long absence."""
        self._start, self._momentum = start.clone(), torch.zeros_like(start)
        self._is_due = False


OUTER_STEPS: Final[Mapping[str, type[OuterStep]]] = {"diloco": Diloco, "noloco": Noloco}


def create_outer_step(name: str, **constants: object) -> OuterStep | None:
    """Make an outer step from its name and constants; `none` stands for None.

    Raises:
        ConfigError: If the name or a constant is unknown or out of range.
    """
    if name != NONE:
        if name not in OUTER_STEPS:
            raise ConfigError("outer.name", name, one_of(sorted([*OUTER_STEPS, NONE]), name))
        step = construct(OUTER_STEPS, name, constants, field="outer")
        if isinstance(step, Noloco) and step.learning_rate > (half := 1.0 - step.momentum**2):
            _log.warning(
                "outer.learning_rate = %g is above %.3g, half of what pairs bear at this momentum: "
                "peers will agree slowly",
                step.learning_rate,
                half,
            )
        return step
    for constant, value in constants.items():
        raise ConfigError(f"outer.{constant}", value, f"remove it; {NONE} has no constants")
    return None


def is_outer_state(name: str) -> bool:
    """Tell whether a saved tensor is one of `OuterState.state`."""
    return name.startswith(_STATE)
