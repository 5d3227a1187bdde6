"""The median of values that count differently."""

import math
from collections.abc import Sequence


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return what half of the weight is below, and half above; the middle if two values are that.

    Args:
        values: At least one.
        weights: Theirs, >= 0, not all 0.
    """
    pairs = sorted((value, weight) for value, weight in zip(values, weights, strict=True) if weight)
    half = math.fsum(weight for _, weight in pairs) / 2.0
    below, low = 0.0, None
    for value, weight in pairs:
        below += weight
        if low is None and below >= half:
            low = value
        if below > half:
            return value if low is None else low / 2.0 + value / 2.0
    return pairs[-1][0]
