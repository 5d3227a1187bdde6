"""Believe peers by how their models do on own held-out data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final, get_args

from torch import Tensor
from typing_extensions import override

from robust.bristle.columns import ForeignGuard, column_weights, integrate_columns
from robust.bristle.weights import OVERLAP_DEFAULT, PeerWeights, weigh
from robust.errors import InputError, RuleError
from robust.evaluation import Evaluate
from robust.inputs import Inputs
from robust.lengths import norm_of_own, norms
from robust.neighbors import find_own_rows, share_among_equals
from robust.parameters import read_numbers
from robust.rule import Aggregation, Rule
from robust.sanitizer import find_above_cap
from robust.tolerance import check_byzantine_count


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Bristle(Rule):
    """Mix each class's column of a head by how well each peer does on the own classes.

    (own_c + sum_j W_jc x_jc) / (1 + sum_j W_jc) for each class c. A familiar class, one that the
    own data has, can be checked, and W_jc follows from the peer's F1 on it; a foreign class cannot,
    and W_jc follows from all the classes that the peer speaks on. If all peers do worse than own
    by 0.26 or more, the result is `own` to the last bit, however many they are.

    Without `class_count` the vector is mixed whole, each peer with the one weight of a foreign
    class, and `evaluate` scores shards of the held-out data (see `robust.bristle.shards`).

    Two things that no F1 on familiar classes can see are what options are for. F1 does not change
    when a head is multiplied by 1000, and such a row would drown all others: rows above the norm
    cap are left out. Keep a cap before this rule too, as `robust.Integrator` does: a guard without
    one is worse than neither. And a peer that is perfect on familiar classes may write anything
    into foreign columns. "median" undoes most of that if most peers know each class: one
    integration with 6 peers that know all 10 classes and 3 whose foreign columns are negated has an
    accuracy of 0.75 without it, 0.91 with it and 0.96 without the three. Where each peer knows 4
    classes, it holds back what few know: 0.52 in place of 0.93 on digits, label flippers among the
    peers, and against trojans it does nothing. "clip" bounds lengths only. So neither is on.

    `evaluate` is called for `own` and for each row, on new memory, with vectors as they were handed
    in: whoever hands in drifts from a start adds the start.

    `own` is required and may stand among the rows; a second copy of it is a peer's. `weights` are
    ignored. With `gram`, lengths are taken from it, and `own` has to be among the rows.

    Args:
        byzantine_count: Taken so that every rule can be made alike; it changes no result.
        evaluate: The scores of a vector, in [0, 1]: with `class_count` the F1 of each familiar
            class, made by predictions among all classes (see `robust.bristle.f1`); else one per
            shard. A peer's score that is not a number counts as 0.
        class_count: C, at least 1, if the vector is a (features, C) head, row after row; left out,
            the vector is mixed whole.
        familiar: With `class_count`, the classes that the own data has, in the order of the scores.
        overlaps: How many familiar classes or shards a peer may speak on, its best ones: the number
            of classes that its data shares with the own data, one for all or by the row's key; a
            key that is not there has the default. 3 by default, and all shards.
        foreign_guard: "none", "median" (foreign columns move towards the coordinate-wise median of
            own and the peers that have a weight) or "clip" (by no more than the median distance).
        norm_cap_ratio: Leave out rows longer than this many median lengths, at least 1; None for
            no cap.
        is_strict: Whether peers count only where they are better than own.

    Raises:
        RuleError: If a parameter is out of range.

    Source: Verbraeken, de Vos and Pouwelse 2021, "Bristle: decentralized federated learning in
        Byzantine, non-i.i.d. environments", the performance-based integrator, with the constants
        of the authors' program.
    Differs: norm cap, guard and the form without classes are additions; `robust.bristle.weights`
        says what differs in the weights.
    Cost: O(n d) time in three passes, and n calls of `evaluate`, which is most of it.
    """

    byzantine_count: int = 0
    evaluate: Evaluate
    class_count: int | None = None
    familiar: tuple[int, ...] | None = None
    overlaps: int | Mapping[bytes, int] | Mapping[str, int] | Mapping[int, int] | None = field(
        default=None, hash=False
    )
    foreign_guard: ForeignGuard = "none"
    norm_cap_ratio: float | None = 3.0
    is_strict: bool = False

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)
        if not callable(self.evaluate):
            raise RuleError(f"evaluate={self.evaluate!r} is not a function of a vector")
        _check_classes(self.class_count, self.familiar)
        if self.overlaps is not None:
            overlaps = self.overlaps
            for overlap in overlaps.values() if isinstance(overlaps, Mapping) else [overlaps]:
                _check_overlap(overlap)
        if self.foreign_guard not in get_args(ForeignGuard):
            known = ", ".join(get_args(ForeignGuard))
            raise RuleError(f"unknown foreign_guard {self.foreign_guard!r}; known: {known}")
        if self.norm_cap_ratio is not None and not self.norm_cap_ratio >= 1.0:
            raise RuleError(f"norm_cap_ratio={self.norm_cap_ratio} leaves out half of all; >= 1")

    @property
    @override
    def rows_min(self) -> int:
        """One: what it is given is all that it needs, and all others may lie."""
        return 1

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        return self._aggregate(inputs).vector

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        familiar = self.familiar or ()
        class_count = self.class_count or 1
        if inputs.dimension % class_count != 0:
            raise InputError(f"{inputs.dimension} entries are no matrix of {class_count} columns")
        foreign = [it for it in range(class_count) if it not in familiar]
        copies = find_own_rows(inputs)
        weights = self._weigh(inputs, copies)
        columns = column_weights(weights, familiar, class_count)
        vector, shares = integrate_columns(
            inputs, columns, foreign=foreign, guard=self.foreign_guard
        )
        row_shares: list[float] = shares.tolist()
        own_share = 1.0 - math.fsum(row_shares)
        if not copies:
            return Aggregation.of_rows(vector, inputs, row_shares, own_share)
        row_shares[copies[0]] = own_share
        return Aggregation.of_rows(vector, inputs, share_among_equals(row_shares, copies))

    def _weigh(self, inputs: Inputs, copies: Sequence[int]) -> list[PeerWeights | None]:
        """Judge the rows; None for the own one and for those above the norm cap."""
        own_scores = self._own_scores(inputs)
        left_out = {*copies[:1], *self._find_above_cap(inputs, copies)}
        weights: list[PeerWeights | None] = [None] * inputs.row_count
        for row in inputs.order:
            if row in left_out:
                continue
            scores = own_scores
            if row not in copies:
                scores = _bounded(self.evaluate(_row(inputs, row)), count=len(own_scores))
            overlap = self._overlap(inputs, row)
            weight = weigh(own_scores, scores, overlap=overlap, is_strict=self.is_strict)
            weights[row] = weight if self.familiar is not None else replace(weight, familiar=())
        return weights

    def _own_scores(self, inputs: Inputs) -> list[float]:
        scores = read_numbers(self.evaluate(inputs.required_own().clone()), "evaluate gave")
        if self.familiar is not None and len(scores) != len(self.familiar):
            raise InputError(
                f"evaluate gave {len(scores)} scores for {len(self.familiar)} familiar classes"
            )
        if not scores or not all(0.0 <= score <= 1.0 for score in scores):
            raise InputError(f"evaluate gave own {scores}; at least one score, each in [0, 1]")
        return scores

    def _overlap(self, inputs: Inputs, row: int) -> int | None:
        default = OVERLAP_DEFAULT if self.class_count is not None else None
        if self.overlaps is None or isinstance(self.overlaps, int):
            return default if self.overlaps is None else self.overlaps
        if inputs.keys is None or inputs.row_count != len(inputs.keys):
            return default
        # Behind pre-aggregations, rows stand in the order of the keys of those they come from.
        given: Mapping[Any, int] = self.overlaps
        place = row if inputs.mixing is None else inputs.given_order[row]
        return given.get(inputs.keys[place], default)

    def _find_above_cap(self, inputs: Inputs, copies: Sequence[int]) -> set[int]:
        if self.norm_cap_ratio is None:
            return set()
        lengths = {row: length for row, length in enumerate(norms(inputs)) if row not in copies[:1]}
        return find_above_cap(lengths, norm_of_own(inputs), norm_cap_ratio=self.norm_cap_ratio)


def _row(inputs: Inputs, row: int) -> Tensor:
    """Return a row on new memory, as `evaluate` is to get it."""
    if inputs.mixing is None:
        return inputs.vectors[row].clone()
    return inputs.combine([float(other == row) for other in range(inputs.row_count)])


def _bounded(given: object, *, count: int) -> list[float]:
    """Check the scores of a peer's row, which must not be able to raise by what it holds."""
    scores = read_numbers(given, "evaluate gave")
    if len(scores) != count:
        raise InputError(f"evaluate gave {len(scores)} scores, and {count} for own")
    return [0.0 if math.isnan(score) else min(max(score, 0.0), 1.0) for score in scores]


def _check_classes(class_count: int | None, familiar: Sequence[int] | None) -> None:
    if (class_count is None) != (familiar is None):
        raise RuleError(
            f"class_count={class_count}, familiar={familiar}: give both for a head, none for shards"
        )
    if class_count is None or familiar is None:
        return
    if not familiar or len(set(familiar)) != len(familiar):
        raise RuleError(f"familiar={familiar} is not at least one class, each once")
    if not all(0 <= it < class_count for it in familiar):
        raise RuleError(f"familiar={familiar} is not all in [0, class_count={class_count})")


def _check_overlap(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RuleError(f"overlap {value!r} is not a whole number of classes >= 0")
