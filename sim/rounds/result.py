"""What a run of `sim.rounds` found out."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Final, final

import torch
from blake3 import blake3
from torch import Tensor

import robust
from p2pfed.core.rejections import Rejections
from p2pfed.identity import PeerId
from robust.function_rule import WEIGHTS_UNKNOWN
from sim.rounds.crowd import Block
from sim.rounds.neighborhood import Neighborhood

HONEST: Final = "honest"
HOSTILE: Final = "hostile"

# What a row can come to without having been turned away.
_NOT_REJECTED: Final = (
    robust.Reason.ACCEPTED,
    robust.Reason.NOT_CHOSEN,
    robust.Reason.NOT_INTEGRATED,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RoundsResult:
    """What a run found out; equal for equal configurations on one machine with one torch thread.

    Attributes:
        config: The configuration, as JSON knows it.
        accuracies: Test metric of each honest peer at the end, by number.
        liar_weight: Mean weight of the liars' rows together, over the integrations of honest
            peers that have lying neighbors; None without any, and where a rule of one's own returns
            no weights.
        liar_rejected_ratio: Share of the liars' rows that were turned away; None without any.
        false_rejected_ratio: Share of the honest rows that were turned away by honest peers; None
            without any.
        false_ban_ratio: Share of the pairs of honest neighbors of which the first banned the second
            at some time; None without ledgers.
        liar_ban_ratio: Share of the pairs of an honest peer and a lying neighbor of which the first
            banned the second at some time; None without ledgers or such pairs.
        kept_own_ratio: Share of the integrations in which the own row was kept.
        honest_reasons: How often honest rows came to each verdict.
        liar_reasons: How often lying rows did.
        consensus_distance: Mean squared distance of the honest peers' vectors from their mean.
        honest_spread: How far the rows of an honest neighborhood are apart: their root mean squared
            distance from their mean, over the length of that mean, which is a drift from the
            initial vector. Mean over the integrations of honest peers that are not overrun; None
            without any, or if it is not measured.
        result_error: How far from that mean an integration ends, in units of that distance: the
            square root of the kappa that it shows. Mean over the same integrations.
        bytes_per_peer: Payload bytes that an honest peer sends, without headers, on average.
        liar_neighbor_ratio_max: Largest share of liars among the neighbors that one honest peer
            hears; 1 for a peer in eclipse.
        overrun_peers: Honest peers with more lying neighbors than f, the number that their rule
            allows for: no rule promises them anything.
        attack_success: Share of triggered test rows that honest models take for the attacker's
            class, for attacks with a trigger; else None.
        model_digests: BLAKE3-256 of each honest peer's final vector, in hexadecimal, by number.
    """

    config: Mapping[str, Any]
    accuracies: Mapping[int, float]
    liar_weight: float | None
    liar_rejected_ratio: float | None
    false_rejected_ratio: float | None
    false_ban_ratio: float | None
    liar_ban_ratio: float | None
    kept_own_ratio: float
    honest_reasons: Mapping[str, int]
    liar_reasons: Mapping[str, int]
    consensus_distance: float
    honest_spread: float | None
    result_error: float | None
    bytes_per_peer: float
    liar_neighbor_ratio_max: float
    overrun_peers: tuple[int, ...]
    attack_success: float | None
    model_digests: Mapping[int, str]

    @property
    def mean_accuracy(self) -> float:
        """Of the honest peers."""
        return fmean(self.accuracies.values())

    @property
    def worst_accuracy(self) -> float:
        """Of the honest peers."""
        return min(self.accuracies.values())

    @property
    def worst_covered_accuracy(self) -> float | None:
        """Of the honest peers that have no more lying neighbors than f; None without any."""
        covered = [it for peer, it in self.accuracies.items() if peer not in self.overrun_peers]
        return min(covered, default=None)

    @property
    def digest(self) -> str:
        """BLAKE3-256 of the honest peers' final vectors together, in hexadecimal."""
        return blake3(bytes.fromhex("".join(self.model_digests.values()))).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON knows it."""
        return {
            **asdict(self),
            "accuracies": {str(peer): it for peer, it in self.accuracies.items()},
            "model_digests": {str(peer): it for peer, it in self.model_digests.items()},
            "digest": self.digest,
            "overrun_peers": list(self.overrun_peers),
            "mean_accuracy": self.mean_accuracy,
            "worst_accuracy": self.worst_accuracy,
            "worst_covered_accuracy": self.worst_covered_accuracy,
        }

    def to_json(self) -> str:
        """Return everything as one JSON object."""
        return json.dumps(self.to_dict(), sort_keys=True)


@final
@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts what the honest peers' integrations say.

    Attributes:
        liar_weights: Weight of the lying rows together, per integration with any.
        honest_reasons: How often honest rows came to each verdict.
        liar_reasons: How often lying rows did.
        used: Rows with a weight, by side: `honest` or `hostile`.
        unused: The others, by reason and side, in the words of real peers' notices.
        rejections: Whose those were.
        banned: Pairs of a peer and one that it banned at some time.
        notes: Why own rows were kept, and what else integrations note.
        kept: Of each integration, whether the own row was.
        spreads: Of each measured integration, how far honest rows were apart.
        errors: And how far the result was from their mean.
    """

    liar_weights: list[float] = field(default_factory=list)
    honest_reasons: Counter[str] = field(default_factory=Counter)
    liar_reasons: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    unused: dict[str, Counter[str]] = field(default_factory=dict)
    banned: set[tuple[int, int]] = field(default_factory=set)
    notes: Counter[str] = field(default_factory=Counter)
    rejections: Rejections = field(default_factory=Rejections)
    kept: list[bool] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def add(
        self,
        place: Neighborhood,
        integration: robust.Integration,
        number_of: Mapping[bytes, int],
        *,
        is_last: bool = True,
    ) -> None:
        """Count one integration.

        Args:
            place: Where it was.
            integration: What it said.
            number_of: A peer's number, by the name in the verdicts.
            is_last: Whether it ended a round: peers tell their applications of no other.
        """
        liar_weight = 0.0
        for verdict in integration.verdicts:
            assert isinstance(verdict.peer, bytes)
            is_liar = number_of[verdict.peer] in place.liars
            reasons = self.liar_reasons if is_liar else self.honest_reasons
            reasons[str(verdict.reason)] += 1
            if is_last:
                self._tell(_told(verdict), [verdict.peer], 1, HOSTILE if is_liar else HONEST)
            liar_weight += verdict.weight if is_liar else 0.0
        if place.liars:
            self.liar_weights.append(liar_weight)
        self.kept.append(integration.kept_own)
        if integration.note:
            self.notes[integration.note] += 1

    def _tell(self, reason: robust.Reason, peers: Iterable[bytes], count: int, side: str) -> None:
        if reason is robust.Reason.ACCEPTED:
            self.used[side] += count
            return
        self.unused.setdefault(str(reason), Counter())[side] += count
        for peer in peers:
            self.rejections.add(PeerId(peer), str(reason))

    def add_distances(self, honest: Tensor, result: Tensor) -> None:
        """Measure how far honest rows are apart, and the result from their mean.

        Args:
            honest: The rows of an honest neighborhood, shape (h, d).
            result: What the peer made of them and of the lies, shape (d,).
        """
        mean = honest.double().mean(dim=0)
        spread = float((honest.double() - mean).square().sum(dim=1).mean().sqrt())
        length = float(mean.norm())
        if spread > 0.0 and length > 0.0:  # else there is no unit
            self.spreads.append(spread / length)
            self.errors.append(float((result.double() - mean).norm()) / spread)

    def add_block(self, block: Block, names: Sequence[bytes], *, is_last: bool = True) -> None:
        """Count integrations that were done at once, none of which kept the own row.

        Args:
            block: What they came to.
            names: Of all peers, by number.
            is_last: As above.
        """
        self.kept.extend([False] * len(block.vectors))
        if block.verdicts is None:  # all are honest and used
            count = block.numbers[1:].numel()
            self.honest_reasons[str(robust.Reason.ACCEPTED)] += count
            self.used[HONEST] += count if is_last else 0
            return
        sides = ((HONEST, self.honest_reasons), (HOSTILE, self.liar_reasons))
        for reason, *numbers_by_side in block.reasons():
            for (side, reasons), numbers in zip(sides, numbers_by_side, strict=True):
                if not numbers:
                    continue
                reasons[str(reason)] += len(numbers)
                if is_last:
                    self._tell(reason, map(names.__getitem__, numbers), len(numbers), side)
        self.liar_weights.extend(block.liar_weights())

    def add_block_distances(self, rows: Tensor, results: Tensor) -> None:
        """Measure as `add_distances` does, but in the type of the rows: it differs by rounding.

        Args:
            rows: Of honest neighborhoods, shape (h, k, d), own rows first.
            results: Shape (k, d).
        """
        mean = rows.mean(dim=0)  # (k, d)
        # Row by row, and then of these: over both dimensions at once it takes five times as long.
        distances = torch.linalg.vector_norm(rows - mean, dim=2)  # (h, k)
        spread = torch.linalg.vector_norm(distances, dim=0) / math.sqrt(len(rows))
        length = torch.linalg.vector_norm(mean, dim=1)
        error = torch.linalg.vector_norm(results - mean, dim=1)
        has_unit = (spread > 0.0) & (length > 0.0)
        self.spreads.extend((spread / length)[has_unit].tolist())
        self.errors.extend((error / spread)[has_unit].tolist())

    def add_bans(self, place: Neighborhood, banned: Iterable[int]) -> None:
        """Take note of whom a peer bans in a round, by number."""
        self.banned.update((place.peer, number) for number in banned)

    def honest_spread(self) -> float | None:
        """Return the mean over the measured integrations."""
        return fmean(self.spreads) if self.spreads else None

    def result_error(self) -> float | None:
        """Return the mean over the measured integrations."""
        return fmean(self.errors) if self.errors else None

    def liar_weight(self) -> float | None:
        """Return the mean over integrations with lying neighbors; None if it is not known."""
        if self.has_unknown_weights:
            return None
        return fmean(self.liar_weights) if self.liar_weights else None

    @property
    def has_unknown_weights(self) -> bool:
        """Whether a rule of one's own returned no weights."""
        return WEIGHTS_UNKNOWN in self.notes

    def kept_own_ratio(self) -> float:
        """Return the share of integrations that kept the own row."""
        return sum(self.kept) / len(self.kept) if self.kept else 0.0


def _told(verdict: robust.Verdict) -> robust.Reason:
    """Return what real peers' notices say of a row; that it was accepted, if it has a weight."""
    if verdict.weight > 0.0:
        return robust.Reason.ACCEPTED
    is_accepted = verdict.reason is robust.Reason.ACCEPTED
    return robust.Reason.NOT_CHOSEN if is_accepted else verdict.reason


def rejected_ratio(reasons: Mapping[str, int]) -> float | None:
    """Return the share of rows that were turned away; None if there were none."""
    total = sum(reasons.values())
    passed = sum(reasons.get(str(reason), 0) for reason in _NOT_REJECTED)
    return (total - passed) / total if total else None


def plain_counts(reasons: Mapping[str, int]) -> dict[str, int]:
    """Return counts by name, sorted."""
    return dict(sorted(reasons.items()))
