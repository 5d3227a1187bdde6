"""Sparse updates that were copied from another peer's."""

from collections.abc import Mapping, Set
from itertools import combinations
from typing import Final

from robust.errors import RuleError
from robust.parameters import check_mapping, is_number, shown
from robust.peers import PeerT, peer_key

# Of the smaller of two sets of kept indices. The Gauntlet's constant; peers that choose their
# indices independently share the density of their updates, which is 1 or 2 %.
OVERLAP_MAX: Final = 0.4


def find_copies(
    index_sets: Mapping[PeerT, Set[int]],
    first_seen: Mapping[PeerT, float],
    *,
    overlap_max: float = OVERLAP_MAX,
) -> dict[PeerT, PeerT]:
    """Find the updates of one round to hold out because their indices are those of another.

    For sparse updates only: dense ones all have the same indices.

    Args:
        index_sets: By origin, the indices that its update keeps.
        first_seen: By origin, when its update was made, as far as that can be proven, or first
            seen. Of two alike the later is held out; of two as old as each other, both are.
        overlap_max: Share of the smaller set from which two are alike, above 0 and at most 1.

    Returns:
        Each origin that is to be held out, and the one that it is like.

    Raises:
        RuleError: If `overlap_max` is out of range, or `first_seen` misses an origin or gives it
            no time.

    Source: The overlap check of the Gauntlet of Lidin et al. 2025, "Incentivizing permissionless
        distributed learning of LLMs".
    Differs: there the overlap lowers a score, here the copy is not used. Its share is taken of the
        smaller set, so that adding indices hides nothing.
    Cost: O(n^2 k) time for n origins that keep k indices each.
    """
    if not is_number(overlap_max) or not 0.0 < overlap_max <= 1.0:
        raise RuleError(f"overlap_max={shown(overlap_max)} must be above 0 and at most 1")
    check_mapping(index_sets, "index_sets", of="sets of indices")
    check_mapping(first_seen, "first_seen", of="times")
    for origin in index_sets:
        peer_key(origin, "index_sets")
    if unseen := [origin for origin in index_sets if origin not in first_seen]:
        raise RuleError(f"first_seen has no time for {shown(unseen)}")
    for origin, indices in index_sets.items():
        if not isinstance(indices, Set):
            raise RuleError(f"index_sets: {shown(indices)} of {shown(origin)} is no set")
        if not is_number(first_seen[origin]):
            time = shown(first_seen[origin])
            raise RuleError(f"first_seen: {time} of {shown(origin)} is not a number")
    held: dict[PeerT, PeerT] = {}
    order = sorted(index_sets, key=lambda origin: (first_seen[origin], peer_key(origin)))
    for first, second in combinations(order, 2):
        smaller = min(len(index_sets[first]), len(index_sets[second]))
        overlap = len(index_sets[first] & index_sets[second])
        if smaller == 0 or overlap < overlap_max * smaller:
            continue
        held.setdefault(second, first)
        if first_seen[first] == first_seen[second]:
            held.setdefault(first, second)
    return held
