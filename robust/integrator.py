"""From what neighbors sent to the next own vector, with a verdict for each of them."""

import hashlib
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Final, Protocol, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from robust.agreement import agreements
from robust.blocks import accumulator, distance, is_supported, supported_names
from robust.errors import InfeasibleError, InputError, RuleError
from robust.evaluation import Evaluate
from robust.inputs import check_like
from robust.pre_aggregation.step import PreAggregated
from robust.registry import accepts, create
from robust.reputation.record import Observation
from robust.rule import Aggregation, Rule
from robust.sanitizer import Reason, Row, find_above_cap, find_malformed, measure_norms, peer_key
from robust.tolerance import byzantine_count, check_beta_max
from robust.verdicts import Integration, judge
from robust.weights import MassCaps, check_mass_caps, mixing_weights, pulls_under_caps

_NO_CAPS: Final[Mapping[bytes | str, float]] = {}


class Prioritizer(Protocol):
    """Chooses which rows are worth an expensive look."""

    def select(self, distances: Mapping[bytes, float], *, round: int) -> set[bytes]:
        """Return the peer keys to keep, given each row's distance from the own vector."""


@final
class _RoundKey(bytes):
    """A peer key that sorts anew in each round: no name that a liar picks wins all ties.

    The own one, which is empty, comes first.
    """

    place: bytes

    def __new__(cls, key: bytes, round: int = 0) -> Self:
        made = super().__new__(cls, key)
        salt = round.to_bytes(8)
        made.place = hashlib.blake2b(key, digest_size=16, salt=salt).digest() if key else b""
        return made

    @override
    def __lt__(self, other: bytes) -> bool:
        return isinstance(other, _RoundKey) and self.place < other.place


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Call:
    """The checked arguments of one integration.

    Attributes:
        own: The own vector.
        genesis: What drifts are measured from, or None.
        peers: Every neighbor by its key, sorted.
        accepted: Rows that nothing has rejected so far, sorted by peer.
        rejected: Why each of the others was turned away.
        weights: Mixing weight by peer key.
        mass_caps: Largest share by peer key, for some.
        round: Of the run.
        progress: Share of the run that is over, in [0, 1].
    """

    own: Tensor
    genesis: Tensor | None
    peers: Mapping[bytes, bytes | str]
    accepted: Sequence[Row]
    rejected: Mapping[bytes, Reason]
    weights: Mapping[bytes, float]
    mass_caps: Mapping[bytes, float]
    round: int
    progress: float


