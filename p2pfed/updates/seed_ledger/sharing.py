"""Blocks shared out to threads, each of which works on its own ones from end to end.

Torch would share out every single operation instead and wait for the slowest thread after each, a
few dozen times per block; where other programs run, too, that takes several times as long as one
thread alone.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Final

import torch

_VALUES_PER_THREAD: Final = 2**20  # some milliseconds of work; to begin a thread takes 0.1 ms


def share_blocks(
    work: Callable[[range], None], blocks: range, block_size: int, *, on_cpu: bool
) -> None:
    """Call `work` for ranges that cover all blocks, in as many threads as torch may use.

    Args:
        work: Called with blocks without gaps; what it raises is raised here.
        blocks: All of them, without gaps.
        block_size: Values in one.
        on_cpu: Whether that computes; the work of other devices is not shared out.
    """
    parts = split(blocks, len(blocks) * block_size // _VALUES_PER_THREAD if on_cpu else 1)
    if len(parts) == 1:
        work(parts[0])
        return
    with ThreadPoolExecutor(len(parts), initializer=_use_one_thread) as pool:
        for _ in pool.map(work, parts):
            pass


def split(blocks: range, parts_max: int) -> list[range]:
    """Cut blocks into a part for each thread."""
    count = max(1, min(torch.get_num_threads(), parts_max))
    ends = [blocks.start + len(blocks) * part // count for part in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(ends)]


def _use_one_thread() -> None:
    torch.set_num_threads(1)  # it holds for the thread that says it
