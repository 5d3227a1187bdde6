"""A layer whose scores are dealt out by rank: a ranking and a vector of scores say the same."""

from dataclasses import dataclass
from typing import Final, Self, final

import torch
from torch import Tensor

from robust.errors import InputError, RuleError

SIZE_MAX: Final = 1 << 24  # whole numbers up to this are exact in float32, and so are their sums


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RankedLayer:
    """One layer of a vector of scores, with the score of each rank.

    Rank p has the score p * step. As the step is a power of two, scores, their differences and
    the ranks that are read from them are exact, in any order of the arithmetic.

    Attributes:
        size: Edges, n, from 1 to 2^24.
        step: From each score to the next; a power of two.

    Raises:
        RuleError: If the layer has too many edges or none.
    """

    size: int
    step: float

    def __post_init__(self) -> None:
        if not 1 <= self.size <= SIZE_MAX:
            raise RuleError(f"size={self.size}: a ranked layer has from 1 to {SIZE_MAX} edges")

    @classmethod
    def of(cls, size: int, *, fan_in: int) -> Self:
        """Choose the step for which scores reach from 0 to about 1 / sqrt(fan_in).

        Args:
            size: Edges.
            fan_in: Inputs of each output of the layer, at least 1.

        Source: Mozaffari, Shejwalkar and Houmansadr 2023, "Every vote counts", section 4.1: the
            sorted initial scores, which are Kaiming-uniform.
        Differs: their expectation, evenly spaced, with the spacing rounded to a power of two.
        """
        # 2^-e with the largest e for which the scores still reach 1 / sqrt(fan_in).
        exponent = ((size * size * fan_in).bit_length() - 1) // 2
        return cls(size=size, step=2.0**-exponent)

    def scores(self, ranks: Tensor) -> Tensor:
        """Deal the scores out: shape (n,), int64, to float32."""
        return ranks.to(torch.float32) * self.step


def split_layers(vector: Tensor, layers: tuple[RankedLayer, ...]) -> tuple[Tensor, ...]:
    """View a vector as its layers.

    Args:
        vector: Shape (..., d).
        layers: Behind each other, d edges in all.

    Raises:
        InputError: If d is another number.
    """
    sizes = [layer.size for layer in layers]
    if vector.shape[-1] != sum(sizes):
        raise InputError(f"a vector of {vector.shape[-1]} scores: the layers have {sum(sizes)}")
    return torch.split(vector, sizes, dim=-1)