@final
@dataclass(frozen=True, slots=True)
class Integrator:
    """Check rows, combine them with the own vector by a rule, and judge their senders.

    The steps: malformed rows are rejected, and so are those without mass and those above the
    norm cap; the prioritizer chooses among the rest; rows with a mass cap are drawn towards the
    own one; the rule combines them with the own row; the own vector moves to the result. Lengths
    and distances are those of the drift from `genesis`, because what all peers share from the
    start would otherwise dominate every norm. A rejected row's mixing weight goes to the own row.

    A rule given by name gets its f from the number of neighbors before any rejection, so that
    liars cannot lower it by sending garbage; only where too few rows are left for it, f is what
    those bear. A `Rule` keeps the f that it was made with.

    Args:
        rule: A name that `robust.create` knows, or a rule.
        beta_max: Share of liars to survive, from 0 to below 0.5, for a rule given by name.
        norm_cap_ratio: Reject drifts longer than this many medians, at least 1; None for no cap.
        gamma: Step towards the rule's output, above 0 and at most 1; 1 takes it whole.
        prioritizer: Chooses rows by their distance, such as a `DistancePrioritizer`; None keeps
            all of them.
        evaluate: Scores a vector, as `own` is one, on own held-out data; for rules that need it.
        gram: Inner products, shape (n, n), of drifts, shape (n, d), where those of the drifts
            themselves do not measure what an update does; None where they do.
        observes: Whether to compare the rows, for a `ReputationLedger`.
        params: Further parameters of a rule given by name; a mapping is one by peer.
        seed: Secret of this peer, from which rules that draw get a seed of their own each round.

    Raises:
        RuleError: If a parameter is unknown or out of range.

    Cost: That of the rule, one pass over all rows for their norms, and one copy of all rows.
    """

    # Of the four best in docs/results/attack-matrix.md, the one whose largest loss is smallest.
    rule: str | Rule = "nnm+trimmed-mean"
    _: KW_ONLY
    beta_max: float = 0.3  # guess: above the share that an open network should ever reach
    norm_cap_ratio: float | None = 3.0  # guess: honest drifts of one round differ by less
    gamma: float = 1.0
    prioritizer: Prioritizer | None = None
    evaluate: Evaluate | None = None
    gram: Callable[[Tensor], Tensor] | None = None
    observes: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        check_beta_max(self.beta_max)
        if self.norm_cap_ratio is not None and not self.norm_cap_ratio >= 1.0:
            raise RuleError(f"norm_cap_ratio={self.norm_cap_ratio} rejects half of all peers; >= 1")
        if not 0.0 < self.gamma <= 1.0:
            raise RuleError(f"gamma={self.gamma} is not in (0, 1]")
        if isinstance(self.rule, Rule):
            rule = self.rule
            if self.params:
                raise RuleError(
                    f"params {sorted(self.params)} are for a rule given by name; it is made"
                )
        else:  # wrong names fail now
            rule = self._create(self.rule, 0, self.evaluate, round=0, progress=0.0)
        if rule.reads_ranks:
            raise RuleError(
                f"rule={self.rule!r} reads ranks, and an Integrator integrates floating-point "
                "vectors: call the rule itself"
            )

    def integrate(
        self,
        own: Tensor,
        rows: Sequence[Row],
        *,
        genesis: Tensor | None = None,
        mass_caps: Mapping[bytes | str, float] = _NO_CAPS,
        round: int = 0,
        progress: float = 0.0,
    ) -> Integration:
        """Compute own + gamma (rule(own, rows) - own).

        Args:
            own: The own vector, shape (d,), floating point, finite.
            rows: The neighbors' rows, in any order; nothing in their vectors is trusted.
            genesis: What every peer started from, shape (d,), type and device of `own`; the zero
                vector if left out.
            mass_caps: The largest share, in [0, 1], that some neighbors may have; 0 bans one.
            round: Of the run; what is drawn differs from round to round.
            progress: Share of the run that is over, in [0, 1], for rules that tighten with time.

        Returns:
            The new vector and the verdicts. No argument is changed, and `vector` shares memory
            with none.

        Raises:
            InputError: If `own`, `genesis`, a weight or a cap is not as described, or weights sum
                to more than 1: the caller's fault. Nothing that a peer sends raises.
        """
        with torch.no_grad():
            own_norm = _check_own(own, genesis)
            ordered = sorted(rows, key=lambda row: peer_key(row.peer))
            peers = {peer_key(row.peer): row.peer for row in ordered}
            call = _Call(
                own=own,
                genesis=genesis,
                peers=peers,
                accepted=ordered,
                rejected={},
                weights=mixing_weights(ordered, row_count=len(peers) + 1),
                mass_caps=check_mass_caps(mass_caps),
                round=round,
                progress=progress,
            )
            norms, malformed = _sanitize(call)
            call = _without(call, malformed)
            observations = self._observe(call, norms)
            call = _without(call, _find_without_mass(call))
            call = _without(call, self._find_too_long(call, norms, own_norm))
            call = _without(call, self._find_passed_over(call))
            rule = self._rule_for(call)
            vector, shares, note = own.clone(), [1.0] + [0.0] * len(call.accepted), ""
            try:
                vector, shares = self._step(rule, call)
            except InfeasibleError as error:
                note = str(error)
            verdicts = judge(peers, call.accepted, shares[1:], call.rejected, is_kept=bool(note))
            return Integration(
                vector=vector,
                verdicts=tuple(verdicts),
                own_weight=shares[0],
                byzantine_count=rule.byzantine_count,
                kept_own=bool(note),
                note=note,
                observations=observations,
            )

    def _observe(self, call: _Call, norms: Mapping[bytes, float]) -> dict[bytes | str, Observation]:
        """Compare all rows that can be compared, those without mass among them."""
        if not self.observes:
            return {}
        nothing = Observation(agreement=0.0, norm_ratio=0.0, validity=0.0)
        observations = dict.fromkeys(call.peers.values(), nothing)
        if not call.accepted:
            return observations
        drifts = _stack_drifts([call.own, *(row.vector for row in call.accepted)], call.genesis)
        gram = None if self.gram is None else self.gram(drifts)
        count = byzantine_count(len(call.peers) + 1, self.beta_max)
        try:
            _, *found = agreements(drifts, own=drifts[0], byzantine_count=count, gram=gram)
        except InfeasibleError:  # lengths beyond float64: nothing can be said of this round
            return {}
        median = statistics.median(norms.values())
        for row, agreement in zip(call.accepted, found, strict=True):
            norm = norms[peer_key(row.peer)]
            # Where most have not moved yet, no length is unusual.
            ratio = norm / median if median > 0.0 else 1.0
            observations[row.peer] = Observation(agreement=agreement, norm_ratio=ratio)
        return observations

    def _find_too_long(
        self, call: _Call, norms: Mapping[bytes, float], own_norm: float
    ) -> dict[bytes, Reason]:
        if self.norm_cap_ratio is None:
            return {}
        keys = [peer_key(row.peer) for row in call.accepted]
        above = find_above_cap(
            {key: norms[key] for key in keys}, own_norm, norm_cap_ratio=self.norm_cap_ratio
        )
        return dict.fromkeys(above, Reason.NORM_CAP)

    def _find_passed_over(self, call: _Call) -> dict[bytes, Reason]:
        if self.prioritizer is None:
            return {}
        distances = {peer_key(row.peer): distance(row.vector, call.own) for row in call.accepted}
        kept = self.prioritizer.select(distances, round=call.round)
        return dict.fromkeys(distances.keys() - kept, Reason.NOT_PRIORITIZED)

    def _rule_for(self, call: _Call) -> Rule:
        if isinstance(self.rule, Rule):
            return self.rule
        expected = byzantine_count(len(call.peers) + 1, self.beta_max)
        count = min(expected, len(call.accepted) // 2)
        evaluate = self.evaluate
        if evaluate is not None and call.genesis is not None:
            evaluate = _of_drift(evaluate, call.genesis, call.own.dtype)
        return self._create(self.rule, count, evaluate, round=call.round, progress=call.progress)

    def _create(
        self, name: str, count: int, evaluate: Evaluate | None, *, round: int, progress: float
    ) -> Rule:
        given: dict[str, Any] = {"progress": progress, "seed": _draw_seed(self.seed, round)}
        if evaluate is not None:
            given["evaluate"] = evaluate
        known = {key: value for key, value in given.items() if accepts(name, key)}
        params = {"byzantine_count": count, **known, **_by_peer_key(self.params)}
        return create(name, **params)

    def _step(self, rule: Rule, call: _Call) -> tuple[Tensor, list[float]]:
        """Return the new vector, in the type of the own one, and each row's share, own first.

        Raises:
            InfeasibleError: If there is nothing to integrate or no safe way to.
        """
        if not call.accepted:
            raise InfeasibleError("no neighbor's row was left to integrate")
        drifts = _stack_drifts([call.own, *(row.vector for row in call.accepted)], call.genesis)
        result = self._aggregate(rule, drifts, call)
        drift = result.vector
        if self.gamma < 1.0:
            # A convex combination stays in range where the difference of the two may not.
            drift = drifts[0] * (1.0 - self.gamma) + drift * self.gamma
        if call.genesis is not None:
            drift = drift + call.genesis.to(drift.dtype)
        vector = drift.to(call.own.dtype)
        if not math.isfinite(distance(vector)):
            raise InfeasibleError(f"the result is beyond the range of {call.own.dtype}")
        own_share, *shares = result.coefficients.tolist()
        return vector, [own_share + result.own_coefficient, *shares]

    def _aggregate(self, rule: Rule, drifts: Tensor, call: _Call) -> Aggregation:
        keys = [peer_key(row.peer) for row in call.accepted]
        weights = [call.weights[key] for key in keys]
        # What was rejected counts for the own row.
        own_weight = max(0.0, 1.0 - math.fsum(weights))
        if call.mass_caps:
            caps = [call.mass_caps.get(key, 1.0) for key in keys]
            pulls = pulls_under_caps(weights, caps, row_count=len(drifts))
            rule = PreAggregated((MassCaps(pulls=(1.0, *pulls)),), rule)
        return rule.aggregate(
            drifts,
            own=drifts[0],
            weights=[own_weight, *weights],
            keys=[_RoundKey(b""), *(_RoundKey(key, call.round) for key in keys)],
            gram=None if self.gram is None else self.gram(drifts),
        )


def _without(call: _Call, rejected: Mapping[bytes, Reason]) -> _Call:
    accepted = [row for row in call.accepted if peer_key(row.peer) not in rejected]
    return replace(call, accepted=accepted, rejected={**call.rejected, **rejected})


def _sanitize(call: _Call) -> tuple[dict[bytes, float], dict[bytes, Reason]]:
    """Return the length of every row that can be compared, and why the others cannot."""
    malformed = find_malformed(call.accepted, call.own)
    sound = [row for row in call.accepted if peer_key(row.peer) not in malformed]
    norms = measure_norms(sound, call.genesis)
    finite = {key: norm for key, norm in norms.items() if math.isfinite(norm)}
    malformed |= dict.fromkeys(norms.keys() - finite.keys(), Reason.NOT_FINITE)
    return finite, malformed


def _find_without_mass(call: _Call) -> dict[bytes, Reason]:
    without = (key for key in call.peers if call.mass_caps.get(key) == 0.0)
    return dict.fromkeys(without, Reason.NO_MASS)


def _of_drift(evaluate: Evaluate, genesis: Tensor, dtype: torch.dtype) -> Evaluate:
    """Return what scores a drift from `genesis` by scoring the vector that it leads to."""
    return lambda drift: evaluate((drift + genesis.to(drift.dtype)).to(dtype))


def _draw_seed(seed: int, round: int) -> int:
    digest = hashlib.blake2b(f"rule seed {seed} {round}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1  # torch's generators take 63 bits


def _by_peer_key(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with those that are given by peer under what identifies a peer."""
    return {
        name: {peer_key(peer): it for peer, it in value.items()}
        if isinstance(value, Mapping)
        else value
        for name, value in params.items()
    }


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


def _stack_drifts(vectors: Sequence[Tensor], genesis: Tensor | None) -> Tensor:
    drifts = torch.stack([vector.to(accumulator(vector.dtype)) for vector in vectors])  # (n, d)
    return drifts if genesis is None else drifts.sub_(genesis.to(drifts.dtype))
