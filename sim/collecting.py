"""Python's garbage collector beside millions of objects that live as long as the world."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Of Python, but for the first, which counts what was made and not yet freed. At 10,000 peers that
# is some 300,000 to 900,000 objects at any time, and a look at all of them takes a third of a
# second to a second: with 100,000 there were two in a round, a tenth of the CPU time, for 3,500
# objects of some 70 bytes. A million of those would be 70 MB.
_THRESHOLDS: Final = (1_000_000, 10, 10)


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Look for cycles less often until the end; a process that never does keeps it so."""
    before = gc.get_threshold()
    if before[0] > 0:
        gc.set_threshold(*(max(pair) for pair in zip(before, _THRESHOLDS, strict=True)))
    try:
        yield
    finally:
        gc.set_threshold(*before)
