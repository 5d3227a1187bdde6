"""Checks of what a caller asks for."""

import operator

from topologies.errors import TopologyError


def check_count(name: str, value: object, *, least: int) -> int:
    """Return `value` as an int.

    Raises:
        TopologyError: If it is not a whole number or is below `least`.
    """
    try:
        count = operator.index(value)  # type: ignore[arg-type]  # what it refuses is the point
    except TypeError:
        raise TopologyError(f"{name}={value!r}: use a whole number") from None
    if count < least or isinstance(value, bool):
        raise TopologyError(f"{name}={value!r}: use a whole number of at least {least}")
    return count
