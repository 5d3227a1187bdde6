"""Which topology to take, and the numbers that say why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log2
from typing import Any, Final, final

import networkx as nx

from topologies.errors import TopologyError
from topologies.liars import Exposure, degree_against, exposure_of, liar_count
from topologies.parameters import check_count
from topologies.registry import create
from topologies.topology import Topology

RATIO: Final = 1e-3  # of the distance from consensus: what rounds are predicted for
OVERRUN_MAX: Final = 0.05  # expected overrun honest peers: one in twenty draws has one
_DENSE_NODES_MAX: Final = 1_000  # above, eigenvalues come from sparse matrices, which needs scipy
_CUT_NODES_MAX: Final = 128  # above, computing how many peers cut a graph takes too long


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A topology that was looked at.

    Attributes:
        name: For `create`.
        params: For `create`, besides nodes and seed.
        degree_mean: Neighbors of a peer, and so payloads that it sends in a round.
        degree_max: Of the busiest peer.
        spectral_gap: Of the Metropolis-Hastings matrix.
        rounds: Predicted until the distance from consensus is a thousandth.
        payloads: That a peer sends until then, on average: bytes, in units of one update.
        effective_neighbors: Over how many peers' noise one averages; 10 rounds count.
        cut_by: How many peers must fail or lie to cut others off; None where that was not computed.
        exposure: To liars.
    """

    name: str
    params: Mapping[str, Any]
    degree_mean: float
    degree_max: int
    spectral_gap: float
    rounds: int
    payloads: float
    effective_neighbors: float
    cut_by: int | None
    exposure: Exposure

    @property
    def title(self) -> str:
        """Name and parameters, for people."""
        inside = ", ".join(f"{key}={value}" for key, value in self.params.items())
        return f"{self.name} ({inside})" if inside else self.name


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to take.

    Attributes:
        nodes: That were asked for.
        degree: The most neighbors that were allowed.
        byzantine_share: Of peers that lie.
        seed: With which random candidates were drawn.
        chosen: The best candidate.
        candidates: All of them, the best first.
        reasons: Why, in sentences with numbers.
    """

    nodes: int
    degree: int
    byzantine_share: float
    seed: int
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    reasons: tuple[str, ...]

    def create(self) -> Topology:
        """Make the chosen topology."""
        return create(self.chosen.name, nodes=self.nodes, seed=self.seed, **self.chosen.params)


def recommend(
    nodes: int, degree: int, byzantine_share: float = 0.0, *, seed: int = 0
) -> Recommendation:
    """Choose among the topologies in which no peer has more than `degree` neighbors.

    First come those in which liars, if they sit anywhere at random, are expected to have half of
    the rows of at most `OVERRUN_MAX` honest peers; then the larger spectral gap; then fewer
    payloads per round. If liars overrun some peers in all of them, the fewest such peers come
    first.

    Args:
        nodes: How many peers, at least 2.
        degree: The most neighbors that a peer can afford: it sends as many payloads in a round.
            At least 2, or 1 for two peers.
        byzantine_share: Of peers that may lie, at least 0 and below 0.5; rounded up to whole peers.
        seed: Of random candidates.

    Returns:
        The choice, all candidates with their numbers, and the reasons.

    Raises:
        TopologyError: If an argument is out of range.
    """
    nodes = check_count("nodes", nodes, least=2)
    degree = check_count("degree", degree, least=1)
    seed = check_count("seed", seed, least=0)
    liar_count(nodes, byzantine_share)
    if degree == 1 and nodes > 2:
        raise TopologyError(f"degree=1: leaves {nodes} nodes in pairs; use at least 2")
    found = [
        _candidate(create(name, nodes=nodes, seed=seed, **params), params, byzantine_share)
        for name, params in _affordable(nodes, degree)
    ]
    found.sort(key=_order)
    best = found[0]
    reasons = [_why_fast(best, found, degree)]
    if best.exposure.liars:
        reasons += [_why_safe(best, nodes, byzantine_share), _when_placed(best)]
    return Recommendation(
        nodes=nodes,
        degree=degree,
        byzantine_share=byzantine_share,
        seed=seed,
        chosen=best,
        candidates=tuple(found),
        reasons=tuple(reasons),
    )


def _affordable(nodes: int, degree: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names and parameters of topologies whose largest degree is affordable."""
    if nodes - 1 <= degree:
        yield "complete", {}
    if nodes >= 3:
        yield "ring", {}
    regular = min(degree, nodes - 1)
    regular -= nodes * regular % 2
    if 3 <= regular < nodes - 1:
        yield "k-regular", {"degree": regular}
    if nodes & (nodes - 1) == 0 and 2 <= log2(nodes) <= degree:
        yield "hypercube", {}
    steps = {
        step % nodes for power in range((nodes - 1).bit_length()) for step in _both(1 << power)
    }
    if 3 <= len(steps) <= degree and len(steps) < nodes - 1:
        yield "exponential", {}
    composite = any(nodes % divisor == 0 for divisor in range(2, int(nodes**0.5) + 1))
    if composite and nodes >= 9 and degree >= 4:
        yield "torus", {}


