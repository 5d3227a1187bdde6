"""What a world remembers does not grow with the number of messages."""

import gc
from collections import deque
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from p2pfed.core.config import UpdateFamily
from sim.reading import Recent
from sim.world import World
from tests.sim.conftest import MakeWorld

OF_PROGRAM = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType)
FEW = 64  # bytes of frames, or signatures


def reachable(world: World) -> Iterator[Any]:
    """Yield every object that a world holds, its program aside, once."""
    seen: dict[int, Any] = {}
    waiting: list[Any] = [world]
    while waiting:
        found = waiting.pop()
        if id(found) not in seen and not isinstance(found, OF_PROGRAM):
            seen[id(found)] = found
            waiting += gc.get_referents(found)
            yield found


def entry_count(world: World, *, rounds: int) -> int:
    """Count what is in all containers when peer 0 has published so many updates."""

    def is_there() -> bool:
        return world.now_s > 1.0 and world.status(0).sequence >= rounds

    world.run(until_s=1e4, stop=is_there)
    assert is_there()
    return sum(len(it) for it in reachable(world) if isinstance(it, dict | list | set | deque))


def most_entries(world: World, *, last_round: int) -> int:
    """Return the most of the rounds before: a log grows until its author compacts it."""
    return max(entry_count(world, rounds=it) for it in range(last_round - 50, last_round + 1, 5))


@pytest.mark.parametrize("family", list(UpdateFamily))
def test_containers_are_as_long_after_400_rounds_as_after_200(
    make_world: MakeWorld, family: UpdateFamily
) -> None:
    world = make_world("complete", 3, rounds_max=1_000, family=family)
    for cache in [it for it in reachable(world) if isinstance(it, Recent)]:
        cache._size_max = FEW  # full long before 200 rounds
    count = most_entries(world, last_round=200)
    assert most_entries(world, last_round=400) < 1.05 * count
