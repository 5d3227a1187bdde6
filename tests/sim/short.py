"""A scenario that takes a quarter of a second, for tests of what is around simulations."""

from typing import Any, final

from typing_extensions import override

from p2pfed.core.notices import Notice
from sim.checkers.invariant import fail
from sim.host import Host
from sim.watching import Watcher

SHORT: dict[str, Any] = {
    "run": {"name": "short"},
    "training": {"steps_per_round": 1, "threads": 1},
    "integration": {"rule": "mean"},
    "schedule": {"rounds_max": 2, "linger_s": 1.0},
    "topology": {"name": "ring", "nodes": 3},
}


def make(**tables: Any) -> dict[str, Any]:
    """Return a scenario of four peers on a ring with more tables."""
    return {"run": {"task": "digits"}, "topology": {"name": "ring", "nodes": 4}, **tables}


@final
class Stickler(Watcher):
    """Ends a run in its middle, as a checker does."""

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        if host.now_s > 2.0:
            fail(self, f"peer {host.index} says something")