def _both(step: int) -> tuple[int, int]:
    return step, -step


def _candidate(net: Topology, params: dict[str, Any], byzantine_share: float) -> Candidate:
    degrees = [degree for _, degree in net.graph.degree()]
    sparse = len(net) > _DENSE_NODES_MAX
    gap = net.spectral_gap(sparse=sparse)
    rounds = net.rounds_to(RATIO, sparse=sparse)
    mean = sum(degrees) / len(degrees)
    return Candidate(
        name=net.name,
        params=params,
        degree_mean=mean,
        degree_max=max(degrees),
        spectral_gap=gap,
        rounds=rounds,
        payloads=rounds * mean,
        effective_neighbors=net.effective_neighbors(sparse=sparse),
        cut_by=nx.node_connectivity(net.graph) if len(net) <= _CUT_NODES_MAX else None,
        exposure=exposure_of(degrees, byzantine_share=byzantine_share),
    )


def _order(candidate: Candidate) -> tuple[float, float, float, str]:
    overrun = candidate.exposure.overrun_peers
    # Equal gaps differ by rounding.
    gap = round(candidate.spectral_gap, 9)
    return max(overrun, OVERRUN_MAX), -gap, candidate.degree_mean, candidate.name


def _why_fast(best: Candidate, found: list[Candidate], degree: int) -> str:
    text = (
        f"{best.title}: spectral gap {best.spectral_gap:.3g} with at most {degree} neighbors; "
        f"predicted {best.rounds} rounds and {best.payloads:.0f} payloads per peer until the "
        "distance from consensus is a thousandth"
    )
    if len(found) == 1:
        return f"{text}. No other topology is affordable."
    slowest = min(found, key=lambda it: it.spectral_gap)
    if slowest is not best:
        other = f"{slowest.title} takes {slowest.rounds} rounds and {slowest.payloads:.0f} payloads"
        text += f", where {other}"
    fastest = max(found, key=lambda it: it.spectral_gap)
    if fastest.exposure.overrun_peers > max(OVERRUN_MAX, best.exposure.overrun_peers):
        text += (
            f". {fastest.title} is faster, with a gap of {fastest.spectral_gap:.3g}, but liars are "
            f"expected to overrun {fastest.exposure.overrun_peers:.2g} honest peers in it"
        )
    return f"{text}."


def _why_safe(best: Candidate, nodes: int, byzantine_share: float) -> str:
    exposure = best.exposure
    text = (
        f"{exposure.liars} liars of {nodes} peers, anywhere at random: "
        f"{exposure.overrun_peers:.2g} honest peers are expected to have as many lies as honest "
        "rows; with probability 0.95 no neighborhood has more than "
        f"{exposure.share_likely_max:.0%} liars"
    )
    if exposure.overrun_peers <= OVERRUN_MAX:
        return f"{text}."
    enough = degree_against(nodes, byzantine_share=byzantine_share, overrun_max=OVERRUN_MAX)
    advice = "no degree is enough" if enough is None else f"degree={enough} would be enough"
    return f"{text}. That is too much: {advice} to keep it below {OVERRUN_MAX}."


def _when_placed(best: Candidate) -> str:
    exposure = best.exposure
    text = (
        f"Liars that choose their places are {exposure.share_worst:.0%} of the neighbors of one "
        "peer; give peers neighbors that they do not choose themselves"
    )
    if best.cut_by is None:
        return f"{text}."
    if exposure.liars >= best.cut_by:
        return f"{text}. They can cut honest peers off from each other, for which {best.cut_by} do."
    return f"{text}. They cannot cut honest peers off from each other, for which {best.cut_by} do."
