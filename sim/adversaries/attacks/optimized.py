"""ALIE and inner product manipulation with the factor that hurts the target's own rule most."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import ConfigError
from sim.adversaries.attacks import neighborhood, search
from sim.adversaries.parameters import check_count, check_number
from sim.adversaries.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizedFactor(ABC):
    """Send mean + factor * direction with the factor that moves the target's rule farthest.

    Args:
        evaluations: How often the rule is tried, at least 2.
        step: The first step of the search, above 0.
        shrinking: What a step that found nothing is multiplied by, between 0 and 1.

    Raises:
        ConfigError: If an argument is out of range.

    Source: Allouah et al. 2023, "Fixing by mixing: a recipe for optimal Byzantine ML under
        heterogeneity", the line search of its experiments.
    Differs: distance is measured from the honest mean at one target; a step that found nothing is
        followed by a shorter one on both sides of the best factor.
    """

    evaluations: int = 20
    step: float = 10.0
    shrinking: float = 0.8

    def __post_init__(self) -> None:
        check_count("evaluations", self.evaluations, least=2)
        check_number("step", self.step, above=0.0)
        check_number("shrinking", self.shrinking, above=0.0)
        if self.shrinking >= 1.0:
            raise ConfigError("shrinking", self.shrinking, "write a number between 0 and 1")

    @final
    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,)."""
        mean, direction = neighborhood.mean(view), self._direction(view)

        def harm(factor: float) -> float:
            moved = neighborhood.answer(view, mean + factor * direction) - mean
            return float(torch.linalg.vector_norm(moved))

        factor = search.best(
            harm, step=self.step, evaluations=self.evaluations, shrinking=self.shrinking
        )
        return neighborhood.sent(mean + factor * direction, view)

    @abstractmethod
    def _direction(self, view: View) -> Tensor:
        """Return where the lies go, seen from the mean, (d,), float64."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizedLittleIsEnough(OptimizedFactor):
    """Send mean - z * standard deviation with the z that moves the target's rule farthest.

    Source: As `OptimizedFactor`, with ALIE of Baruch et al. 2019.
    Differs: as there.
    """

    @override
    def _direction(self, view: View) -> Tensor:
        return -neighborhood.deviation(view)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizedInnerProduct(OptimizedFactor):
    """Send -epsilon * mean with the epsilon that moves the target's rule farthest.

    Source: As `OptimizedFactor`, with the attack of Xie et al. 2020.
    Differs: also, the search runs over 1 + epsilon >= 0, so that it starts at the harmless mean.
    """

    @override
    def _direction(self, view: View) -> Tensor:
        return -neighborhood.mean(view)
