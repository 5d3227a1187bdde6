"""Integrations of many peers at once, where the rule and the pipeline allow it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

import robust
from p2pfed.updates.methods import Full
from robust import Reason
from sim.compute.crowd_rule import BLOCK_BYTES, CrowdRule, can_integrate, measure_lengths
from sim.rounds.config import RoundsConfig
from sim.rounds.letters import Letters
from sim.rounds.neighborhood import Neighborhood

_OPTIONS: Final = frozenset({"beta_max", "norm_cap_ratio"})
_COLUMNS_LOOKED_AT: Final = 64  # guess: an honest row is in the middle in one of them
_LIES_BYTES: Final = 1 << 25  # guess: of a crowd; little beside the models of as many peers
# Measured, trimmed mean of nine rows: at 2,410 columns, with 24 peers in a block, a peer takes a
# third of its integrator's time; at 30,000, with one, as long; at 300,000 five times as long.
_BLOCK_PEERS_MIN: Final = 2
_FLOAT_BYTES: Final = 4


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdicts:
    """What the integrations of a block said about their rows.

    Attributes:
        shares: What each row contributed, shape (n, k), float64.
        reasons: At which rows each reason was given, shape (n, k).
    """

    shares: Tensor
    reasons: Mapping[Reason, Tensor]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """What some peers integrated.

    Attributes:
        numbers: Of the peers, their honest and their lying neighbors, shape (n, k).
        honest_count: How many of the n are honest, the peer among them.
        rows: Their rows, shape (n, k, d).
        vectors: The peers' next rows, shape (k, d).
        verdicts: Of the rows; None if all are honest and used.
    """

    numbers: Tensor
    honest_count: int
    rows: Tensor
    vectors: Tensor
    verdicts: Verdicts | None

    def reasons(self) -> Iterator[tuple[Reason, list[int], list[int]]]:
        """Yield each reason, and the honest and the lying neighbors to whose rows it was given."""
        if self.verdicts is None:
            yield Reason.ACCEPTED, self.numbers[1:].flatten().tolist(), []
            return
        honest, lying = slice(1, self.honest_count), slice(self.honest_count, None)
        for reason, is_given in self.verdicts.reasons.items():
            numbers = [self.numbers[part][is_given[part]].tolist() for part in (honest, lying)]
            yield reason, numbers[0], numbers[1]

    def liar_weights(self) -> list[float]:
        """Return the weight of the lying rows together at each peer; none where nobody lies."""
        if self.verdicts is None or len(self.numbers) == self.honest_count:
            return []
        weights: list[float] = self.verdicts.shares[self.honest_count :].sum(dim=0).tolist()
        return weights

    def at(self, chosen: Tensor) -> "Block":
        """Return what some of the peers integrated, by a mask of shape (k,)."""
        verdicts = self.verdicts and Verdicts(
            shares=self.verdicts.shares[:, chosen],
            reasons={reason: it[:, chosen] for reason, it in self.verdicts.reasons.items()},
        )
        return Block(
            numbers=self.numbers[:, chosen],
            honest_count=self.honest_count,
            rows=self.rows[:, chosen],
            vectors=self.vectors[chosen],
            verdicts=verdicts,
        )


@final
class Crowd:
    """Peers with as many honest and as many lying neighbors.

    Args:
        places: Theirs; weights are above 0, and there are any.
        rule: Theirs.
    """

    def __init__(self, places: Sequence[Neighborhood], *, rule: CrowdRule) -> None:
        self.places = tuple(places)
        others = [[*place.honest, *place.liars] for place in places]
        numbers = [[place.peer, *known] for place, known in zip(places, others, strict=True)]
        self._numbers = torch.tensor(numbers).T.contiguous()  # (n, g)
        # The own row weighs what those that are used leave to it.
        weights = [
            [0.0, *(place.weights[number] for number in known)]
            for place, known in zip(places, others, strict=True)
        ]
        self._weights = torch.tensor(weights, dtype=torch.float64).T.contiguous()  # (n, g)
        self._weights_of_all = _with_own(self._weights)  # where no row is rejected
        self._honest_count = 1 + len(places[0].honest)
        self._rule = rule

    @property
    def has_liars(self) -> bool:
        """Whether its peers have lying neighbors."""
        return self._honest_count < len(self._numbers)

    def integrate(
        self, published: Tensor, lengths: Tensor, lies: Sequence[Mapping[int, Tensor]]
    ) -> Iterator[Block]:
        """Yield what `robust.Integrator` makes of each peer's rows.

        Peers of which it is not sure which rows are used, or that use none, are left out. Vectors
        differ by rounding where rows are summed, which is in the order of their numbers.

        Args:
            published: Every peer's row, shape (n, d).
            lengths: Theirs by `measure_lengths`, shape (n,).
            lies: What the lying neighbors of each peer send to it, by number, if there are any.
        """
        lengths = lengths[self._numbers]
        told: Tensor | None = None
        if self.has_liars:
            told = self._stack(lies)
            lengths[self._honest_count :] = measure_lengths(told)
        is_used, is_sure = self._rule.sift(lengths)
        used_counts = is_used.sum(dim=0) * is_sure
        peers_max = _block_peers(len(lengths), published.shape[1])
        for count in used_counts.unique().tolist():
            if count == 0:
                continue
            alike = (used_counts == count).nonzero()[:, 0]
            # Of all blocks at once: to index with a tensor takes as long for few as for many.
            weights = self._weights_of_all if count == len(lengths) else self._weights
            of_alike = [it[:, alike] for it in (self._numbers, weights, lengths, is_used)]
            for chosen, *of_block in zip(
                alike.split(peers_max),
                *(it.split(peers_max, dim=1) for it in of_alike),
                strict=True,
            ):
                rows = self._rows(of_block[0], published, None if told is None else told[:, chosen])
                block = self._block(rows, *of_block, rejected_count=len(lengths) - count)
                # A sum beyond the type is for the integrator.
                is_whole = torch.isfinite(block.vectors.sum(dim=1))
                if bool(is_whole.any()):
                    yield block if bool(is_whole.all()) else block.at(is_whole)

    def _stack(self, lies: Sequence[Mapping[int, Tensor]]) -> Tensor:
        """Return lies in the order of the rows, shape (l, g, d)."""
        count = len(self._numbers) - self._honest_count
        in_order = [
            told[place.liars[row]]
            for row in range(count)
            for place, told in zip(self.places, lies, strict=True)
        ]
        return torch.stack(in_order).view(count, len(lies), -1)

    def _rows(self, numbers: Tensor, published: Tensor, told: Tensor | None) -> Tensor:
        """Return the rows of some peers, shape (n, k, d), behind the honest ones those told."""
        numbers = numbers[: self._honest_count]
        # Indexing with a matrix would give the same and take three times as long.
        honest = published.index_select(0, numbers.flatten()).view(*numbers.shape, -1)
        return honest if told is None else torch.cat([honest, told])

    def _block(
        self,
        rows: Tensor,
        numbers: Tensor,
        weights: Tensor,
        lengths: Tensor,
        is_used: Tensor,
        *,
        rejected_count: int,
    ) -> Block:
        """Integrate at some peers, of each of which as many rows are rejected."""
        verdicts: Verdicts | None = None
        if not rejected_count and not self.has_liars and self._are_all_used(rows):
            vectors = self._rule.vectors(rows, weights)
        elif not rejected_count:
            vectors, shares = self._rule.integrate(rows, weights)
            verdicts = _verdicts(shares, is_used, lengths)
        else:
            order = (~is_used).to(torch.int8).sort(dim=0, stable=True).indices[:-rejected_count]
            used, weights = _taken(rows, order), _with_own(weights.gather(0, order))
            vectors, shares = self._rule.integrate(used, weights, rejected_count=rejected_count)
            of_all = torch.zeros(is_used.shape, dtype=shares.dtype).scatter_(0, order, shares)
            verdicts = _verdicts(of_all, is_used, lengths)
        return Block(
            numbers=numbers,
            honest_count=self._honest_count,
            rows=rows,
            vectors=vectors,
            verdicts=verdicts,
        )

    def _are_all_used(self, rows: Tensor) -> bool:
        """Tell whether every row is seen to have a part in the result."""
        if self._rule.is_mean or self._rule.is_mixed:
            return self._rule.is_mean
        cut = self._rule.cut(len(rows))
        part = rows[..., :_COLUMNS_LOOKED_AT]
        ordered = part.sort(dim=0).values
        is_inside = (part >= ordered[cut]) & (part <= ordered[-1 - cut])
        return bool(is_inside.any(dim=2).all())


def find_crowds(config: RoundsConfig, places: Sequence[Neighborhood], *, size: int) -> list[Crowd]:
    """Return the crowds among honest peers' neighborhoods; whoever is in none integrates alone.

    Args:
        config: Of the run, whose pipelines are `make_pipeline`'s.
        places: Of the honest peers, ascending.
        size: d.
    """
    keeps_account = config.reputation is not None or config.loss_gate is not None
    is_plain = isinstance(config.method, Full) and Letters.is_exact(config.codec)
    is_batched = config.compute == "batched" and is_plain and not keeps_account
    if not is_batched or not can_integrate(config.rule) or config.integrator.keys() - _OPTIONS:
        return []
    rule = CrowdRule.of(robust.Integrator(config.rule, **config.integrator))
    crowds = []
    groups: dict[tuple[int, int], list[Neighborhood]] = {}
    for place in places:
        is_short = _block_peers(1 + len(place.weights), size) >= _BLOCK_PEERS_MIN
        if not is_short or not place.weights or min(place.weights.values()) <= 0.0:
            continue
        shape = len(place.honest), len(place.liars)
        group = groups.setdefault(shape, [])
        group.append(place)
        if len(group) * len(place.liars) * size * _FLOAT_BYTES > _LIES_BYTES:
            crowds.append(Crowd(groups.pop(shape), rule=rule))
    return crowds + [Crowd(group, rule=rule) for group in groups.values()]


def _block_peers(row_count: int, size: int) -> int:
    """Return how many peers a block has, of so many rows of d = `size` each; 0 if not even one."""
    return BLOCK_BYTES // (row_count * size * _FLOAT_BYTES)


def _with_own(weights: Tensor) -> Tensor:
    """Return weights (n, k) with what the others leave as the first one, so that all sum to 1."""
    own = (1.0 - weights[1:].sum(dim=0, keepdim=True)).clamp_min_(0.0)
    found = torch.cat([own, weights[1:]])
    return found / found.sum(dim=0)


def _taken(rows: Tensor, order: Tensor) -> Tensor:
    """Return those of each peer's rows, shape (n, k, d), whose places are in (u, k)."""
    places = order * rows.shape[1] + torch.arange(rows.shape[1])
    return rows.flatten(0, 1).index_select(0, places.flatten()).view(*order.shape, -1)


def _verdicts(shares: Tensor, is_used: Tensor, lengths: Tensor) -> Verdicts:
    is_chosen, is_finite = shares > 0.0, ~lengths.isnan()
    return Verdicts(
        shares=shares,
        reasons={
            Reason.ACCEPTED: is_chosen,
            Reason.NOT_CHOSEN: is_used & ~is_chosen,
            Reason.NORM_CAP: is_finite & ~is_used,
            Reason.NOT_FINITE: ~is_finite,
        },
    )
