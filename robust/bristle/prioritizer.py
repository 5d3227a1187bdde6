"""Which of many received models are worth a costly evaluation; needs no torch.

Near models are likely useful and far ones may hold what the own data lacks, so some of each are
kept. It saves work and defends against nothing: a liar chooses its own distance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from random import Random
from typing import Literal, TypeVar, final, get_args

from robust.errors import InputError, RuleError
from robust.parameters import (
    check_parameters,
    check_whole_number,
    is_number,
    is_whole_number,
    shown,
)

Draw = Literal["random", "nearest"]
Key = TypeVar("Key", bytes, str, int)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DistancePrioritizer:
    """Keep some of the nearest, the middle and the furthest third of the received models.

    Args:
        model_count_max: Models to keep; the paper's beta. If no more were received, all are kept,
            else as many as the three quotas add up to, which rounding may make one more or fewer.
        exploration_ratio: From 0 (near models only) to 1 (far ones only); the paper's alpha.
        draw: "random" keeps a uniform sample of each third, "nearest" its nearest models.
        seed: Where the samples come from, together with the round; "nearest" needs none. At
            least 0. Who knows it can choose a distance that is always sampled: keep it from other
            peers.

    Raises:
        RuleError: If a parameter is out of range, or samples are to be drawn without a seed.

    Source: Verbraeken, de Vos and Pouwelse 2021, "Bristle: decentralized federated learning in
        Byzantine, non-i.i.d. environments", the distance-based prioritizer.
    Differs: the paper draws nothing from thirds of fewer than one model; here all models are kept
        if they are few, the last third takes what three does not divide, and what a third cannot
        fill goes to the others.
    Cost: O(n log(n)) time for n models; their distances are the caller's to measure.
    """

    model_count_max: int = 30  # the constants of a public implementation, as is the ratio
    exploration_ratio: float = 0.4
    draw: Draw = "random"
    seed: int | None = None  # a secret that had a default would be none

    def __post_init__(self) -> None:
        check_parameters(type(self), {it.name: getattr(self, it.name) for it in fields(self)})
        if self.model_count_max < 1:
            raise RuleError(f"model_count_max={self.model_count_max} keeps nothing; at least 1")
        if not 0.0 <= self.exploration_ratio <= 1.0:
            raise RuleError(f"exploration_ratio={self.exploration_ratio} is not in [0, 1]")
        if self.draw not in get_args(Draw):
            raise RuleError(f"unknown draw {self.draw!r}; known: {', '.join(get_args(Draw))}")
        if self.seed is not None:
            check_whole_number(self.seed, "seed")
        if self.draw == "random" and self.seed is None:
            raise RuleError(
                'draw="random" needs a seed that other peers do not know: who knows it can choose '
                'a distance that is always sampled; give seed=, or draw="nearest"'
            )

    def select(self, distances: Mapping[Key, float], *, round: int) -> set[Key]:
        """Choose the models to evaluate.

        Args:
            distances: How far each peer's model is from the own one, >= 0, by the peer's key;
                infinity is the furthest. Their order does not matter, and equal distances are
                ordered by key.
            round: The number of the round; another one samples anew.

        Returns:
            The keys to keep.

        Raises:
            InputError: If a distance is negative or NaN, or an argument not as described.
        """
        _check_selection(distances, round)
        if len(distances) <= self.model_count_max:
            return set(distances)
        nearest_first = sorted(distances, key=lambda key: (distances[key], key))
        thirds = _thirds(nearest_first)
        wanted = quotas(self.model_count_max, self.exploration_ratio)
        counts = _redistribute(wanted, [len(third) for third in thirds])
        if self.draw == "nearest":
            samples = [third[:count] for third, count in zip(thirds, counts, strict=True)]
        else:
            label = f"bristle prioritizer {self.seed} {round}"
            random = Random(blake2b(label.encode()).digest())
            samples = [
                random.sample(third, count) for third, count in zip(thirds, counts, strict=True)
            ]
        return {key for sample in samples for key in sample}


def quotas(model_count_max: int, exploration_ratio: float) -> tuple[int, int, int]:
    """Compute how many models to keep of the near, the middle and the far third.

    Binomial shares (1 - a)^2, 2 a (1 - a) and a^2 of `model_count_max`, each rounded to the
    nearest number, halves up; their sum may differ from `model_count_max` by one.
    """
    near, far = 1.0 - exploration_ratio, exploration_ratio
    first, second, third = (
        math.floor(share * model_count_max + 0.5) for share in (near**2, 2 * near * far, far**2)
    )
    return first, second, third


def _check_selection(distances: object, round: object) -> None:
    if not is_whole_number(round):
        raise InputError(f"round={shown(round)} is not a whole number")
    if not isinstance(distances, Mapping):
        raise InputError(f"distances={shown(distances)} is no mapping from keys to distances")
    try:
        sorted(distances)
    except TypeError as error:
        raise InputError(
            f"distances: keys cannot be sorted: {error}; give all as bytes, text or numbers"
        ) from error
    for key, distance in distances.items():
        if not is_number(distance) or distance < 0.0:
            raise InputError(f"distance {shown(distance)} of {shown(key)} is not a number >= 0")


def _thirds(ordered: Sequence[Key]) -> list[Sequence[Key]]:
    size = len(ordered) // 3
    return [ordered[:size], ordered[size : 2 * size], ordered[2 * size :]]


def _redistribute(wanted: Sequence[int], available: Sequence[int]) -> list[int]:
    """Pass on what a third cannot fill: to the next further one, then from the nearest again."""
    counts, unused = [], 0
    for quota, size in zip(wanted, available, strict=True):
        counts.append(min(quota + unused, size))
        unused += quota - counts[-1]
    for third, size in enumerate(available):
        extra = min(unused, size - counts[third])
        counts[third] += extra
        unused -= extra
    return counts
