"""How many liars to expect among n rows; needs no torch."""

import math

from robust.errors import InfeasibleError, RuleError
from robust.parameters import is_number, is_whole_number, shown


def byzantine_count(n: int, beta_max: float = 0.3) -> int:
    """Count the rows out of `n` that may be arbitrary: the f of the papers.

    floor(beta_max * n), but at least 1 where a majority can exist (n >= 3) and never half.

    Args:
        n: Rows before any was rejected, the own one included. At least 1.
        beta_max: Largest share of liars to survive, from 0 to below 0.5.

    Returns:
        f with 2 f < n.

    Raises:
        RuleError: If `n` or `beta_max` is out of range.
    """
    if not is_whole_number(n) or n < 1:
        raise RuleError(f"n={shown(n)} is not a number of rows: at least 1, the own one")
    check_beta_max(beta_max)
    least = 1 if n >= 3 else 0
    return min(max(math.floor(beta_max * n), least), (n - 1) // 2)


def check_beta_max(value: float) -> None:
    """Raise RuleError unless `value` is a share of liars that a majority can survive."""
    if not is_number(value) or not 0.0 <= value < 0.5:
        is_half = is_number(value) and value >= 0.5
        why = "no rule survives a lying half" if is_half else "give the share of liars to survive"
        raise RuleError(f"beta_max={shown(value)} is not in [0, 0.5): {why}")


def check_byzantine_count(value: object) -> None:
    """Raise RuleError unless `value` is a count of rows."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RuleError(f"byzantine_count={shown(value)} is not a whole number >= 0")


def too_few_rows(who: str, byzantine_count: int, *, needed: int, given: int) -> InfeasibleError:
    """Return the error that says what would make a rule or a step before it feasible."""
    fewer = "expect fewer liars, " if byzantine_count > 0 else ""
    return InfeasibleError(
        f"{who} with byzantine_count={byzantine_count} needs {needed} rows, got {given}: give it "
        f"more, {fewer}or take a rule that needs fewer; else keep the own vector"
    )
