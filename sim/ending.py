"""When a simulation is over: nobody trains, and nobody who could is to come."""

from collections.abc import Iterable
from typing import final

from sim.clock import nanoseconds
from sim.faults import Fault, Restart
from sim.host import Host
from sim.network import Power
from sim.world import World


@final
class Ending:
    """Says when every honest peer of a world that has run or will run has stopped training.

    What lets nobody train is not waited for: crashes, partitions, restarts of peers that are done.

    Args:
        world: Which.
        faults: What is planned in it.
        until_s: Virtual time at which the world ends; nobody who comes back later is waited for.
    """

    def __init__(self, world: World, faults: Iterable[Fault], *, until_s: float) -> None:
        self._world = world
        self._back_ns: dict[int, int] = {}  # when peers are restarted for the last time
        self._anew_ns: dict[int, int] = {}  # the same, with nothing on their disks
        for fault in faults:
            if isinstance(fault, Restart) and fault.at_s <= until_s:
                for number in fault.peers:
                    self._plan(number, nanoseconds(fault.at_s), lose_disk=fault.lose_disk)
        here = {host.index for host in world.hosts}
        for number, at_ns in self._back_ns.items():
            if number in here:
                # Who is waited for until then is not any more: a moment of its own, so that it is
                # the same whatever else happens then, here or in another part of the world.
                world.clock.at(at_ns + 1, _pass)
        self._unfinished: Host | None = None  # one of them, so that not all are looked at each time

    def is_reached(self) -> bool:
        """Return whether nobody trains any more, and nobody will."""
        if self._unfinished is not None and self._is_awaited(self._unfinished):
            return False
        self._unfinished = next(filter(self._is_awaited, self._world.hosts), None)
        return self._unfinished is None

    def _plan(self, number: int, at_ns: int, *, lose_disk: bool) -> None:
        self._back_ns[number] = max(at_ns, self._back_ns.get(number, 0))
        if lose_disk:
            self._anew_ns[number] = max(at_ns, self._anew_ns.get(number, 0))

    def _is_awaited(self, host: Host) -> bool:
        if not host.is_honest:
            return False
        if host.power is Power.RUNNING and not host.is_done:
            return True
        if host.core is None and self._world.is_to_start(host.index):
            return True
        has_finished = host.is_done and not host.has_given_up
        times_ns = self._anew_ns if has_finished else self._back_ns
        return self._world.clock.now_ns <= times_ns.get(host.index, -1)


def _pass() -> None:
    """Let a moment pass."""
