"""Adds up what noisy releases tell about training rows, and refuses what is too much."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from p2pfed.errors import ConfigError, LocalError
from p2pfed.updates.construction import check_number

# Any set of orders gives a bound that holds; these cover noise from 0.3 to 1000 within 1 %.
_ORDERS: Final = (
    *(1.0 + tenths / 10.0 for tenths in range(1, 100)),
    *(float(order) for order in range(11, 64)),
    *(80.0, 96.0, 128.0, 192.0, 256.0, 384.0, 512.0),
)
_HISTORY: Final = "history"
_GAUSSIANS_MAX: Final = 1_024  # guess: restarts with other settings or rows; a peer has few
_COUNT_MAX: Final = 2**53  # what a float64 counts exactly


class BudgetSpent(LocalError):
    """A release would take more than is left of the privacy budget."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Gaussian:
    """A release with Gaussian noise of what was found on a random part of the rows.

    Attributes:
        noise_multiplier: Standard deviation of the noise over what one row can change.
        sample_rate: Chance of each row to take part, above 0, at most 1.

    Source: Mironov, Talwar and Zhang 2019, "Renyi differential privacy of the sampled Gaussian
        mechanism", definition 1.
    """

    noise_multiplier: float
    sample_rate: float = 1.0

    def __post_init__(self) -> None:
        check_number(self.noise_multiplier, "privacy.noise_multiplier", above=0.0)
        check_number(self.sample_rate, "privacy.sample_rate", above=0.0)
        if self.sample_rate > 1.0:
            raise ConfigError("privacy.sample_rate", self.sample_rate, "write at most 1")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be told.

    Attributes:
        epsilon_max: Above 0.
        delta: Chance that epsilon does not hold, above 0 and far below one over the rows.
    """

    epsilon_max: float
    delta: float

    def __post_init__(self) -> None:
        check_number(self.epsilon_max, "privacy.epsilon_max", above=0.0)
        check_number(self.delta, "privacy.delta", above=0.0, below=1.0)


@final
class Accountant:
    """Counts releases, and says what epsilon they come to.

    The sum is that of Renyi differential privacy under sampling, by opacus.

    Args:
        budget: What may be spent.

    Raises:
        ConfigError: If opacus is not installed.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._counts: dict[Gaussian, int] = {}
        self._costs: dict[Gaussian, npt.NDArray[np.float64]] = {}
        self._opacus = _load_opacus()

    @property
    def releases(self) -> int:
        """Releases counted so far."""
        return sum(self._counts.values())

    @property
    def is_sampled(self) -> bool:
        """Whether in each release only some rows took part."""
        return all(it.sample_rate < 1.0 for it, count in self._counts.items() if count)

    def epsilon(self, gaussian: Gaussian | None = None, count: int = 0) -> float:
        """Return what all releases come to, `count` further ones included; 0 before the first."""
        counts = dict(self._counts)
        if gaussian is not None and count > 0:
            counts[gaussian] = counts.get(gaussian, 0) + count
        if not counts:
            return 0.0
        total = np.sum([count * self._cost(it) for it, count in sorted(counts.items())], axis=0)
        with _expected_warnings():
            epsilon, _ = self._opacus.get_privacy_spent(
                orders=_ORDERS, rdp=total, delta=self.budget.delta
            )
        # Where noise hides everything the conversion falls below 0, which nothing can.
        return max(float(epsilon), 0.0)

    def affords(self, gaussian: Gaussian, count: int) -> bool:
        """Tell whether so many further releases stay within the budget."""
        return self.epsilon(gaussian, count) <= self.budget.epsilon_max

    def charge(self, gaussian: Gaussian, count: int) -> None:
        """Count releases; do so before they are made.

        Raises:
            BudgetSpent: If they would exceed the budget; nothing is counted then.
        """
        if not self.affords(gaussian, count):
            spent, budget = self.epsilon(), self.budget
            raise BudgetSpent(
                f"the privacy budget is spent: epsilon {spent:.3f} of {budget.epsilon_max:g} at "
                f"delta {budget.delta:g}, and another round would take it to "
                f"{self.epsilon(gaussian, count):.3f}"
            )
        if gaussian not in self._counts and len(self._counts) >= _GAUSSIANS_MAX:
            raise LocalError(
                f"{len(self._counts)} different privacy settings were used; go on with one of them"
            )
        self._counts[gaussian] = self._counts.get(gaussian, 0) + count

    def state(self, gaussian: Gaussian | None = None, count: int = 0) -> dict[str, Tensor]:
        """Return what `load_state` needs, with `count` further releases counted already."""
        counts = dict(self._counts)
        if gaussian is not None and count > 0:
            counts[gaussian] = counts.get(gaussian, 0) + count
        rows = [(it.noise_multiplier, it.sample_rate, n) for it, n in sorted(counts.items())]
        return {_HISTORY: torch.tensor(rows, dtype=torch.float64).view(-1, 3)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            LocalError: If it is something else.
        """
        history = state.get(_HISTORY)
        is_history = (
            history is not None
            and set(state) == {_HISTORY}
            and history.dtype == torch.float64
            and history.dim() == 2
            and history.shape[1] == 3
        )
        if history is None or not is_history:
            raise LocalError("the saved state does not say what privacy was spent")
        try:
            self._counts = {
                Gaussian(noise_multiplier=noise, sample_rate=rate): _count(number)
                for noise, rate, number in history.tolist()
            }
        except ConfigError as error:
            raise LocalError(f"the saved privacy history is damaged: {error}") from error

    def _cost(self, gaussian: Gaussian) -> npt.NDArray[np.float64]:
        """Return the Renyi divergence of one release at each order."""
        if gaussian not in self._costs:
            costs = self._opacus.compute_rdp(
                q=gaussian.sample_rate,
                noise_multiplier=gaussian.noise_multiplier,
                steps=1,
                orders=list(_ORDERS),
            )
            # What is nearly 0 may come out below it.
            self._costs[gaussian] = np.maximum(np.asarray(costs, dtype=np.float64), 0.0)
        return self._costs[gaussian]


def _count(number: float) -> int:
    if not 0 <= number < _COUNT_MAX or number != int(number):
        raise LocalError(f"the saved privacy history is damaged: {number} releases")
    return int(number)


def _load_opacus() -> Any:
    # Late: it takes a second, and only private peers need it.
    try:
        from opacus.accountants.analysis import rdp
    except ImportError as error:
        fix = "install p2pfed with its extra: pip install 'p2pfed[privacy]'; or set it to false"
        raise ConfigError("privacy.enabled", True, fix) from error
    return rdp


@contextmanager
def _expected_warnings() -> Iterator[None]:
    """Hush that the bound could be tighter: it holds all the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is the", category=UserWarning)
        yield
