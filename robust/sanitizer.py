"""Turn away rows that no rule should see, before any of them can set a scale."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, final

from torch import Tensor

from robust.blocks import distance, is_dense
from robust.errors import InputError
from robust.peers import peer_key as peer_key
from robust.weighted_median import weighted_median

KeyT = TypeVar("KeyT", bound=Hashable)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What one neighbor sent.

    Attributes:
        peer: Who sent it; text and bytes of the same UTF-8 form are the same peer.
        vector: Shape (d,); nothing about it is trusted.
        weight: This peer's mixing weight for the neighbor, >= 0. Leave it out for all rows to
            weigh everyone alike.
    """

    peer: bytes | str
    vector: Tensor
    weight: float | None = None


class Reason(StrEnum):
    """Why a row has the weight that it has."""

    ACCEPTED = "accepted"  # it has a part in the result
    # Nothing is wrong with it, but the rule took nothing of it, in no coordinate: Krum chose
    # another row, say, or a median a value of others everywhere; or the caller weighed it 0.
    NOT_CHOSEN = "not-chosen"
    DUPLICATE_PEER = "duplicate-peer"
    WRONG_SHAPE = "wrong-shape"
    WRONG_TYPE = "wrong-type"
    NOT_FINITE = "not-finite"  # or its length has no square in float64
    NORM_CAP = "norm-cap"
    NO_MASS = "no-mass"  # its mass cap is 0; whoever set that knows why
    NOT_PRIORITIZED = "not-prioritized"
    NOT_INTEGRATED = "not-integrated"


def find_malformed(rows: Sequence[Row], own: Tensor) -> dict[bytes, Reason]:
    """Name the peers whose rows cannot be compared with `own`, which is a dense tensor.

    No dense tensor, such as a sparse one, is of the wrong type, whatever its entries are.

    A peer that is there twice loses both rows: keeping the first would let the order of arrival
    decide, and honest peers have one vector at a time.

    Args:
        rows: Rows of the neighbors, in any order.
        own: Shape (d,).

    Returns:
        The reason by peer key; peers that are fine are left out.

    Raises:
        InputError: If a row is on another device than `own`, which is no peer's doing.
    """
    voices = Counter(peer_key(row.peer) for row in rows)
    malformed = {}
    for row in rows:
        key = peer_key(row.peer)
        if voices[key] > 1:
            malformed[key] = Reason.DUPLICATE_PEER
        elif not is_dense(row.vector):
            malformed[key] = Reason.WRONG_TYPE
        elif row.vector.shape != own.shape:
            malformed[key] = Reason.WRONG_SHAPE
        elif row.vector.dtype != own.dtype:
            malformed[key] = Reason.WRONG_TYPE
        elif row.vector.device != own.device:
            raise InputError(f"row of {row.peer!r} on {row.vector.device}, own on {own.device}")
    return malformed


def measure_norms(rows: Sequence[Row], genesis: Tensor | None) -> dict[bytes, float]:
    """Measure how far each row has moved from `genesis`; infinite or NaN if it is not finite."""
    return {peer_key(row.peer): distance(row.vector, genesis) for row in rows}


def find_above_cap(
    norms: Mapping[KeyT, float],
    own_norm: float,
    *,
    norm_cap_ratio: float,
    voices: Mapping[KeyT, float] | None = None,
    own_voice: float = 1.0,
) -> set[KeyT]:
    """Name the peers whose norm is above `norm_cap_ratio` times the median norm.

    They are to be rejected. Clipping them instead would let a liar choose the direction of a
    vector of the largest length allowed, again and again.

    The median is that of all norms, the own one included, and of an even number the mean of the
    middle two. Hence, of two rows neither is a majority and neither is rejected, which lets a
    newcomer at the end of a line catch up. A median of zero (a fresh network, in which few have
    trained) sets no scale, and nobody is rejected.

    Args:
        norms: Finite norms of the neighbors' rows, by peer key or whatever tells rows apart.
        own_norm: The own row's.
        norm_cap_ratio: At least 1.
        voices: How much each norm counts for the median, >= 0; alike by default.
        own_voice: How much the own one counts, > 0.

    Returns:
        The keys to reject; whatever the order of `norms`, the same ones.

    Source: Sun et al. 2019, "Can you really backdoor federated learning?", norm thresholding.
    Differs: the paper scales long updates down to a given threshold; here they are rejected, and
        the median sets the threshold.
    Cost: O(n log(n)) time.
    """
    counts = [own_voice, *(1.0 if voices is None else voices[key] for key in norms)]
    median = weighted_median([own_norm, *norms.values()], counts)
    if median == 0.0 or not math.isfinite(median):
        return set()
    return {key for key, norm in norms.items() if norm > norm_cap_ratio * median}
