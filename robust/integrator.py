"""From what neighbors sent to the next own vector, with a verdict for each of them."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import Any, Final, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from robust.blocks import distance, is_supported, supported_names
from robust.errors import InfeasibleError, InputError, RuleError
from robust.evaluation import Evaluate
from robust.inputs import check_dense, check_like
from robust.intake import (
    Call,
    Prioritizer,
    find_passed_over,
    find_too_long,
    find_without_mass,
    observe,
    sanitize,
)
from robust.parameters import (
    check_parameters,
    check_whole_number,
    is_number,
    is_whole_number,
    shown,
)
from robust.pre_aggregation.step import PreAggregated
from robust.registry import accepts, create
from robust.reputation.record import Observation
from robust.rule import Aggregation, Rule
from robust.sanitizer import Reason, Row, peer_key
from robust.tolerance import byzantine_count, check_beta_max
from robust.verdicts import Integration, judge
from robust.weights import MassCaps, check_mass_caps, mixing_weights, pulls_under_caps

_ROUND_END: Final = 2**64  # what the salt of a round's keys holds
_NO_CAPS: Final[Mapping[bytes | str, float]] = {}


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
@dataclass(frozen=True, slots=True)
class Integrator:
    """Check rows, combine them with the own vector by a rule, and judge their senders.

    The steps: malformed rows are rejected, and so are those without mass and those above the
    norm cap; the prioritizer chooses among the rest; rows with a mass cap are drawn towards the
    own one; the rule combines them with the own row; the own vector moves to the result. Lengths
    and distances are those of the drift from `genesis`, because what all peers share from the
    start would otherwise dominate every norm. A rejected row's mixing weight goes to the own row.

    A rule given by name gets its f from the number of rows before any was rejected; it is never
    more than half of the rows left. Malformed rows and those above the norm cap are counted: of
    honest peers whose training diverged, no vector is left, but the liars that f is for still lie.
    Rows without mass are not, whatever they hold: else many new names would raise f. Nor are those
    that the prioritizer passed over: f is that of a sample. A `Rule` keeps the f that it was made
    with.

    Args:
        rule: A name that `robust.create` knows, or a rule.
        beta_max: Share of liars to survive, from 0 to below 0.5, for a rule given by name.
        norm_cap_ratio: Reject drifts longer than this many medians, at least 1; None for no cap.
        gamma: Step towards the rule's output, above 0 and at most 1; 1 takes it whole.
        prioritizer: Chooses rows by their distance, such as a `DistancePrioritizer`; None keeps
            all of them.
        evaluate: Scores a vector, as `own` is one, on own held-out data; for rules that need it.
        gram: Inner products, shape (n, n), of drifts, shape (n, d), where those of the drifts
            themselves do not measure what an update does; None where they do. That of two drifts
            depends on these two alone. A row that has none in float64 is rejected.
        electing: Makes a rule that reads vectors out of one that reads ranks, where vectors stand
            for rankings, such as a `ScoreVote`; None where they do not.
        observes: Whether to compare the rows, for a `ReputationLedger`.
        params: Further parameters of a rule given by name, but not `byzantine_count`, which
            `beta_max` sets; a mapping is one by peer.
        seed: Secret of this peer, at least 0, from which a rule given by name that draws gets a
            seed of its own each round. It needs this one, or a `seed` among `params` that serves
            all rounds.

    Raises:
        RuleError: If a parameter is unknown or out of range, or the rule draws and has no seed.

    Cost: That of the rule, one pass over all rows for their norms, and one copy of all rows.
    """

    # Of the rules with five seeds in docs/results/attack-matrix.md, without a ledger, the one whose
    # largest loss is smallest.
    rule: str | Rule = "nnm+trimmed-mean"
    _: KW_ONLY
    beta_max: float = 0.3  # guess: above the share that an open network should ever reach
    norm_cap_ratio: float | None = 3.0  # guess: honest drifts of one round differ by less
    gamma: float = 1.0
    prioritizer: Prioritizer | None = None
    evaluate: Evaluate | None = None
    gram: Callable[[Tensor], Tensor] | None = None
    electing: Callable[[Rule], Rule] | None = None
    observes: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None  # a secret that had a default would be none

    def __post_init__(self) -> None:
        _check_rule(self.rule)
        check_parameters(Integrator, {it.name: getattr(self, it.name) for it in fields(self)})
        check_beta_max(self.beta_max)
        if self.seed is not None:
            check_whole_number(self.seed, "seed")
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
            self._check_count()
            self._check_seed(self.rule)
            rule = self._create(self.rule, 0, self.evaluate, round=0, progress=0.0)
        self._check_electing(rule)

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
            mass_caps: The largest share, in [0, 1], that some neighbors may have; 0 bans one. It
                holds behind rules that weigh rows alike; behind one that chooses rows, a chosen
                one has up to the cap times the number of rows. Neighbors without a row may be
                there, as a ledger has masses for those who are absent; they change nothing. A row
                whose sender is not there has no cap, so ask the ledger for all who sent one.
            round: Of the run, from 0 to 2^64 - 1; what is drawn differs from round to round.
            progress: Share of the run that is over, in [0, 1], for rules that tighten with time.

        Returns:
            The new vector and the verdicts. No argument is changed, and `vector` shares memory
            with none.

        Raises:
            InputError: If an argument is not as described, a row has no peer's name, or weights
                sum to more than 1: the caller's fault. Nothing that a peer sends raises.
        """
        with torch.no_grad():
            own_norm = _check_own(own, genesis)
            _check_rows(rows)
            _check_time(round, progress)
            ordered = sorted(rows, key=lambda row: peer_key(row.peer))
            peers = {peer_key(row.peer): row.peer for row in ordered}
            call = Call(
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
            norms, malformed = sanitize(call, own_norm=own_norm)
            call = call.without(malformed)
            if self.gram is not None:
                call = call.measured_by(self.gram)
            observations: dict[bytes | str, Observation] = {}
            if self.observes:
                observations = observe(call, norms, own_norm=own_norm, beta_max=self.beta_max)
            call = call.without(find_without_mass(call))
            too_long = find_too_long(
                call, norms, own_norm=own_norm, norm_cap_ratio=self.norm_cap_ratio
            )
            call = call.without(too_long)
            call = call.without(find_passed_over(call, self.prioritizer))
            # As rules sum them: then none has to move a row.
            call = replace(call, accepted=sorted(call.accepted, key=lambda it: _key(it, round)))
            rule = self._rule_for(call)
            kept_own = False
            try:
                vector, shares, note = self._step(rule, call)
            except InfeasibleError as error:
                kept_own, note = True, str(error)
                vector, shares = own.clone(), [1.0] + [0.0] * len(call.accepted)
            verdicts = judge(peers, call.accepted, shares[1:], call.rejected, is_kept=kept_own)
            return Integration(
                vector=vector,
                verdicts=tuple(verdicts),
                own_weight=shares[0],
                byzantine_count=rule.byzantine_count,
                kept_own=kept_own,
                note=note,
                observations=observations,
            )

    def _check_count(self) -> None:
        if "byzantine_count" in self.params:
            raise RuleError(
                f"byzantine_count={shown(self.params['byzantine_count'])}: remove it from params; "
                "f follows from beta_max and the rows of a round, and is only fixed of a rule that "
                "robust.create made"
            )

    def _check_seed(self, name: str) -> None:
        if self.seed is None and "seed" not in self.params and accepts(name, "seed"):
            raise RuleError(
                f"rule={name!r} draws and has no seed; give the Integrator seed=, a whole number "
                "that other peers do not know, or they know the draws before they send"
            )

    def _check_electing(self, rule: Rule) -> None:
        if rule.reads_ranks and self.electing is None:
            raise RuleError(
                f"rule={self.rule!r} reads ranks, and an Integrator integrates floating-point "
                "vectors: call the rule itself, or say by electing= what the vectors rank"
            )
        if self.electing is not None:
            if not rule.reads_ranks:
                raise RuleError(
                    f"rule={self.rule!r} reads vectors, and these stand for rankings, which are "
                    "voted on: use rank-vote"
                )
            self.electing(rule)  # what the two cannot agree on fails now

    def _rule_for(self, call: Call) -> Rule:
        rule = self._plain_rule_for(call)
        return rule if self.electing is None else self.electing(rule)

    def _plain_rule_for(self, call: Call) -> Rule:
        if isinstance(self.rule, Rule):
            return self.rule
        expected = byzantine_count(_counted_peers(call) + 1, self.beta_max)
        count = min(expected, len(call.accepted) // 2)
        evaluate = self.evaluate
        if evaluate is not None and call.genesis is not None:
            evaluate = _of_drift(evaluate, call.genesis, call.own.dtype)
        return self._create(self.rule, count, evaluate, round=call.round, progress=call.progress)

    def _create(
        self, name: str, count: int, evaluate: Evaluate | None, *, round: int, progress: float
    ) -> Rule:
        given: dict[str, Any] = {"progress": progress}
        if evaluate is not None:
            given["evaluate"] = evaluate
        if self.seed is not None:
            given["seed"] = _draw_seed(self.seed, round)
        known = {key: value for key, value in given.items() if accepts(name, key)}
        params = {"byzantine_count": count, **known, **_by_peer_key(self.params)}
        return create(name, **params)

    def _step(self, rule: Rule, call: Call) -> tuple[Tensor, list[float], str]:
        """Return the new vector, each row's share, own first, and what the rule notes.

        Raises:
            InfeasibleError: If there is nothing to integrate or no safe way to.
        """
        if not call.accepted:
            raise InfeasibleError(f"no neighbor's row was left to integrate{self._hint(call)}")
        drifts = call.drifts()
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
        return vector, [own_share + result.own_coefficient, *shares], result.note

    def _hint(self, call: Call) -> str:
        """Return what to mend where mass caps left nobody, and no ledger could ever learn more."""
        reasons = {call.rejected.get(key) for key in call.peers}
        if self.observes or reasons != {Reason.NO_MASS}:
            return ""
        return (
            ": every mass cap is 0; if they are those of a ReputationLedger, make the Integrator "
            "with observes=True, or it never learns of anybody"
        )

    def _aggregate(self, rule: Rule, drifts: Tensor, call: Call) -> Aggregation:
        keys = [peer_key(row.peer) for row in call.accepted]
        weights = [call.weights[key] for key in keys]
        # What was rejected counts for the own row.
        own_weight = max(0.0, 1.0 - math.fsum(weights))
        if call.mass_caps:
            caps = [call.mass_caps.get(key, 1.0) for key in keys]
            pulls = pulls_under_caps(weights, caps, row_count=len(drifts))
            if min(pulls) < 1.0:
                rule = PreAggregated((MassCaps(pulls=(1.0, *pulls)),), rule)
        return rule.aggregate(
            drifts,
            own=drifts[0],
            weights=[own_weight, *weights],
            keys=[_RoundKey(b""), *(_key(row, call.round) for row in call.accepted)],
            gram=call.gram(),
        )


def _key(row: Row, round: int) -> _RoundKey:
    return _RoundKey(peer_key(row.peer), round)


def _counted_peers(call: Call) -> int:
    """Count the neighbors of whom f is a share: that a row is malformed does not make it honest."""
    return sum(
        call.mass_caps.get(key) != 0.0 and call.rejected.get(key) is not Reason.NOT_PRIORITIZED
        for key in call.peers
    )


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


def _check_rows(rows: object) -> None:
    if not isinstance(rows, Sequence):
        raise InputError(f"rows={shown(rows)} is not a list of robust.Row")
    for row in rows:
        if not isinstance(row, Row):
            raise InputError(f"rows: {shown(row)} is not a robust.Row")
        peer: object = row.peer
        if not isinstance(peer, bytes | str) or not peer:
            # Nobody may be called as the own row is, which comes first for it.
            raise InputError(f"row of peer {shown(peer)}: give its name, bytes or text, not empty")


def _check_rule(rule: object) -> None:
    if isinstance(rule, str | Rule):
        return
    fix = "give a name that robust.create knows, or a rule"
    if callable(rule):
        fix = "give it a name first: robust.register('my-rule', function), and then that name"
    raise RuleError(f"rule={shown(rule)} is not text or a Rule; {fix}")


def _check_time(round: object, progress: object) -> None:
    if not is_whole_number(round) or not 0 <= round < _ROUND_END:
        raise InputError(f"round={shown(round)} is not a whole number from 0 to 2**64 - 1")
    if not is_number(progress) or not 0.0 <= progress <= 1.0:
        raise InputError(f"progress={shown(progress)} is not in [0, 1]")


def _check_own(own: Tensor, genesis: Tensor | None) -> float:
    check_dense(own, "own")
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
