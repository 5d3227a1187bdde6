"""The steps of an integration before its rule: which rows go on, and what all of them show."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, final

import torch
from torch import Tensor

from robust.agreement import agreements
from robust.blocks import accumulator, distance
from robust.errors import InfeasibleError
from robust.reputation.record import Observation
from robust.sanitizer import Reason, Row, find_above_cap, find_malformed, measure_norms, peer_key
from robust.tolerance import byzantine_count


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
    beta_max: float,
    gram: Callable[[Tensor], Tensor] | None,
) -> dict[bytes | str, Observation]:
    """Compare all rows that can be compared, those without mass among them.

    Args:
        call: After `sanitize`.
        norms: The lengths of its accepted rows.
        beta_max: Share of liars to survive.
        gram: As in `Integrator`.

    Returns:
        What each neighbor showed; nothing if lengths are beyond float64.
    """
    nothing = Observation(agreement=0.0, norm_ratio=0.0, validity=0.0)
    observations = dict.fromkeys(call.peers.values(), nothing)
    if not call.accepted:
        return observations
    drifts = call.drifts()
    products = None if gram is None else gram(drifts)
    count = byzantine_count(len(call.peers) + 1, beta_max)
    try:
        _, *found = agreements(drifts, own=drifts[0], byzantine_count=count, gram=products)
    except InfeasibleError:  # lengths beyond float64: nothing can be said of this round
        return {}
    median = statistics.median(norms.values())
    for row, agreement in zip(call.accepted, found, strict=True):
        norm = norms[peer_key(row.peer)]
        # Where most have not moved yet, no length is unusual.
        ratio = norm / median if median > 0.0 else 1.0
        observations[row.peer] = Observation(agreement=agreement, norm_ratio=ratio)
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
