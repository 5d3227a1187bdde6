"""Who plays a scenario: what all of them can, and the one that does it alone."""

from collections.abc import Sequence
from typing import Protocol, final

from sim.building import set_stage
from sim.clock import NANOSECONDS_PER_SECOND, nanoseconds
from sim.member import Member
from sim.outcomes import Ended, ended
from sim.scenario import Scenario
from sim.watching import Watcher


class Player(Protocol):
    """Plays one scenario once.

    Attributes:
        members: All peers, by number.
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

    def end(self) -> None:
        """Let the watchers look for the last time, also at what a checker ended."""

    def ended(self) -> Ended:
        """Return how all stand."""

    def close(self) -> None:
        """End what was begun for it."""


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
        world, ending = self._stage.world, self._stage.ending
        world.run(until_s=self._until_s, stop=ending.is_reached)
        self._end_ns = world.clock.now_ns
        if ending.is_reached():
            latency_ns = world.network.latency_ns_min or 0
            world.play(min(nanoseconds(self._until_s), self._end_ns + latency_ns))
            world.check()

    def end(self) -> None:
        """Let the watchers look for the last time."""
        self._stage.world.end()

    def ended(self) -> Ended:
        """Return how all stand."""
        return ended(self._stage.world)

    def close(self) -> None:
        """End nothing: there is nothing but memory."""
