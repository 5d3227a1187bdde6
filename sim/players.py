"""Who plays a scenario: what all of them can, and the one that does it alone."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self, final

from sim.building import set_stage
from sim.checkers.invariant import InvariantError
from sim.clock import NANOSECONDS_PER_SECOND, nanoseconds
from sim.ending import Ending
from sim.member import Member
from sim.outcomes import Ended, ended
from sim.scenario import Scenario
from sim.watching import Watcher
from sim.world import World


class Player(Protocol):
    """Plays one scenario once.

    Attributes:
        members: All peers, by number.
        end_s: Virtual time at which it was over, or that has come so far, in seconds.
    """

    members: Sequence[Member]

    @property
    def end_s(self) -> float:
        """Virtual time at which it was over, or that has come so far, in seconds."""

    def play(self) -> None:
        """Play it to its end.

        Raises:
            InvariantError: If a checker found something wrong.
        """

    def ended(self) -> Ended:
        """Return how all stand."""


@final
class Alone:
    """Simulates all peers in this process.

    Args:
        scenario: Which.
        seed: Of everything random.
        watchers: Are told what happens.

    Raises:
        ConfigError: If the scenario cannot be used.
    """

    def __init__(self, scenario: Scenario, seed: int, watchers: Sequence[Watcher]) -> None:
        self._stage = set_stage(scenario, seed, watchers)
        self._until_s = scenario.world.until_s
        self._end_ns: int | None = None
        self.members: Sequence[Member] = self._stage.world.members

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        pass  # there is nothing but memory

    @property
    def end_s(self) -> float:
        """Virtual time at which it was over, or that has come so far, in seconds."""
        now_ns = self._stage.world.clock.now_ns
        end_ns = now_ns if self._end_ns is None else self._end_ns
        return end_ns / NANOSECONDS_PER_SECOND

    def play(self) -> None:
        """Play it to its end.

        When all is over it goes on for the shortest delay, as several processes have to, in which
        one learns what the other has done.

        Raises:
            InvariantError: If a checker found something wrong.
        """
        world = self._stage.world
        try:
            self._play(world, self._stage.ending)
        except InvariantError:
            world.end()
            raise
        world.end()

    def ended(self) -> Ended:
        """Return how all stand."""
        return ended(self._stage.world)

    def _play(self, world: World, ending: Ending) -> None:
        world.run(until_s=self._until_s, stop=ending.is_reached)
        self._end_ns = world.clock.now_ns
        if ending.is_reached():
            latency_ns = world.network.latency_ns_min or 0
            world.play(min(nanoseconds(self._until_s), self._end_ns + latency_ns))
            world.check()
