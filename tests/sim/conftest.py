from collections.abc import Callable
from typing import Any

import pytest

import topologies
from p2pfed.core.config import ScheduleConfig, ScheduleMode
from sim.stubs import stub_world
from sim.world import World

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world() -> MakeWorld:
    """Return a maker of stub worlds: a topology, fields of the schedule, options of stub_world."""

    def make(
        topology: str,
        nodes: int,
        *,
        mode: str = "asynchronous",
        rounds_max: int = 5,
        schedule: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        rounds_max_of: dict[int, int] | None = None,
        **others: Any,
    ) -> World:
        net = topologies.create(topology, nodes=nodes, **(params or {}))
        rounds = ScheduleConfig(
            mode=ScheduleMode(mode), rounds_max=rounds_max, linger_s=20.0, **(schedule or {})
        )
        return stub_world(net.graph, rounds, rounds_max=rounds_max_of, **others)

    return make
