"""When processes run: written faults, churn and availability, put together peer by peer."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import final

from sim.availability import Absence
from sim.clock import Action, Clock, nanoseconds
from sim.faults import Crash, Fault, Restart


@dataclass(frozen=True, slots=True, kw_only=True)
class Churn:
    """Random crashes, one peer at a time, each followed by a restart.

    Attributes:
        peers: Whom it may hit, while they are up.
        generator: Decides.
        from_s: When it begins, in seconds of virtual time.
        until_s: When the last crash may happen; every peer is restarted.
        period_s: Mean time between crashes, in seconds; one that would find nobody up is left out.
        down_s: Mean time for which a peer is away, in seconds.
        silent_ratio: Share of crashes that tell nobody.
        lost_disk_ratio: Share of restarts from nothing.
    """

    peers: Sequence[int]
    generator: random.Random
    from_s: float = 0.0
    until_s: float
    period_s: float
    down_s: float
    silent_ratio: float = 0.5
    lost_disk_ratio: float = 0.0

    def next_s(self, at_s: float) -> float:
        """Draw when the crash after a time would happen."""
        return at_s + self.period_s * (0.5 + self.generator.random())

    def draw_peer(self, is_up: Callable[[int], bool]) -> int | None:
        """Draw one of the peers that are up, each as likely as the others; None without any."""
        # The first draw nearly always suffices, and does not look at all peers.
        peer = self.generator.choice(self.peers)
        if is_up(peer):
            return peer
        up = [peer for peer in self.peers if is_up(peer)]
        return self.generator.choice(up) if up else None

    def draw_outage(self, peer: int, at_s: float) -> tuple[Crash, Restart]:
        """Draw how a peer crashes, and when and from what it comes back."""
        generator = self.generator
        # None crashes now; a number crashes within the effects of some event soon after.
        after_effects = generator.choice((None, generator.randrange(8)))
        crash = Crash(
            at_s=at_s,
            peers=(peer,),
            silent=after_effects is None and generator.random() < self.silent_ratio,
            after_effects=after_effects,
        )
        back_s = at_s + self.down_s * (0.5 + generator.random())
        lose_disk = generator.random() < self.lost_disk_ratio
        return crash, Restart(at_s=back_s, peers=(peer,), lose_disk=lose_disk)


def combine(
    faults: Iterable[Fault], *, churns: Iterable[Churn] = (), absences: Sequence[Absence] = ()
) -> list[Fault]:
    """Return what happens of faults, churn and absences, in order of time.

    A process runs while its machine is there and no crash has ended it: a crash of one that does
    not run is none, a restart of a machine that is away waits until it is back, and who was crashed
    is not brought back by an absence that ends. A restart of a churn ends the absence that its own
    crash began, and no later one.

    Args:
        faults: Written down; of equal times in this order, after absences.
        churns: Hit whoever is up.
        absences: Those that begin with the world end without a restart: the world starts these
            peers.
    """
    lives = _Lives()
    lives.take_absences(absences)
    for fault in faults:
        lives.take_fault(fault)
    for churn in churns:
        lives.take_churn(churn, churn.from_s)
    while lives.clock.step():
        pass
    return lives.happened


@final
class _Lives:
    """Who is up, as time passes.

    Attributes:
        clock: What is still to be taken, in order of time.
        happened: Faults that have an effect, so far.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.happened: list[Fault] = []
        self._away: set[int] = set()
        self._ended: dict[int, Crash] = {}  # who crashed and was not restarted
        self._loses_disk: set[int] = set()  # who is away, and finds nothing when it is back

    def take_absences(self, absences: Sequence[Absence]) -> None:
        """Take them all: at equal times peers go before others come."""
        self._away |= {it.peer for it in absences if it.from_s == 0.0}
        for absence in absences:
            if absence.from_s > 0.0:
                self._at(absence.from_s, partial(self._leave, absence))
        for absence in absences:
            if absence.until_s < math.inf:
                self._at(absence.until_s, partial(self._come, absence))

    def take_fault(self, fault: Fault) -> None:
        match fault:
            case Crash():
                self._at(fault.at_s, partial(self._crash, fault))
            case Restart():
                self._at(fault.at_s, partial(self._restart, fault))
            case _:
                self._at(fault.at_s, partial(self.happened.append, fault))

    def take_churn(self, churn: Churn, after_s: float) -> None:
        at_s = churn.next_s(after_s)
        if at_s < churn.until_s:
            self._at(at_s, partial(self._churn, churn, at_s))

    def _at(self, at_s: float, action: Action) -> None:
        self.clock.at(nanoseconds(at_s), action)

    def _is_up(self, peer: int) -> bool:
        return peer not in self._away and peer not in self._ended

    def _leave(self, absence: Absence) -> None:
        ended = self._ended.get(absence.peer)
        self._away.add(absence.peer)
        # A crash that waits for effects may be yet to come.
        if ended is None or ended.after_effects is not None:
            gone = Crash(at_s=absence.from_s, peers=(absence.peer,), silent=absence.silent)
            self.happened.append(gone)

    def _come(self, absence: Absence) -> None:
        peer = absence.peer
        self._away.remove(peer)
        lose_disk = peer in self._loses_disk
        self._loses_disk.discard(peer)
        if absence.from_s > 0.0 and peer not in self._ended:
            back = Restart(at_s=absence.until_s, peers=(peer,), lose_disk=lose_disk)
            self.happened.append(back)

    def _crash(self, crash: Crash) -> None:
        hit = tuple(peer for peer in crash.peers if self._is_up(peer))
        self._ended |= dict.fromkeys(hit, crash)
        if hit:
            self.happened.append(replace(crash, peers=hit))

    def _restart(self, restart: Restart, *, after: Crash | None = None) -> None:
        """Take a restart; one that belongs to a crash does nothing after other crashes.

        Who is up may have ended by itself meanwhile: the world leaves alone whoever runs.
        """
        back = []
        for peer in restart.peers:
            if after is not None and self._ended.get(peer) is not after:
                continue
            self._ended.pop(peer, None)
            if peer not in self._away:
                back.append(peer)
            elif restart.lose_disk:
                self._loses_disk.add(peer)
        if back:
            self.happened.append(replace(restart, peers=tuple(back)))

    def _churn(self, churn: Churn, at_s: float) -> None:
        peer = churn.draw_peer(self._is_up)
        if peer is not None:
            crash, restart = churn.draw_outage(peer, at_s)
            self._crash(crash)
            self._at(restart.at_s, partial(self._restart, restart, after=crash))
        self.take_churn(churn, at_s)
