"""Playing a scenario in several processes, of which this is one."""

from collections.abc import Sequence
from typing import Final, final

from p2pfed.errors import ConfigError
from sim.clock import NANOSECONDS_PER_SECOND, nanoseconds
from sim.documents import document_of
from sim.member import Member
from sim.outcomes import Ended, join
from sim.parts.elsewhere import PartElsewhere
from sim.parts.here import PartHere
from sim.parts.lockstep import Part, Stepped, play
from sim.parts.shares import part_of_each
from sim.parts.staging import part_here
from sim.parts.whole import Whole
from sim.result import Recorder
from sim.scenario import Scenario
from sim.watching import Watcher

_TOLD: Final = ("world_began", "world_ended", "notice_given", "round_played")


@final
class InParts:
    """Simulates some of the peers in this process, and the others in processes of their own.

    Args:
        scenario: Which; `compute.processes` says how many.
        seed: Of everything random.
        watchers: Are told what peers tell their applications.

    Raises:
        ConfigError: If the scenario or a watcher cannot be used.
    """

    def __init__(self, scenario: Scenario, seed: int, watchers: Sequence[Watcher]) -> None:
        for watcher in watchers:
            _check_watcher(watcher)
        processes = scenario.world.compute.processes
        self._until_ns = nanoseconds(scenario.world.until_s)
        self._watchers = watchers
        self._end_ns = self._last_ns = 0
        graph = scenario.world.topology.create(seed=seed).graph
        part_of = part_of_each(graph, processes)
        document = document_of(scenario)
        # They begin now, while this one makes its own part.
        self._elsewhere: list[PartElsewhere] = []
        try:
            for number in range(1, processes):
                self._elsewhere.append(PartElsewhere(document, seed, part_of, number))
            self._here = part_here(scenario, seed, part_of, 0)
            self._latency_ns = _latency_ns(self._here, processes)
        except BaseException:
            self.close()
            raise
        self.members: Sequence[Member] = self._here.world.members
        self._parts: list[Part] = [self._here, *self._elsewhere]
        self._whole = Whole(self.members, self._parts)

    @property
    def end_s(self) -> float:
        """Virtual time at which it was over, or that has come so far, in seconds."""
        return self._end_ns / NANOSECONDS_PER_SECOND

    def play(self) -> None:
        """Play it to its end.

        Raises:
            ConfigError: If another process cannot use the scenario.
            InvariantError: If a checker found something wrong.
            LocalError: If another process ended.
        """
        for watcher in self._watchers:
            watcher.world_began(self._whole)
        for other in self._elsewhere:
            other.wait()
        played = play(
            self._parts, latency_ns=self._latency_ns, until_ns=self._until_ns, tell=self._tell
        )
        self._end_ns, self._last_ns = played.end_ns, played.last_ns
        for part in self._parts:
            part.check()

    def end(self) -> None:
        """Let the watchers look for the last time."""
        self._whole.now_s = self._last_ns / NANOSECONDS_PER_SECOND
        for watcher in self._watchers:
            watcher.world_ended(self._whole)

    def ended(self) -> Ended:
        """Return how all stand."""
        return join([part.ended() for part in self._parts])

    def close(self) -> None:
        """End the other processes, whatever they are doing."""
        for other in self._elsewhere:
            other.close()

    def _tell(self, stepped: Sequence[Stepped]) -> None:
        self._end_ns = self._last_ns = max(it.last_ns for it in stepped)
        self._whole.events = sum(it.events for it in stepped)
        told = [one for it in stepped for one in it.told]
        for at_ns, number, said, sent_bytes in sorted(told, key=lambda one: one[:2]):
            host = self._whole.seat(number, at_ns, sent_bytes)
            for watcher in self._watchers:
                if not isinstance(said, str):
                    watcher.notice_given(host, said)
                elif isinstance(watcher, Recorder):
                    watcher.take_trouble(number, said)


def _latency_ns(part: PartHere, processes: int) -> int:
    """Return what no delay is below, in nanoseconds.

    Raises:
        ConfigError: If nothing keeps a message from arriving at once.
    """
    latency_ns = part.world.network.latency_ns_min
    if not latency_ns:
        fix = "write 1; or let every message take some time (network), so that parts can wait"
        raise ConfigError("compute.processes", processes, fix)
    return latency_ns


def _check_watcher(watcher: Watcher) -> None:
    """Refuse a watcher that wants to see more than peers tell.

    Raises:
        ConfigError: If it does.
    """
    if isinstance(watcher, Recorder):
        return
    for name, method in vars(Watcher).items():
        is_told = name.startswith("_") or name in _TOLD
        if not is_told and getattr(type(watcher), name) is not method:
            fix = f"leave out its {name}, or write compute.processes = 1: here it is told notices"
            raise ConfigError("watchers", watcher, fix)
