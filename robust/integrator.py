"""From what neighbors sent to the next own vector, with a verdict for each of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Final, final

import torch
from torch import Tensor

from robust.blocks import accumulator, distance, is_supported, supported_names
from robust.errors import InfeasibleError, InputError, RuleError
from robust.inputs import check_like
from robust.registry import create
from robust.rule import Rule
from robust.sanitizer import Reason, Row, find_above_cap, find_malformed, measure_norms, peer_key
from robust.tolerance import byzantine_count, check_beta_max

# Weights of a row that sum to 1 in exact arithmetic may exceed it by rounding.
_WEIGHT_SLACK: Final = 1e-9


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What one neighbor's row contributed, and why.

    Attributes:
        peer: The neighbor.
        weight: The row's coefficient in the rule's output; for a coordinate-wise rule, the mean
            over the coordinates. 0 for a rejected row.
        reason: Why; a `Reason` is also its own text.
    """

    peer: bytes | str
    weight: float
    reason: Reason


@final
@dataclass(frozen=True, slots=True, eq=False)
class Integration:
    """The outcome of one integration.

    Attributes:
        vector: The new own vector, shape (d,), type and device of the old one.
        verdicts: One per neighbor, sorted by peer. Their weights and `own_weight` sum to 1.
        own_weight: The own row's coefficient in the rule's output.
        byzantine_count: The liars that were allowed for; the papers' f.
        kept_own: Whether `vector` is the old one because there was nothing to integrate or no
            safe way to.
        note: A sentence that says why; empty if `kept_own` is false.
    """

    vector: Tensor
    verdicts: tuple[Verdict, ...]
    own_weight: float
    byzantine_count: int
    kept_own: bool
    note: str


