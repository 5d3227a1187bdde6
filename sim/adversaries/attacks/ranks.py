"""Attacks on votes about the importance of weights.

A ranking is a row of ranks, int64: what stands at place e is the position of weight e, from 0 for
the least important to d - 1. All of these send a permutation, as anything else is refused.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from p2pfed.errors import LocalError
from sim.adversaries.parameters import check_ratio
from sim.adversaries.view import View


def vote(rankings: Tensor) -> Tensor:
    """Return the ranking that a Borda count of rankings (n, d) elects, (d,); ties by weight.

    Source: Mozaffari et al. 2023, "Every vote counts: ranking-based training of federated
        learning to resist poisoning attacks", the vote of FRL.
    """
    return _ranks(torch.argsort(rankings.sum(dim=0), stable=True))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseRank:
    """Send what the honest rankings elect, upside down.

    Source: Mozaffari et al. 2023, "Every vote counts: ranking-based training of federated
        learning to resist poisoning attacks", its worst-case untargeted attack.
    Differs: the paper's liars vote among themselves on rankings that they trained honestly; here
        they know those of the target's honest neighborhood.
    """

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,), int64."""
        elected = vote(_rankings(view))
        return elected.shape[0] - 1 - elected


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HalfSwap:
    """Send what the honest rankings elect with its upper and lower half in each other's place.

    Rank r becomes (r + d // 2) mod d. A few liars achieve more with it than by reversing: the
    weights near the middle, where the honest votes are close, go to the far ends.

    Source: own measurement of public follow-up work on FRL, Mozaffari et al. 2023, "Every vote
        counts: ranking-based training of federated learning to resist poisoning attacks".
    Differs: as in `ReverseRank`.
    """

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,), int64."""
        elected = vote(_rankings(view))
        dimension = elected.shape[0]
        return (elected + dimension // 2) % dimension


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HalfSwapReverse:
    """Send what the honest rankings elect with each half upside down: both other lies in a row.

    Rank r becomes (d // 2 - 1 - r) mod d, reversed and then swapped. Of all that reorders the
    halves it is nearest to the honest rankings, so that a filter by distance is the last to find
    it. Measured: by a Borda count of 20 votes, up to 5 of them lies, at least 0.995 of the best
    half, quarter and tenth of the weights stay.

    Source: own combination of the two lies of public follow-up work on FRL, Mozaffari et al. 2023,
        "Every vote counts: ranking-based training of federated learning to resist poisoning
        attacks".
    Differs: as in `ReverseRank`.
    """

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,), int64."""
        elected = vote(_rankings(view))
        dimension = elected.shape[0]
        return (dimension // 2 - 1 - elected) % dimension


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeControl:
    """Vote as the honest do but for the weights near the border of what is kept.

    Those just above the border go to the bottom and those just below it to the top, all in order.

    Args:
        kept_ratio: Share of the weights that the vote keeps, from 0 to 1.
        width_ratio: Share of the weights that are pushed, on each side of the border.

    Raises:
        ConfigError: If an argument is out of range.

    Source: "Puppeteer's attack" 2026, arXiv:2601.14687, edge control attack on ranking-based
        federated learning.
    Differs: simplified to one vote in one direction: the paper steers towards wanted scores.
    """

    kept_ratio: float = 0.5
    width_ratio: float = 0.1  # guess

    def __post_init__(self) -> None:
        check_ratio("kept_ratio", self.kept_ratio)
        check_ratio("width_ratio", self.width_ratio)

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,), int64."""
        order = torch.argsort(vote(_rankings(view)))  # weights, the least important first
        dimension = order.shape[0]
        border = dimension - round(self.kept_ratio * dimension)
        width = min(round(self.width_ratio * dimension), border, dimension - border)
        least, dropped, kept, most = order.split(
            [border - width, width, width, dimension - border - width]
        )
        return _ranks(torch.cat([kept, least, most, dropped]))


def _ranks(order: Tensor) -> Tensor:
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(order.shape[0], dtype=order.dtype, device=order.device)
    return ranks


def _rankings(view: View) -> Tensor:
    if view.honest.dtype != torch.int64:
        raise LocalError(f"rows of {view.honest.dtype} are no rankings; give int64 ranks")
    return view.honest
