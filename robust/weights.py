"""How much each neighbor's row may count before a rule has judged it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor
from typing_extensions import override

from robust.errors import InputError
from robust.inputs import Inputs
from robust.parameters import is_number, shown
from robust.pre_aggregation.step import PreAggregation
from robust.sanitizer import Row, peer_key

# Weights of a row that sum to 1 in exact arithmetic may exceed it by rounding.
_WEIGHT_SLACK: Final = 1e-9


def mixing_weights(rows: Sequence[Row], *, row_count: int) -> dict[bytes, float]:
    """Return each row's mixing weight by peer key, equal ones if none is given.

    Args:
        rows: The neighbors' rows.
        row_count: Rows, the own one included.

    Raises:
        InputError: If some rows have a weight and others none, one is not in [0, 1], or they sum
            to more than 1.
    """
    given = [row.weight for row in rows if row.weight is not None]
    if not given:
        return {peer_key(row.peer): 1.0 / row_count for row in rows}
    if len(given) != len(rows):
        raise InputError(f"{len(given)} of {len(rows)} rows have a weight; give all or none")
    for row in rows:
        if not is_number(row.weight) or not 0.0 <= row.weight <= 1.0:
            raise InputError(
                f"weight={shown(row.weight)} of the row of peer {shown(row.peer)} is not a number "
                "in [0, 1]; leave it out of all rows to weigh them alike"
            )
    if math.fsum(given) > 1.0 + _WEIGHT_SLACK:
        raise InputError(f"weights sum to {math.fsum(given)}: nothing is left for the own row")
    return {peer_key(row.peer): row.weight for row in rows if row.weight is not None}


def check_mass_caps(mass_caps: Mapping[bytes | str, float]) -> dict[bytes, float]:
    """Return mass caps by peer key.

    Raises:
        InputError: If one is not in [0, 1], or a peer is there as text and as bytes.
    """
    if not isinstance(mass_caps, Mapping):
        raise InputError(f"mass_caps={shown(mass_caps)} is no mapping from peers to shares")
    for peer, cap in mass_caps.items():
        if not isinstance(peer, bytes | str):
            raise InputError(f"mass_caps: {shown(peer)} names no peer; write bytes or text")
        if not is_number(cap) or not 0.0 <= cap <= 1.0:
            raise InputError(
                f"mass_caps: {shown(cap)} of peer {shown(peer)} is not a number in [0, 1]"
            )
    by_key = {peer_key(peer): cap for peer, cap in mass_caps.items()}
    if len(by_key) < len(mass_caps):
        raise InputError(
            f"mass_caps={shown(dict(mass_caps))}: a peer is there as text and bytes; name it once"
        )
    return by_key


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MassCaps(PreAggregation):
    """Draw rows towards the own one, which is the first: a row whose pull is s counts s times.

    A cap on a weight binds only rules that use weights. Here the row itself comes nearer, which
    any rule sees. Behind one that weighs rows alike or by their weights, nobody has more than its
    cap. Behind one that chooses rows, as a median does, a chosen row has up to its pull, which is
    the cap times the number of rows; and so have rows together, if they are enough to be chosen.

    Args:
        pulls: One number in [0, 1] per row; the own one's does not matter.
    """

    pulls: tuple[float, ...]
    byzantine_count: int = 0

    @property
    @override
    def rows_min(self) -> int:
        """One: the own row."""
        return 1

    @override
    def mixing(self, inputs: Inputs) -> Tensor:
        del inputs
        pulls = torch.tensor(self.pulls, dtype=torch.float64)
        mixing = torch.diag(pulls)
        mixing[:, 0] += 1.0 - pulls
        return mixing


def pulls_under_caps(
    weights: Sequence[float], caps: Sequence[float], *, row_count: int
) -> tuple[float, ...]:
    """Return how far each row may pull: min(1, cap / weight), or / (1 / n) if that is more.

    A rule moves the own vector towards neighbors by no more than the largest pull among them.

    Args:
        weights: The neighbors' mixing weights.
        caps: The largest share that each may have.
        row_count: Rows that the rule sees, the own one included.
    """
    shares = (max(weight, 1.0 / row_count) for weight in weights)
    return tuple(min(1.0, cap / share) for cap, share in zip(caps, shares, strict=True))
