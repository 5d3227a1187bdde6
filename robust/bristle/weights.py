"""How much a peer may change, from how well its model does on own held-out data; needs no torch.

A peer that does better than the own model on what can be checked here is believed more, one that
does worse is believed less, and from a fifth worse on not at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from robust.errors import InputError
from robust.parameters import check_real, check_whole_number, is_number, read_numbers, shown

# How many shared classes a peer is taken to have if nobody counted them; the authors' constant.
OVERLAP_DEFAULT: Final = 3
# Below this a class's score counts no less; the authors' constant, at which the influence is 0.
_SCORE_MIN: Final = -100.0
_EXPONENT_MAX: Final = 700.0  # exp of it is in the range of float64


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PeerWeights:
    """What a peer's columns count, where the own ones count 1.

    Attributes:
        familiar: One weight per familiar class, 0 where the peer may not speak.
        foreign: The weight for all other classes, or for a whole vector without classes.
    """

    familiar: tuple[float, ...]
    foreign: float


def weigh(
    own_scores: Sequence[float],
    peer_scores: Sequence[float],
    *,
    overlap: int | None = OVERLAP_DEFAULT,
    is_strict: bool = False,
) -> PeerWeights:
    """Weigh a peer's model by its scores on classes that the own data has.

    Args:
        own_scores: F1 of the own model per familiar class, in [0, 1].
        peer_scores: F1 of the peer's model on the same samples, in the same order.
        overlap: How many of the classes the peer's data has too; the paper's phi. It speaks on as
            many, those in which it is best; of equal ones the first. None for all.
        is_strict: Whether a class in which the peer is not better counts nothing.

    Returns:
        The weights, each at least 0 and below 6.

    Raises:
        InputError: If there are not as many scores of the one as of the other, or one is not in
            [0, 1].
        RuleError: If `overlap` is not a whole number >= 0.

    Source: Verbraeken, de Vos and Pouwelse 2021, "Bristle: decentralized federated learning in
        Byzantine, non-i.i.d. environments", the performance-based integrator, in the form of the
        authors' program.
    Differs: a peer that overlaps in every class speaks on the familiar ones, where the authors'
        program takes the classes with the lowest numbers. The paper's own exponents are not those
        of the program; `is_strict` is their form in another public implementation.
    """
    own_scores = _read_scores(own_scores, "own_scores")
    peer_scores = _read_scores(peer_scores, "peer_scores")
    if overlap is not None:
        check_whole_number(overlap, "overlap")
    if len(own_scores) != len(peer_scores):
        raise InputError(f"{len(peer_scores)} scores of a peer, {len(own_scores)} of the own model")
    classes = range(len(own_scores))
    count = len(classes) if overlap is None else min(overlap, len(classes))
    spoken = sorted(classes, key=lambda it: -peer_scores[it])[:count]  # stable
    scores = {it: score(own_scores[it], peer_scores[it], is_strict=is_strict) for it in spoken}
    trust = certainty([peer_scores[it] for it in spoken])
    familiar = (
        influence(max(_SCORE_MIN, scores[it])) * trust if it in scores else 0.0 for it in classes
    )
    return PeerWeights(
        familiar=tuple(familiar), foreign=influence(math.fsum(scores.values())) * trust
    )


def score(own: float, peer: float, *, is_strict: bool = False) -> float:
    """Compare a peer's F1 with the own one, both in [0, 1], on one class.

    D^(3 + own) if the peer is better and -D^(4 + own) if not, where D = 10 |peer - own|; in the
    strict form D^3 and minus infinity.

    Raises:
        InputError: If one of the two is not in [0, 1].
    """
    _check_score(own, "own")
    _check_score(peer, "peer")
    difference = 10.0 * abs(peer - own)
    if peer > own:
        return float(difference ** (3.0 if is_strict else 3.0 + own))
    return -math.inf if is_strict else -float(difference ** (4.0 + own))


def influence(score: float) -> float:
    """Turn a score, or a sum of scores, into a weight: max(0, 10 sigmoid(score / 100) - 4).

    1 at score 0, below 6 for any score, and 0 from -100 ln(1.5) = -40.5 on downwards.

    Raises:
        RuleError: If `score` is no number.
    """
    check_real(score, "score")
    exponent = min(max(-score / 100.0, -_EXPONENT_MAX), _EXPONENT_MAX)
    return max(0.0, 10.0 / (1.0 + math.exp(exponent)) - 4.0)


def certainty(scores: Sequence[float]) -> float:
    """Compute max(0, mean - standard deviation) of the classes that a peer speaks on.

    The deviation is that of the whole population. 0 without classes.

    Raises:
        InputError: If a score is not in [0, 1].
    """
    scores = _read_scores(scores, "scores")
    if not scores:
        return 0.0
    mean = math.fsum(scores) / len(scores)
    variance = math.fsum((value - mean) ** 2 for value in scores) / len(scores)
    return max(0.0, mean - math.sqrt(variance))


def _read_scores(given: object, name: str) -> list[float]:
    scores = read_numbers(given, f"{name} are")
    for score in scores:
        _check_score(score, name)
    return scores


def _check_score(value: object, name: str) -> None:
    if not is_number(value) or not 0.0 <= value <= 1.0:
        raise InputError(f"{name}: {shown(value)} is no score; give a number in [0, 1]")
