"""Free riders: they take part without training."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from sim.adversaries.attacks import draws, neighborhood
from sim.adversaries.parameters import check_count, check_number
from sim.adversaries.view import View


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFreeRider:
    """Send even noise of bounded length in place of a model.

    Args:
        bound: Numbers lie between -bound and bound; above 0.
        norm_max: The vector is scaled down to this length if it is longer; None for no bound.

    Raises:
        ConfigError: If an argument is out of range.

    Source: Xu and Lyu 2021, "A reputation mechanism is all you need: collaborative fairness and
        adversarial robustness in federated learning", free-riders, U[-1, 1] and clipped.
    Differs: nothing.
    """

    bound: float = 1.0
    norm_max: float | None = None

    def __post_init__(self) -> None:
        check_number("bound", self.bound, above=0.0)
        if self.norm_max is not None:
            check_number("norm_max", self.norm_max, above=0.0)

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,)."""
        noise = draws.uniform(view, -self.bound, self.bound)
        length = float(torch.linalg.vector_norm(noise))
        if self.norm_max is not None and length > self.norm_max:
            noise *= self.norm_max / length
        return neighborhood.sent(noise, view)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaFreeRider:
    """Repeat the last step that the honest mean took, with some noise.

    Sends the last mean + (last - one before) + noise. Before there is a history it sends where
    the honest rows were before the round.

    Args:
        deviation: Standard deviation of the noise per coordinate, at least 0.

    Raises:
        ConfigError: If `deviation` is out of range.

    Source: Lin et al. 2019, "Free-riders in federated learning: attacks and defenses", delta
        weights and advanced delta weights.
    Differs: the mean of the target's honest neighborhood stands for the global model.
    """

    deviation: float = 1e-3  # guess: small beside a round's step

    def __post_init__(self) -> None:
        check_number("deviation", self.deviation, least=0.0)

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,)."""
        noise = self.deviation * draws.normal(view)
        if not view.history:
            return neighborhood.sent(neighborhood.mean_before(view) + noise, view)
        last, before = view.history[-1].double(), view.history[-min(2, len(view.history))].double()
        return neighborhood.sent(last + (last - before) + noise, view)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Send what the honest mean was some rounds ago, as if it were new.

    Args:
        age: Rounds, at least 1; the oldest known if the history is shorter. Without any, where
            the honest rows were before the round.

    Raises:
        ConfigError: If `age` is out of range.

    Source: Damaskinos et al. 2018, "Asynchronous Byzantine machine learning (the case of SGD)",
        stale gradients as an attack.
    Differs: the mean of others stands for the attacker's own old vector.
    """

    age: int = 3

    def __post_init__(self) -> None:
        check_count("age", self.age, least=1)

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,)."""
        if not view.history:
            return neighborhood.sent(neighborhood.mean_before(view), view)
        return neighborhood.sent(view.history[-min(self.age, len(view.history))], view)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StaleOwn:
    """Send what the attacker itself would have sent some rounds ago, signed as new.

    Args:
        age: Rounds, at least 1; the oldest known if fewer are. Without any, the own row.

    Raises:
        ConfigError: If `age` is out of range.

    Source: Damaskinos et al. 2018, "Asynchronous Byzantine machine learning (the case of SGD)",
        stale gradients as an attack.
    Differs: rows are models, so that an old one pulls its readers back.
    """

    age: int = 3

    def __post_init__(self) -> None:
        check_count("age", self.age, least=1)

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,)."""
        known = view.own_history
        return neighborhood.sent(known[-min(self.age, len(known))] if known else view.own, view)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StaleCopy:
    """Send what a neighbor of the target sent some rounds ago, signed by the attacker as new.

    Args:
        age: Rounds, at least 1; the oldest known if fewer are. Without any, the row of now.
        row: Number of that neighbor among the honest rows; 0 is the target. With fewer rows the
            last.

    Raises:
        ConfigError: If an argument is out of range.

    Source: Damaskinos et al. 2018, "Asynchronous Byzantine machine learning (the case of SGD)",
        stale gradients as an attack; Fraboni et al. 2021, "Free-rider attacks on model aggregation
        in federated learning", for the theft.
    Differs: rows are models, so that an old one pulls its readers back.
    """

    age: int = 3
    row: int = 1

    def __post_init__(self) -> None:
        check_count("age", self.age, least=1)
        check_count("row", self.row)

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,)."""
        known = view.honest_history
        rows = known[-min(self.age, len(known))] if known else view.honest
        return neighborhood.sent(rows[min(self.row, len(rows) - 1)], view)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Zero:
    """Send the initial model, a drift of zeros.

    Source: Fraboni et al. 2021, "Free-rider attacks on model aggregation in federated learning",
        plain free-riders, whose update is zero.
    Differs: the drift since genesis is zero and not the round's update, so that it also pulls
        everybody back; `Echo` sends what is neutral.
    """

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,)."""
        return torch.zeros_like(view.own)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """Send the target what a neighbor of it, or itself, came to the round with.

    Args:
        row: Number of that peer among the honest rows; 0 is the target. With fewer rows the last.

    Raises:
        ConfigError: If `row` is no whole number >= 0.

    Source: Fraboni et al. 2021, "Free-rider attacks on model aggregation in federated learning",
        plain free-riders, who return the model that they were sent.
    Differs: models come from neighbors, so one of them is chosen.
    """

    row: int = 0

    def __post_init__(self) -> None:
        check_count("row", self.row)

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,)."""
        row = min(self.row, view.honest_before.shape[0] - 1)
        return neighborhood.sent(view.honest_before[row], view)
