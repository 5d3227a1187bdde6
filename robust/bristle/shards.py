"""Held-out data in shards, where a vector has no classes: adapters, language models; no torch.

Bristle asks how a model does on each class of the own data. Without classes, an evaluation shard (a
domain, a task, a range of lengths) stands for a class, and any score in [0, 1] for F1. No part of
the vector belongs to one shard, so a peer has one weight for all of it, the one of foreign classes:
that is `robust.create("bristle", evaluate=...)` without a `class_count`.
"""

import math
from collections.abc import Hashable, Sequence
from hashlib import blake2b
from random import Random
from typing import Final, TypeVar

from robust.errors import InputError, RuleError
from robust.parameters import check_real, check_whole_number, is_whole_number, shown

# With ten samples a score moves in steps of 0.1, and one sample is the difference between a weight
# of 0.97 and 1.03; with five, two samples are already the difference between 0.26 and 1.
SHARD_SAMPLES_MIN: Final = 10
SHARD_SAMPLES_DEFAULT: Final = 16  # guess: a margin above the least

Shard = TypeVar("Shard", bound=Hashable)


def score_of_loss(loss_per_token: float) -> float:
    """Turn a mean negative log likelihood in nats into a score: exp(-loss), the mean probability.

    A loss that is NaN scores 0, as the worst does.

    Raises:
        RuleError: If it has another type.
    """
    check_real(loss_per_token, "loss_per_token")
    return 0.0 if math.isnan(loss_per_token) else math.exp(-max(0.0, loss_per_token))


def draw_shards(
    shard_by_sample: Sequence[Shard],
    *,
    sample_count: int = SHARD_SAMPLES_DEFAULT,
    seed: int,
    round: int,
) -> dict[Shard, tuple[int, ...]]:
    """Draw as many held-out samples of each shard.

    Another round draws others, so that a liar who has learned some of them gains little.

    Args:
        shard_by_sample: The shard of each held-out sample.
        sample_count: Samples to draw per shard, at least `SHARD_SAMPLES_MIN`.
        seed: Where the draw comes from, together with the round; keep it from other peers.
        round: The number of the round.

    Returns:
        The sample numbers, ascending, by shard, in the order in which the shards first appear.

    Raises:
        RuleError: If `sample_count` is below the least, or a number is no whole one.
        InputError: If a shard has fewer samples; merge it with another one or leave it out.
    """
    check_whole_number(sample_count, "sample_count")
    for name, value in (("seed", seed), ("round", round)):
        if not is_whole_number(value):
            raise RuleError(f"{name}={shown(value)} is not a whole number")
    if not isinstance(shard_by_sample, Sequence):
        raise InputError(f"shard_by_sample={shown(shard_by_sample)} is no list of shards")
    if sample_count < SHARD_SAMPLES_MIN:
        raise RuleError(
            f"sample_count={sample_count} per shard: below {SHARD_SAMPLES_MIN} scores are noise"
        )
    samples: dict[Shard, list[int]] = {}
    for sample, shard in enumerate(shard_by_sample):
        samples.setdefault(shard, []).append(sample)
    random = Random(blake2b(f"bristle shards {seed} {round}".encode()).digest())
    drawn = {}
    for shard, members in samples.items():
        if len(members) < sample_count:
            raise InputError(
                f"shard {shown(shard)} has {len(members)} samples, {sample_count} wanted"
            )
        drawn[shard] = tuple(sorted(random.sample(members, sample_count)))
    return drawn
