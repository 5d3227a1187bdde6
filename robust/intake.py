"""The steps of an integration before its rule: which rows go on, and what all of them show."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, Self, final, runtime_checkable

import torch
from torch import Tensor

from robust.agreement import agreements
from robust.blocks import accumulator, distance
from robust.errors import InfeasibleError
from robust.products import LENGTH_MAX, Products, measure_products
from robust.reputation.policy import NORM_RATIO_MAX
from robust.reputation.record import Observation
from robust.sanitizer import Reason, Row, find_above_cap, find_malformed, measure_norms, peer_key
from robust.tolerance import byzantine_count
from robust.weighted_median import weighted_median

# guess: more than newcomers have together, and less than a few that are known
_KNOWN_MASS_MIN: Final = 0.25


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
        products: The inner products that the caller's `gram` found; None without one.
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
    products: Products | None = None

    def without(self, rejected: Mapping[bytes, Reason]) -> Self:
        """Return what is left after some peers were turned away, by peer key."""
        accepted = [row for row in self.accepted if peer_key(row.peer) not in rejected]
        return replace(self, accepted=accepted, rejected={**self.rejected, **rejected})

    def drifts(self) -> Tensor:
        """Return the drifts of the own row and the accepted ones, shape (n, d), summable."""
        vectors = [self.own, *(row.vector for row in self.accepted)]
        drifts = torch.stack([vector.to(accumulator(vector.dtype)) for vector in vectors])  # (n, d)
        return drifts if self.genesis is None else drifts.sub_(self.genesis.to(drifts.dtype))

    def gram(self) -> Tensor | None:
        """Return the inner products of `drifts` if the caller measures them, shape (n, n).

        Raises:
            InfeasibleError: If one is beyond what distances can be computed from.
        """
        if self.products is None:
            return None
        return self.products.of([peer_key(row.peer) for row in self.accepted])

    def measured_by(self, gram: Callable[[Tensor], Tensor]) -> Self:
        """Return this with inner products, without the rows that have none.

        Args:
            gram: As in `Integrator`.

        Raises:
            InputError: If it returns no real matrix of shape (n, n).
        """
        keys = [peer_key(row.peer) for row in self.accepted]
        products = measure_products(gram, self.drifts(), keys)
        measured = replace(self, products=products)
        return measured.without(dict.fromkeys(products.find_wild(), Reason.NOT_FINITE))


def sanitize(call: Call, *, own_norm: float) -> tuple[dict[bytes, float], dict[bytes, Reason]]:
    """Return the length of every row that can be compared, and why the others cannot.

    Nor can one whose square is none in float64, unless the own row is as long: the distances of
    all others would be lost with its own.
    """
    longest = LENGTH_MAX if own_norm <= LENGTH_MAX else math.inf
    malformed = find_malformed(call.accepted, call.own)
    sound = [row for row in call.accepted if peer_key(row.peer) not in malformed]
    norms = measure_norms(sound, call.genesis)
    finite = {key: norm for key, norm in norms.items() if math.isfinite(norm) and norm <= longest}
    malformed |= dict.fromkeys(norms.keys() - finite.keys(), Reason.NOT_FINITE)
    return finite, malformed


def find_voices(call: Call) -> dict[bytes, float]:
    """Return how loud each accepted row is where rows are judged by each other; own's key is b"".

    A row speaks by its mass cap, so that new identities do not judge, however many they are; but
    by no more than an equal share, so that those who echo own, and earn the most by it, are no
    majority. A row without a cap speaks by an equal share, as it pulls by one. What is left is
    own's. While few have a mass, as at the start, all speak alike: else a peer with unusual data,
    alone the judge, would let nobody in.
    """
    keys = [peer_key(row.peer) for row in call.accepted]
    masses = {key: call.mass_caps.get(key, 1.0) for key in keys}
    if not call.mass_caps or math.fsum(masses.values()) < _KNOWN_MASS_MIN:
        return dict.fromkeys([b"", *keys], 1.0)
    share = 1.0 / (sum(mass > 0.0 for mass in masses.values()) + 1)
    voices = {key: min(mass, share) for key, mass in masses.items()}
    return {b"": max(1.0 - math.fsum(voices.values()), share), **voices}


def observe(
    call: Call,
    norms: Mapping[bytes, float],
    *,
    own_norm: float,
    beta_max: float,
) -> dict[bytes | str, Observation]:
    """Compare all rows that can be compared, those without mass among them.

    Whoever has no mass is judged and does not judge, as `find_voices` says.

    Args:
        call: After `sanitize`, and `measured_by` if the caller measures.
        norms: The lengths of its accepted rows.
        own_norm: The own row's.
        beta_max: Share of liars to survive.

    Returns:
        What each neighbor showed; nothing if usual lengths are beyond float64.
    """
    nothing = Observation(agreement=0.0, norm_ratio=0.0, validity=0.0)
    observations = dict.fromkeys(call.peers.values(), nothing)
    keys = [peer_key(row.peer) for row in call.accepted]
    if not keys:
        return observations
    voices = find_voices(call)
    lengths = [own_norm, *(norms[key] for key in keys)]
    median = weighted_median(lengths, [voices[b""], *(voices[key] for key in keys)])
    # Where most have not moved yet, no length is unusual.
    ratios = {key: norms[key] / median if median > 0.0 else 1.0 for key in keys}
    found = dict.fromkeys(keys, 0.0)
    # One that is too long is not even compared, so that it has no say about others either.
    compared = [key for key in keys if ratios[key] < NORM_RATIO_MAX]
    rows = [row for row in call.accepted if peer_key(row.peer) in compared]
    comparing = replace(call, accepted=rows)
    drifts = comparing.drifts()
    speaking = sum(voices[key] > 0.0 for key in compared)
    # Liars are a share of those who speak, and counted in mean voices of all rows.
    count = byzantine_count(speaking + 1, beta_max) * (len(compared) + 1) / (speaking + 1)
    try:
        _, *agreeing = agreements(
            drifts,
            own=drifts[0],
            byzantine_count=math.floor(count),
            gram=comparing.gram(),
            voices=[voices[b""], *(voices[key] for key in compared)],
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
    """Name the peers whose rows `find_above_cap` finds; nobody without a cap.

    Where the caller measures products, both what is averaged and what it does are to be of the
    usual length: huge factors of a small change spoil an average of factors, and factors of the
    usual length can make a change many times as long as others'.
    """
    if norm_cap_ratio is None:
        return {}
    voices = find_voices(call)
    lengths = [{**norms, b"": own_norm}]
    if call.products is not None:
        lengths.append(call.products.lengths())
    keys = [peer_key(row.peer) for row in call.accepted]
    above: set[bytes] = set()
    for each in lengths:
        above |= find_above_cap(
            {key: each[key] for key in keys},
            each[b""],
            norm_cap_ratio=norm_cap_ratio,
            voices=voices,
            own_voice=voices[b""],
        )
    return dict.fromkeys(above, Reason.NORM_CAP)


def find_passed_over(call: Call, prioritizer: Prioritizer | None) -> dict[bytes, Reason]:
    """Name the peers whose rows the prioritizer leaves out; nobody without one.

    Where the caller measures products, they say what is near: equal changes may have factors that
    are far apart.
    """
    if prioritizer is None:
        return {}
    if call.products is None:
        distances = {peer_key(row.peer): distance(row.vector, call.own) for row in call.accepted}
    else:
        by_products = call.products.distances()
        distances = {key: by_products[key] for key in (peer_key(row.peer) for row in call.accepted)}
    kept = prioritizer.select(distances, round=call.round)
    return dict.fromkeys(distances.keys() - kept, Reason.NOT_PRIORITIZED)
