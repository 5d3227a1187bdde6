"""What integrations take in and give back, between the workbench and whatever mixes for it."""

from collections.abc import Sequence
from typing import Final, final

from msgspec import Struct, field
from torch import Tensor

import robust
from p2pfed.core.effects import IntegrationRow
from p2pfed.core.events import NO_MASS, OffenceKind, Verdict
from p2pfed.identity import PeerId
from p2pfed.learn.mixing import Claim
from p2pfed.learn.public_copies import PublicCopy

# The core's words for a row used as it is, and for one whose largest share was 0.
_ROW_REASONS: Final = {robust.Reason.ACCEPTED: "", robust.Reason.NO_MASS: NO_MASS}
_NOT_CHOSEN: Final = str(robust.Reason.NOT_CHOSEN)


@final
class ReadRows(Struct, kw_only=True, eq=False):
    """What neighbors sent, by peer.

    Attributes:
        vectors: Their differences from the initial vector, shape (d,).
        claims: What they say of themselves.
        copies: Their public copies to keep, where updates are differences.
        refused: Verdicts on those that could not be read.
    """

    vectors: dict[PeerId, Tensor] = field(default_factory=dict)
    claims: dict[PeerId, Claim] = field(default_factory=dict)
    copies: dict[PeerId, PublicCopy] = field(default_factory=dict)
    refused: dict[PeerId, Verdict] = field(default_factory=dict)

    def refuse(self, peer: PeerId, reason: str, offence: OffenceKind | None = None) -> None:
        """Leave a row out, and say why and whether its author is to blame."""
        self.refused[peer] = Verdict(peer=peer, weight=0.0, reason=reason, offence=offence)


@final
class PlainRows(Struct, frozen=True, kw_only=True, eq=False):
    """An integration that is its rule alone: nothing was refused, and no row is bounded or tried.

    Attributes:
        vectors: The neighbors' differences from the initial vector, shape (d,), in ascending order
            of peer.
        weights: How much each neighbor is to count; the rest to 1 is the own row's.
    """

    vectors: Sequence[Tensor]
    weights: Sequence[float]


def row_reason(reason: robust.Reason) -> str:
    """Return the core's word for what the integrator says of a row."""
    return _ROW_REASONS.get(reason, str(reason))


def verdict_on(
    row: IntegrationRow,
    verdict: robust.Verdict,
    observation: robust.Observation | None,
    gain: float | None,
) -> Verdict:
    """Return what the core is told of a row."""
    return Verdict(
        peer=row.peer,
        weight=verdict.weight,
        reason=row_reason(verdict.reason),
        agreement=None if observation is None else observation.agreement,
        norm_ratio=None if observation is None else observation.norm_ratio,
        gain=gain,
    )


def verdicts_on_shares(
    rows: Sequence[IntegrationRow], shares: Sequence[float]
) -> tuple[Verdict, ...]:
    """Return what the core is told of plain rows, in the order of their peers.

    Args:
        rows: In any order.
        shares: Of the neighbors, in ascending order of peer.
    """
    of_peer = dict(zip(sorted(row.peer for row in rows), shares, strict=True))
    return tuple(
        Verdict(
            peer=row.peer,
            weight=of_peer[row.peer],
            reason="" if of_peer[row.peer] > 0.0 else _NOT_CHOSEN,
        )
        for row in rows
    )
