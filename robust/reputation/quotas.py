"""Tit for tat: how much of what a neighbor could get it is served."""

import math

from robust.errors import RuleError
from robust.parameters import check_round, check_whole_number, is_number, shown

# What a product of a quota and a count may be above a whole number by rounding.
_SLACK = 1e-9


def entry_count(quota: float, length: int) -> int:
    """Count the entries of largest magnitude, out of `length`, to serve: ceil(quota * length).

    Raises:
        RuleError: If the quota is not in [0, 1], or the length no whole number >= 0.

    Source: Xu and Lyu 2021, "A reputation mechanism is all you need", the download quota.
    """
    check_whole_number(length, "length")
    return math.ceil(_checked(quota) * length - _SLACK)


def is_served(quota: float, round_index: int) -> bool:
    """Tell whether a neighbor is served in a round, where updates are served whole or not at all.

    Of any 1 / quota consecutive rounds it is one, and of n rounds n * quota, up to rounding.

    Raises:
        RuleError: If the quota is not in [0, 1], or the round negative.
    """
    check_round(round_index)
    share = _checked(quota)
    served_before = math.floor(share * round_index + _SLACK)
    return math.floor(share * (round_index + 1) + _SLACK) > served_before


def _checked(quota: float) -> float:
    if not is_number(quota) or not 0.0 <= quota <= 1.0:
        raise RuleError(f"quota={shown(quota)} is not in [0, 1]")
    return quota
