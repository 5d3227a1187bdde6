"""Integrations of many peers at once, where nothing is to be rejected and the rule allows it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

import robust
from p2pfed.updates.methods import Full
from sim.compute.crowd_rule import BLOCK_BYTES, CrowdRule
from sim.rounds.config import RoundsConfig
from sim.rounds.letters import Letters
from sim.rounds.neighborhood import Neighborhood

# Rules that treat each coordinate by itself: the rows of many peers can stand behind each other.
_BY_COORDINATE: Final = frozenset({"mean", "median", "trimmed-mean"})
_OPTIONS: Final = frozenset({"beta_max", "norm_cap_ratio"})
_COLUMNS_LOOKED_AT: Final = 64  # guess: an honest row is in the middle in one of them


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """What some peers integrated.

    Attributes:
        peers: Their numbers, shape (k,).
        rows: Their own rows, then those of their neighbors, shape (m + 1, k, d).
        vectors: Their next rows, shape (k, d).
    """

    peers: Tensor
    rows: Tensor
    vectors: Tensor


@final
class Crowd:
    """Peers with as many neighbors, of the same weights; no neighbor lies.

    Args:
        peers: Their numbers.
        neighbors: Of each, ascending, at least one.
        weights: Of the neighbors, in their order.
        rule: Of a name of `_BY_COORDINATE`.
    """

    def __init__(
        self,
        peers: Sequence[int],
        neighbors: Sequence[Sequence[int]],
        weights: Sequence[float],
        *,
        rule: CrowdRule,
    ) -> None:
        chosen = [[peer, *others] for peer, others in zip(peers, neighbors, strict=True)]
        self._rows = torch.tensor(chosen).T.contiguous()  # (m + 1, g)
        own_weight = max(0.0, 1.0 - sum(weights))
        given = torch.tensor([own_weight, *weights], dtype=torch.float64)
        self._weights = (given / given.sum())[:, None]  # (m + 1, 1)
        self._rule = rule
        # Values at each end that have no part in the result.
        self._cut = rule.cut(len(weights) + 1)

    def integrate(self, published: Tensor, lengths: Tensor) -> Iterator[Block]:
        """Yield what `robust.Integrator` makes of each peer's rows, if it uses them all.

        Peers whose rows it may reject, or take nothing of, are left out. With the mean, rows are
        summed in the order of their numbers, so that vectors differ by rounding.

        Args:
            published: Every peer's row, shape (n, d).
            lengths: Their Euclidean lengths, shape (n,).
        """
        ordinary = self._rows[:, self._rule.are_ordinary(lengths[self._rows])]
        row_bytes = ordinary.shape[0] * published.shape[1] * published.element_size()
        for chosen in ordinary.split(max(BLOCK_BYTES // row_bytes, 1), dim=1):
            if not chosen.numel():
                continue
            # Indexing with a matrix would give the same and take three times as long.
            rows = published.index_select(0, chosen.flatten()).view(*chosen.shape, -1)
            vectors = self._rule.vectors(rows, self._weights)
            # What is not finite makes the sum so; a sum beyond the type is for the integrator.
            is_whole = self._are_all_used(rows) & torch.isfinite(vectors.sum(dim=1))
            if not bool(is_whole.all()):
                chosen, rows, vectors = chosen[:, is_whole], rows[:, is_whole], vectors[is_whole]
            yield Block(peers=chosen[0], rows=rows, vectors=vectors)

    def _are_all_used(self, rows: Tensor) -> Tensor:
        """Return at whom every row is seen to have a part in the result, shape (k,)."""
        if self._cut == 0:
            return torch.ones(rows.shape[1], dtype=torch.bool)
        part = rows[..., :_COLUMNS_LOOKED_AT]
        ordered = part.sort(dim=0).values
        low, high = ordered[self._cut], ordered[-1 - self._cut]
        return ((part >= low) & (part <= high)).any(dim=2).all(dim=0)


def find_crowds(config: RoundsConfig, places: Sequence[Neighborhood]) -> list[Crowd]:
    """Return the crowds among honest peers' neighborhoods; whoever is in none integrates alone.

    Args:
        config: Of the run, whose pipelines are `make_pipeline`'s.
        places: Of the honest peers.
    """
    keeps_account = config.reputation is not None or config.loss_gate is not None
    is_plain = isinstance(config.method, Full) and Letters.is_exact(config.codec)
    is_batched = config.compute == "batched" and is_plain and not keeps_account
    if not is_batched or config.rule not in _BY_COORDINATE or config.integrator.keys() - _OPTIONS:
        return []
    groups: dict[tuple[float, ...], list[Neighborhood]] = {}
    for place in places:
        weights = tuple(place.weights[number] for number in place.honest)
        if not place.liars and weights and min(weights) > 0.0:
            groups.setdefault(weights, []).append(place)
    rule = CrowdRule.of(robust.Integrator(config.rule, **config.integrator))
    return [
        Crowd(
            [place.peer for place in group],
            [place.honest for place in group],
            weights,
            rule=rule,
        )
        for weights, group in groups.items()
    ]
