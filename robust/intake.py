"""The steps of an integration before its rule: which rows go on, and what all of them show."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, final, runtime_checkable

import torch
from torch import Tensor

from robust.agreement import agreements, weighted_median
from robust.blocks import accumulator, distance
from robust.errors import InfeasibleError
from robust.reputation.policy import NORM_RATIO_MAX
from robust.reputation.record import Observation
from robust.sanitizer import Reason, Row, find_above_cap, find_malformed, measure_norms, peer_key
from robust.tolerance import byzantine_count


@runtime_checkable
class Prioritizer(Protocol):
    """Chooses which rows are worth an expensive look."""

    def select(self, distances: Mapping[bytes, float], *, round: int) -> set[bytes]:
        """Return the peer keys to keep, given each row's distance from the own vector."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
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

    def without(self, rejected: Mapping[bytes, Reason]) -> Self:
        """Return what is left after some peers were turned away, by peer key."""
        accepted = [row for row in self.accepted if peer_key(row.peer) not in rejected]
        return replace(self, accepted=accepted, rejected={**self.rejected, **rejected})

    def drifts(self) -> Tensor:
        """Return the drifts of the own row and the accepted ones, shape (n, d), summable."""
        vectors = [self.own, *(row.vector for row in self.accepted)]
        drifts = torch.stack([vector.to(accumulator(vector.dtype)) for vector in vectors])  # (n, d)
        return drifts if self.genesis is None else drifts.sub_(self.genesis.to(drifts.dtype))


def sanitize(call: Call) -> tuple[dict[bytes, float], dict[bytes, Reason]]:
    """Return the length of every row that can be compared, and why the others cannot."""
    malformed = find_malformed(call.accepted, call.own)
    sound = [row for row in call.accepted if peer_key(row.peer) not in malformed]
    norms = measure_norms(sound, call.genesis)
    finite = {key: norm for key, norm in norms.items() if math.isfinite(norm)}
    malformed |= dict.fromkeys(norms.keys() - finite.keys(), Reason.NOT_FINITE)
    return finite, malformed


def observe(
    call: Call,
    norms: Mapping[bytes, float],
    *,
    own_norm: float,
    beta_max: float,
    gram: Callable[[Tensor], Tensor] | None,
) -> dict[bytes | str, Observation]:
    """Compare all rows that can be compared, those without mass among them.

    Each neighbor speaks on the others by its mass cap, or by its weight if it has none; the own
    row by what they leave, and at least as loud as they on average. Whoever has no mass is judged
    and does not judge.

    Args:
        call: After `sanitize`.
        norms: The lengths of its accepted rows.
        own_norm: The own row's.
        beta_max: Share of liars to survive.
        gram: As in `Integrator`.

    Returns:
        What each neighbor showed; nothing if usual lengths are beyond float64.
    """
    nothing = Observation(agreement=0.0, norm_ratio=0.0, validity=0.0)
    observations = dict.fromkeys(call.peers.values(), nothing)
    keys = [peer_key(row.peer) for row in call.accepted]
    if not keys:
        return observations
    voices = {key: call.mass_caps.get(key, call.weights[key]) for key in keys}
    total = math.fsum(voices.values())
    own_voice = max(1.0 - total, total / len(voices))
    lengths = [own_norm, *(norms[key] for key in keys)]
    median = weighted_median(lengths, [own_voice, *voices.values()])
    # Where most have not moved yet, no length is unusual.
    ratios = {key: norms[key] / median if median > 0.0 else 1.0 for key in keys}
    found = dict.fromkeys(keys, 0.0)
    # One that is too long is not even compared: the square of its length may be beyond float64.
    compared = [key for key in keys if ratios[key] < NORM_RATIO_MAX]
    rows = [row for row in call.accepted if peer_key(row.peer) in compared]
    drifts = replace(call, accepted=rows).drifts()
    try:
        _, *agreeing = agreements(
            drifts,
            own=drifts[0],
            byzantine_count=byzantine_count(len(call.peers) + 1, beta_max),
            gram=None if gram is None else gram(drifts),
            voices=[own_voice, *(voices[key] for key in compared)],
        )
    except InfeasibleError:  # nothing can be said of this round
        return {}
    found |= zip(compared, agreeing, strict=True)
    for key in keys:
        observations[call.peers[key]] = Observation(agreement=found[key], norm_ratio=ratios[key])
    return observations


def find_without_mass(call: Call) -> dict[bytes, Reason]:
    """Name the peers whose mass cap is 0."""
    without = (key for key in call.peers if call.mass_caps.get(key) == 0.0)
    return dict.fromkeys(without, Reason.NO_MASS)


def find_too_long(
    call: Call, norms: Mapping[bytes, float], *, own_norm: float, norm_cap_ratio: float | None
) -> dict[bytes, Reason]:
    """Name the peers whose rows `find_above_cap` finds; nobody without a cap."""
    if norm_cap_ratio is None:
        return {}
    keys = [peer_key(row.peer) for row in call.accepted]
    above = find_above_cap(
        {key: norms[key] for key in keys}, own_norm, norm_cap_ratio=norm_cap_ratio
    )
    return dict.fromkeys(above, Reason.NORM_CAP)


def find_passed_over(call: Call, prioritizer: Prioritizer | None) -> dict[bytes, Reason]:
    """Name the peers whose rows the prioritizer leaves out; nobody without one."""
    if prioritizer is None:
        return {}
    distances = {peer_key(row.peer): distance(row.vector, call.own) for row in call.accepted}
    kept = prioritizer.select(distances, round=call.round)
    return dict.fromkeys(distances.keys() - kept, Reason.NOT_PRIORITIZED)
