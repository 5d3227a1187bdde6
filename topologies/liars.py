"""How many liars end up around honest peers, if a share of all peers lie."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, lgamma
from typing import Final, final

from topologies.parameters import check_count, check_number

LIKELY: Final = 0.95  # with this probability no neighborhood is worse than the number says


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What honest peers have to expect from liars.

    Attributes:
        liars: How many there are.
        overrun_peers: Expected number of honest peers whose liars are at least half of the rows
            that they have, their own included, if liars sit anywhere at random: no rule that looks
            at rows alone can help them.
        share_expected: Of liars among a peer's neighbors, on average, if they sit anywhere.
        share_likely_max: The largest such share in any honest neighborhood, with probability 0.95.
        share_worst: The same if liars choose their places around one peer.
    """

    liars: int
    overrun_peers: float
    share_expected: float
    share_likely_max: float
    share_worst: float


def exposure_of(degrees: Sequence[int], *, byzantine_share: float) -> Exposure:
    """Compute what peers with these degrees have to expect.

    Args:
        degrees: Neighbors of each peer, (n,).
        byzantine_share: Of peers that lie, at least 0 and below 0.5; their number is rounded up.

    Raises:
        TopologyError: If the share is out of range.

    Source: the hypergeometric distribution, of which the liars among d of n - 1 others are a draw;
        over all peers, Boole's inequality. The bound on rows: Guerraoui, Gupta and Pinot 2023,
        "Byzantine machine learning: a primer", where f < n / 2 is necessary.
    """
    nodes = len(degrees)
    liars = liar_count(nodes, byzantine_share)
    counts, honest = Counter(degrees), (nodes - liars) / nodes
    tails = {degree: _tails(nodes - 1, liars, degree) for degree in counts}
    overrun = sum(
        count * honest * tails[degree][min(overrun_from(degree), degree + 1)]
        for degree, count in counts.items()
    )
    worst_degree = min(counts)
    return Exposure(
        liars=liars,
        overrun_peers=overrun,
        share_expected=liars / (nodes - 1) if nodes > 1 else 0.0,
        share_likely_max=_likely_share(counts, tails, honest),
        share_worst=min(liars, worst_degree) / worst_degree if worst_degree else 0.0,
    )


def overrun_from(degree: int) -> int:
    """Return how many lying neighbors make half of all rows, the peer's own included."""
    return degree // 2 + 1


def degree_against(nodes: int, *, byzantine_share: float, overrun_max: float) -> int | None:
    """Find the least even degree of a regular graph with which few enough peers are overrun.

    Args:
        nodes: How many.
        byzantine_share: Of them that lie.
        overrun_max: Expected number of overrun honest peers that is allowed.

    Returns:
        The degree; None if there is none.
    """

    def is_enough(half: int) -> bool:
        exposure = exposure_of([2 * half] * nodes, byzantine_share=byzantine_share)
        return exposure.overrun_peers <= overrun_max

    # The more jurors, the more surely a majority of them is right.
    low, high = 1, (nodes - 1) // 2
    if high < low or not is_enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return 2 * low


def liar_count(nodes: int, byzantine_share: float) -> int:
    """Return how many of the nodes lie, rounded up.

    Raises:
        TopologyError: If the share is below 0, or 0.5 and more.
    """
    nodes = check_count("nodes", nodes, least=1)
    share = check_number("byzantine_share", byzantine_share, least=0.0, most=0.499999)
    return ceil(round(share * nodes, 6))  # 0.07 * 100 is a little more than 7


def _tails(others: int, liars: int, degree: int) -> list[float]:
    """Return P(at least k liars among `degree` of `others`) for k = 0 to degree + 1."""
    tails, whole = [0.0] * (degree + 2), _log_comb(others, degree)
    for k in range(degree, -1, -1):
        tails[k] = tails[k + 1]
        if k <= liars and degree - k <= others - liars:
            ways = _log_comb(liars, k) + _log_comb(others - liars, degree - k)
            tails[k] += exp(ways - whole)
    return tails


def _log_comb(count: int, chosen: int) -> float:
    return lgamma(count + 1) - lgamma(chosen + 1) - lgamma(count - chosen + 1)


def _likely_share(counts: Counter[int], tails: dict[int, list[float]], honest: float) -> float:
    """Find the smallest share that all honest neighborhoods keep with probability `LIKELY`."""
    shares = sorted({k / degree for degree in counts if degree for k in range(degree + 1)})
    low, high = 0, max(0, len(shares) - 1)
    while low < high:
        middle = (low + high) // 2
        above = sum(
            count * honest * tails[degree][int(shares[middle] * degree + 1e-9) + 1]
            for degree, count in counts.items()
        )
        low, high = (low, middle) if above <= 1.0 - LIKELY else (middle + 1, high)
    return shares[low] if shares else 0.0
