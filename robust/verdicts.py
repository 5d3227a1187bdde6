"""What an integration says about each neighbor's row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from robust.reputation.record import Observation
from robust.sanitizer import Reason, Row, peer_key


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What one neighbor's row contributed, and why.

    Attributes:
        peer: The neighbor.
        weight: The row's coefficient in the rule's output, in [0, 1]; for a coordinate-wise rule,
            the mean over the coordinates, for one that scales rows up, that of the scaled row. 0
            for a row that was rejected, or that the rule took nothing of.
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
        verdicts: One per neighbor, sorted by peer. Their weights and `own_weight` sum to at most
            1; what is missing, as where a rule shortens rows, is the genesis' share.
        own_weight: The own row's coefficient in the rule's output.
        byzantine_count: The liars that were allowed for; the papers' f.
        kept_own: Whether `vector` is the old one because there was nothing to integrate or no
            safe way to.
        note: A sentence that says why own was kept, or what the rule could not do as it was asked
            to; empty if there is nothing to say.
        observations: What a `ReputationLedger` is to know of each neighbor; empty unless the
            integrator observes.
    """

    vector: Tensor
    verdicts: tuple[Verdict, ...]
    own_weight: float
    byzantine_count: int
    kept_own: bool
    note: str
    observations: Mapping[bytes | str, Observation] = field(default_factory=dict)


def judge(
    peers: Mapping[bytes, bytes | str],
    accepted: Sequence[Row],
    shares: Sequence[float],
    rejected: Mapping[bytes, Reason],
    *,
    is_kept: bool,
) -> Iterator[Verdict]:
    """Yield one verdict per neighbor.

    Args:
        peers: All neighbors, by peer key, in the order of the verdicts.
        accepted: The rows that the rule saw.
        shares: Their coefficients.
        rejected: Why each of the others was turned away.
        is_kept: Whether the own vector was kept, so that no row counted.
    """
    by_key = {peer_key(row.peer): share for row, share in zip(accepted, shares, strict=True)}
    for key, peer in peers.items():
        share = by_key.get(key, 0.0)
        if is_kept:
            reason = Reason.NOT_INTEGRATED
        else:
            reason = Reason.ACCEPTED if share > 0.0 else Reason.NOT_CHOSEN
        yield Verdict(peer, share, rejected.get(key, reason))
