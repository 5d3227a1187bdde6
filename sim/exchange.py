"""Whether rows of honest peers come to those that still train, once everything is mended."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from statistics import pvariance
from typing import Final, final

import networkx as nx
from typing_extensions import override

from p2pfed.core.config import CoreConfig, UpdateFamily
from p2pfed.core.effects import Effect, IntegrationRow, StartIntegration
from p2pfed.core.events import Event, IntegrationFinished
from p2pfed.core.journal import PROGRESS_KEY
from p2pfed.core.records import decode_progress
from p2pfed.identity import PeerId
from p2pfed.messages import Role, UpdateHeader
from sim.benches import StubBench
from sim.host import Host
from sim.network import Power
from sim.watching import Watcher
from sim.world import World

Pair = tuple[int, int]  # who reads, and whose rows
Lives = dict[int, int]  # incarnation -> last sequence

LINKED_SECONDS_MIN: Final = 10  # several heartbeats: what was lost is asked for at the next one

_NO_JOB: Final[tuple[int, Sequence[IntegrationRow]]] = (-1, ())


@final
class Exchange(Watcher):
    """Remembers whose updates went into whose model with a weight above 0, and how far.

    After `begin`, each honest peer that still trains must come to use

    - of a neighbor that trains too, an update that nobody had before;
    - of a neighbor that has trained, its last one, in its own present life; not where updates are
      differences, for that one may build on what is not to be had any more.

    Where an update is for some neighbors only, one that trains is enough. Where updates are
    entries of logs, neighbors are all peers that can be reached over honest ones.
    """

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, Sequence[IntegrationRow]]] = {}
        # By number of the reader, its life and the author.
        self._used: dict[tuple[int, int | None, PeerId], Lives] = defaultdict(dict)
        self._linked: Counter[Pair] = Counter()  # seconds
        self._known: dict[PeerId, Lives] = defaultdict(dict)

    @override
    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        if isinstance(event, IntegrationFinished):
            job, rows = self._rows.pop(host.index, _NO_JOB)
            if job == event.job:
                for row, verdict in zip(rows, event.verdicts, strict=True):
                    if verdict.weight > 0.0:
                        _note(self._used[host.index, host.life, row.peer], row.header)
        for effect in effects:
            if isinstance(effect, StartIntegration):
                self._rows[host.index] = (effect.job, effect.rows)

    def begin(self, world: World) -> None:
        """Ask from now on for what is new."""
        for (_, _, author), lives in self._used.items():
            for incarnation, sequence in lives.items():
                known = self._known[author]
                known[incarnation] = max(sequence, known.get(incarnation, 0))
        for host in world.hosts:
            newest = _newest(host)
            if newest is not None:
                _note(self._known[host.peer], newest)

    def missing(self, world: World) -> list[Pair]:
        """List which honest peers that train still lack a row of which honest peer.

        To be asked about once a second: who leaves after so short a link need not be heard.
        """
        asked = [pair for pair in _pairs(world) if self._could_be_heard(world, *pair)]
        found = [pair for pair in asked if self._lacks(world, *pair)]
        if world.hosts[0].member.config.schedule.recipients is None:
            return found
        served = {reader for reader, _ in set(asked) - set(found)}
        return [(reader, author) for reader, author in found if reader not in served]

    def _could_be_heard(self, world: World, reader: int, author: int) -> bool:
        host = world.hosts[author]
        if host.is_done and not _gives_last(host.member.config):
            return False
        if host.power is not Power.RUNNING or host.has_left:
            return self._linked[reader, author] >= LINKED_SECONDS_MIN
        self._linked[reader, author] += host.peer in world.status(reader).neighbors
        return True

    def _lacks(self, world: World, reader: int, author: int) -> bool:
        host = world.hosts[author]
        used = self._used[reader, world.hosts[reader].life, host.peer]
        newest = _newest(host)
        if newest is None:
            return not host.is_done
        if not host.is_done:
            known = self._known[host.peer]
            return not any(last > known.get(life, 0) for life, last in used.items())
        return used.get(newest.incarnation, 0) < newest.sequence


def spread_ratio(world: World) -> float:
    """Return how far apart honest peers that train are, as a share of how far their targets are.

    Without any exchange it grows towards 1. Benches must be `StubBench`es of different targets.
    """
    benches = [
        host.bench
        for host in world.hosts
        if host.is_honest and host.member.config.role is Role.TRAIN
    ]
    stubs = [bench for bench in benches if isinstance(bench, StubBench)]
    return _spread([stub.vector for stub in stubs]) / _spread([stub.target for stub in stubs])


def _spread(vectors: Sequence[Sequence[float]]) -> float:
    """Return the sum of the variances of all numbers."""
    return sum(float(pvariance(numbers)) for numbers in zip(*vectors, strict=True))


def _pairs(world: World) -> Iterator[Pair]:
    """Yield which honest peers that train, and whose rows can reach them."""
    honest = [host.index for host in world.hosts if host.is_honest]
    graph = nx.Graph(world.network.edges).subgraph(honest)
    is_log = world.hosts[0].member.config.family is UpdateFamily.LEDGER
    for reader in graph:
        others = nx.node_connected_component(graph, reader) - {reader} if is_log else graph[reader]
        if world.hosts[reader].is_done or world.hosts[reader].power is not Power.RUNNING:
            continue
        for author in sorted(others):
            yield reader, author


def _gives_last(config: CoreConfig) -> bool:
    """Return whether the last update of a peer that has trained is of use to every neighbor.

    One that is drawn is not for others, and a difference builds on what they may lack.
    """
    return config.schedule.recipients is None and config.family is not UpdateFamily.DIFFERENCE


def _newest(host: Host) -> UpdateHeader | None:
    record = host.disk.read(PROGRESS_KEY)
    own = decode_progress(record).own if record else None
    return None if own is None else own.header


def _note(lives: Lives, header: UpdateHeader) -> None:
    lives[header.incarnation] = max(header.sequence, lives.get(header.incarnation, 0))