@final
@dataclass(frozen=True, slots=True)
class Integrator:
    """Check rows, combine them with the own vector by a rule, and judge their senders.

    The steps: malformed rows are rejected; rows above the norm cap are rejected; the rule combines
    the rest with the own row; the own vector moves to the result. Lengths and distances are those
    of the drift from `genesis`, because what all peers share from the start would otherwise
    dominate every norm. A rejected row's mixing weight goes to the own row.

    A rule given by name gets its f from the number of neighbors before any rejection, so that
    liars cannot lower it by sending garbage; only where too few rows are left for it, f is what
    those bear. A `Rule` keeps the f that it was made with.

    Args:
        rule: A name that `robust.create` knows, or a rule.
        beta_max: Share of liars to survive, from 0 to below 0.5, for a rule given by name.
        norm_cap_ratio: Reject drifts longer than this many medians, at least 1; None for no cap.
        gamma: Step towards the rule's output, above 0 and at most 1; 1 takes it whole.

    Raises:
        RuleError: If a parameter is unknown or out of range.

    Cost: That of the rule, one pass over all rows for their norms, and one copy of all rows.
    """

    rule: str | Rule = "trimmed-mean"
    _: KW_ONLY
    beta_max: float = 0.3  # guess: above the share that an open network should ever reach
    norm_cap_ratio: float | None = 3.0  # guess: honest drifts of one round differ by less
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.rule, str):
            create(self.rule, byzantine_count=0)  # so that a wrong name fails here
        check_beta_max(self.beta_max)
        if self.norm_cap_ratio is not None and not self.norm_cap_ratio >= 1.0:
            raise RuleError(f"norm_cap_ratio={self.norm_cap_ratio} rejects half of all peers; >= 1")
        if not 0.0 < self.gamma <= 1.0:
            raise RuleError(f"gamma={self.gamma} is not in (0, 1]")

    def integrate(
        self, own: Tensor, rows: Sequence[Row], *, genesis: Tensor | None = None
    ) -> Integration:
        """Compute own + gamma (rule(own, rows) - own).

        Args:
            own: The own vector, shape (d,), floating point, finite.
            rows: The neighbors' rows, in any order; nothing in their vectors is trusted.
            genesis: What every peer started from, shape (d,), type and device of `own`; the zero
                vector if left out.

        Returns:
            The new vector and the verdicts. No argument is changed, and `vector` shares memory
            with none.

        Raises:
            InputError: If `own`, `genesis` or a weight is not as described, or weights sum to more
                than 1: the caller's fault. Nothing that a peer sends raises.
        """
        with torch.no_grad():
            own_norm = _check_own(own, genesis)
            ordered = sorted(rows, key=lambda row: peer_key(row.peer))
            peers = {peer_key(row.peer): row.peer for row in ordered}
            weights = _mixing_weights(ordered, row_count=len(peers) + 1)
            reasons = self._find_rejected(ordered, own, own_norm, genesis)
            accepted = [row for row in ordered if peer_key(row.peer) not in reasons]
            rule = self._rule_for(row_count=len(peers) + 1, accepted_count=len(accepted) + 1)
            drifts = _stack_drifts([own, *(row.vector for row in accepted)], genesis)  # (n, d)
            vector, shares, note = own.clone(), [1.0] + [0.0] * len(accepted), ""
            try:
                mass = [weights[peer_key(row.peer)] for row in accepted]
                vector, shares = self._step(rule, drifts, mass, like=own, genesis=genesis)
            except InfeasibleError as error:
                note = str(error)
            return Integration(
                vector=vector,
                verdicts=tuple(_judge(peers, accepted, shares[1:], reasons, is_kept=bool(note))),
                own_weight=shares[0],
                byzantine_count=rule.byzantine_count,
                kept_own=bool(note),
                note=note,
            )

    def _find_rejected(
        self, rows: Sequence[Row], own: Tensor, own_norm: float, genesis: Tensor | None
    ) -> dict[bytes, Reason]:
        rejected = find_malformed(rows, own)
        norms = measure_norms([row for row in rows if peer_key(row.peer) not in rejected], genesis)
        finite = {key: norm for key, norm in norms.items() if math.isfinite(norm)}
        rejected |= dict.fromkeys(norms.keys() - finite.keys(), Reason.NOT_FINITE)
        if self.norm_cap_ratio is not None:
            above = find_above_cap(finite, own_norm, norm_cap_ratio=self.norm_cap_ratio)
            rejected |= dict.fromkeys(above, Reason.NORM_CAP)
        return rejected

    def _rule_for(self, *, row_count: int, accepted_count: int) -> Rule:
        if isinstance(self.rule, Rule):
            return self.rule
        count = min(byzantine_count(row_count, self.beta_max), (accepted_count - 1) // 2)
        return create(self.rule, byzantine_count=count)

    def _step(
        self,
        rule: Rule,
        drifts: Tensor,
        weights: Sequence[float],
        *,
        like: Tensor,
        genesis: Tensor | None,
    ) -> tuple[Tensor, list[float]]:
        """Return the new vector, in the type of `like`, and each drift's share, the own one first.

        Raises:
            InfeasibleError: If there is nothing to integrate or no safe way to.
        """
        if not weights:
            raise InfeasibleError("no neighbor's row was left to integrate")
        own_weight = max(0.0, 1.0 - math.fsum(weights))  # what was rejected counts for the own row
        result = rule.aggregate(drifts, own=drifts[0], weights=[own_weight, *weights])
        drift = result.vector
        if self.gamma < 1.0:
            # A convex combination stays in range where the difference of the two may not.
            drift = drifts[0] * (1.0 - self.gamma) + drift * self.gamma
        vector = (drift if genesis is None else drift + genesis.to(drift.dtype)).to(like.dtype)
        if not math.isfinite(distance(vector)):
            raise InfeasibleError(f"the result is beyond the range of {like.dtype}")
        own_share, *shares = result.coefficients.tolist()
        return vector, [own_share + result.own_coefficient, *shares]


def _check_own(own: Tensor, genesis: Tensor | None) -> float:
    if own.ndim != 1 or own.shape[0] == 0:
        raise InputError(f"own of shape {tuple(own.shape)} is not (d,) with d >= 1")
    if not is_supported(own.dtype):
        raise InputError(f"own of {own.dtype}: rules read {supported_names()}")
    if genesis is not None:
        check_like(genesis, own, "genesis")
    norm = distance(own, genesis)
    if not math.isfinite(norm):
        raise InputError("own, or its difference from genesis, has NaN or infinity")
    return norm


def _mixing_weights(rows: Sequence[Row], *, row_count: int) -> dict[bytes, float]:
    given = [row.weight for row in rows if row.weight is not None]
    if not given:
        return {peer_key(row.peer): 1.0 / row_count for row in rows}
    if len(given) != len(rows):
        raise InputError(f"{len(given)} of {len(rows)} rows have a weight; give all or none")
    if not all(0.0 <= weight <= 1.0 for weight in given):
        raise InputError(f"weights {given} are not all in [0, 1]")
    if math.fsum(given) > 1.0 + _WEIGHT_SLACK:
        raise InputError(f"weights sum to {math.fsum(given)}: nothing is left for the own row")
    return {peer_key(row.peer): row.weight for row in rows if row.weight is not None}


def _stack_drifts(vectors: Sequence[Tensor], genesis: Tensor | None) -> Tensor:
    drifts = torch.stack([vector.to(accumulator(vector.dtype)) for vector in vectors])  # (n, d)
    return drifts if genesis is None else drifts.sub_(genesis.to(drifts.dtype))


def _judge(
    peers: Mapping[bytes, bytes | str],
    accepted: Sequence[Row],
    shares: Sequence[float],
    rejected: Mapping[bytes, Reason],
    *,
    is_kept: bool,
) -> Iterator[Verdict]:
    by_key = {peer_key(row.peer): share for row, share in zip(accepted, shares, strict=True)}
    reason = Reason.NOT_INTEGRATED if is_kept else Reason.ACCEPTED
    for key, peer in peers.items():
        yield Verdict(peer, by_key.get(key, 0.0), rejected.get(key, reason))
