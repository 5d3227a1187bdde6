"""A network of peers in virtual time."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, final

import networkx as nx

from p2pfed.core.events import Command, CommandGiven
from p2pfed.core.peer import PeerStatus
from p2pfed.core.schedule import Phase
from sim.clock import Clock, Entry, nanoseconds
from sim.compute.calculator import Calculator, Sequential
from sim.consensus import consensus_distance
from sim.host import Host
from sim.identities import random_for
from sim.jobs import ComputeModel
from sim.links import LinkModel
from sim.member import Member, Surroundings
from sim.network import Network, NetworkTiming, PeerLine, Power
from sim.payloads import PayloadPool
from sim.trace import Trace
from sim.transfers import Transfers
from sim.watching import Audience, Watcher

# Often enough to find the cause, seldom enough to be cheap, in a large world too: a look at the
# whole of it costs as much as one event of each peer.
CHECK_EVERY_EVENTS: Final = 1_000
CHECK_EVERY_EVENTS_PER_PEER: Final = 20


@final
class World:
    """Drives one `PeerCore` per node of a graph. One seed gives one trace.

    Args:
        graph: Nodes are 0 to n - 1; edges may carry `latency_s`, `bandwidth_bytes_per_s` and
            `loss_ratio`. Peers that are not adjacent cannot connect.
        members: The peers, by number.
        seed: Of everything random here.
        link: For what an edge does not carry.
        compute: How long jobs take.
        calculator: What computes them; by default one after the other.
        timing: What transports wait for.
        lines: How peers are connected, by number; the others without bounds.
        start_spread_s: Peers start at random times within so many seconds.
        starts_s: Peers, by number, that start at a time of their own instead, in virtual seconds.
        watchers: Are told what happens: checkers and recorders.
        keeps_models: Whether models are saved, without which no peer can be restarted.
        keeps_lines: Whether the trace keeps a line per event.
        here: Numbers of the peers that this world simulates, all by default. Others are simulated
            elsewhere, and `sim.parts` carries what they send each other.

    Attributes:
        members: All peers, by number.
        clock: Virtual time.
        network: The connections.
        hosts: The machines that are here, by number.
        trace: Digest of all that was delivered.
        pool: Payloads that somebody holds.
        audience: Is told what happens.
    """

    def __init__(
        self,
        graph: nx.Graph,
        members: Sequence[Member],
        *,
        seed: int = 0,
        link: LinkModel | None = None,
        compute: ComputeModel | None = None,
        calculator: Calculator | None = None,
        timing: NetworkTiming | None = None,
        lines: Mapping[int, PeerLine] | None = None,
        start_spread_s: float = 0.1,
        starts_s: Mapping[int, float] | None = None,
        watchers: Sequence[Watcher] = (),
        keeps_models: bool = True,
        keeps_lines: bool = False,
        here: Collection[int] | None = None,
    ) -> None:
        self.seed = seed
        self.members = members
        self.clock = Clock()
        self.trace = Trace(keeps_lines=keeps_lines)
        self.network = Network(
            graph,
            [member.identity.peer for member in members],
            self.clock,
            default=link or LinkModel(),
            timing=timing or NetworkTiming(),
            seed=seed,
            lines=lines,
            here=here,
        )
        transfers = Transfers(self.network, self.clock)
        self.calculator = calculator or Sequential()
        self.audience = Audience(watchers)
        self.pool = PayloadPool()
        for reader in [it.reader for it in members if it.reader is not None]:
            reader.pool = self.pool
        surroundings = Surroundings(
            seed=seed,
            clock=self.clock,
            network=self.network,
            transfers=transfers,
            pool=self.pool,
            compute=compute or ComputeModel(),
            calculator=self.calculator,
            trace=self.trace,
            audience=self.audience,
            keeps_models=keeps_models,
        )
        numbers = range(len(members)) if here is None else sorted(here)
        self._hosts = {number: Host(number, members[number], surroundings) for number in numbers}
        self.hosts = list(self._hosts.values())
        self.network.endpoints.update(self._hosts)
        transfers.parties.update(self._hosts)
        self._starts: dict[int, Entry] = {}  # of peers, the first ones of their processes
        self._plan_starts(start_spread_s, starts_s or {})
        self._checked_at = 0
        for watcher in self.audience.watchers:
            watcher.world_began(self)

    def _plan_starts(self, spread_s: float, starts_s: Mapping[int, float]) -> None:
        generator = random_for(self.seed, "start")
        for number in range(len(self.members)):
            drawn_s = spread_s * generator.random()
            if number in self._hosts and number not in starts_s:
                self._starts[number] = self.clock.after(drawn_s, self._hosts[number].start)
        for number, start_s in starts_s.items():
            if number in self._hosts:
                self._starts[number] = self.clock.after(start_s, partial(self.restart, number))

    def watch(self, watcher: Watcher) -> None:
        """Tell one more watcher what happens from now on."""
        self.audience.add(watcher)

    # Running -------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Virtual time, in seconds."""
        return self.clock.now_s

    def run(self, *, until_s: float, stop: Callable[[], bool] | None = None) -> bool:
        """Let time pass.

        Args:
            until_s: Virtual time at which to stop, in seconds since the world began.
            stop: Asked after each step; True ends the run.

        Returns:
            Whether `stop` said so, or nothing is left to happen.

        Raises:
            InvariantError: If a checker found something wrong.
        """
        end_ns = nanoseconds(until_s)
        is_over = self.play(end_ns, stop) or self.clock.next_ns() is None
        if not is_over:
            self.clock.advance(end_ns)
        self.check()
        return is_over

    def play(self, end_ns: int, stop: Callable[[], bool] | None = None) -> bool:
        """Do what is due up to a time, and let none pass after it.

        Args:
            end_ns: The time, in nanoseconds since the world began.
            stop: As of `run`.

        Returns:
            Whether `stop` said so.

        Raises:
            InvariantError: If a checker found something wrong.
        """
        check_every = max(CHECK_EVERY_EVENTS, CHECK_EVERY_EVENTS_PER_PEER * len(self.hosts))
        while stop is None or not stop():
            if not self.clock.step(end_ns):
                return False
            if self.trace.count - self._checked_at >= check_every:
                self.check()
        return True

    def check(self) -> None:
        """Let the watchers look at the whole world.

        Raises:
            InvariantError: If a checker found something wrong.
        """
        self._checked_at = self.trace.count
        for watcher in self.audience.watchers:
            watcher.world_checked(self)

    def is_to_start(self, number: int) -> bool:
        """Return whether a peer that has never run will start by itself."""
        return self._starts[number].action is not None

    def end(self) -> None:
        """Let the watchers look for the last time."""
        for watcher in self.audience.watchers:
            watcher.world_ended(self)

    def all_done(self, among: Iterable[int] | None = None) -> bool:
        """Return whether peers have stopped training, all or those with these numbers."""
        numbers = self._hosts if among is None else among
        return all(self._hosts[number].is_done for number in numbers)

    def phase(self, number: int) -> Phase | None:
        """Return what a peer is doing; None while it does not run and has not left."""
        host = self._hosts[number]
        if host.has_left:
            return Phase.LEFT
        return self.status(number).phase if host.power is Power.RUNNING else None

    def status(self, number: int) -> PeerStatus:
        """Return a peer's own summary, or its last one while it does not run."""
        core = self._hosts[number].core
        assert core is not None, f"peer {number} has not started yet"
        return core.status()

    def sent_bytes(self, number: int) -> int:
        """Return what a peer has sent, with the framing around it."""
        return self.network.sent_bytes_of(number)

    @property
    def events(self) -> int:
        """How much was delivered so far."""
        return self.trace.count

    def all_sent_bytes(self) -> int:
        """Return what all have sent, with the framing around it."""
        return sum(self.network.sent_bytes())

    def link_bytes(self) -> list[tuple[tuple[int, int], int]]:
        """Return what peers that are here sent along each edge, by who sent and who received."""
        sent = ((pair, wire.sent_bytes) for pair, wire in self.network.wires.items())
        return sorted(link for link in sent if link[0][0] in self._hosts)

    def consensus_distance(self, numbers: Collection[int]) -> float | None:
        """Return the mean squared distance of peers' vectors from their mean; None without any."""
        return consensus_distance(self._hosts[number].bench for number in sorted(numbers))

    def command(self, number: int, command: Command) -> None:
        """Tell a peer what its application or operator would."""
        if number in self._hosts:
            self._hosts[number].deliver(CommandGiven(command=command))

    # Faults --------------------------------------------------------------------------------

    def crash(self, number: int, *, silent: bool = False) -> None:
        """End a peer's process; one that has yet to start waits for a restart.

        Args:
            number: Whose.
            silent: The machine goes dark, so that its neighbors must find out by themselves.
        """
        if number in self._hosts:
            self._starts[number].cancel()
            self._hosts[number].crash(silent=silent)
        self._changed()

    def crash_after_effects(self, number: int, count: int) -> None:
        """End a peer's process once it has started so many more effects, or never if restarted."""
        if number in self._hosts:
            self._hosts[number].crash_after_effects(count)

    def restart(self, number: int, *, lose_disk: bool = False) -> None:
        """Start a peer's process again; one that runs is left alone.

        Args:
            number: Whose.
            lose_disk: Nothing that was saved is left.
        """
        host = self._hosts.get(number)
        if host is None:
            return
        host.crash_after_effects(None)
        if host.power is Power.RUNNING:
            return
        if lose_disk:
            host.lose_disk()
        host.start()
        self._changed()

    def partition(self, groups: Sequence[Sequence[int]], *, one_way: bool = False) -> None:
        """Silently stop everything between groups; peers in no group are a group of their own.

        Args:
            groups: Numbers of peers; each in at most one group.
            one_way: Let through what comes from peers in no group.
        """
        group_of = {number: k for k, group in enumerate(groups) for number in group}
        assert len(group_of) == sum(len(group) for group in groups)
        self.network.block(
            pair
            for pair in self.network.wires
            if group_of.get(pair[0], -1) != group_of.get(pair[1], -1)
            and (pair[0] in group_of or not one_way)
        )
        way = " one way" if one_way else ""
        self.trace.add_fault(self.clock.now_ns, -1, f"partition {groups}{way}")
        self._changed()

    def heal(self) -> None:
        """End every partition."""
        self.trace.add_fault(self.clock.now_ns, -1, "heal")
        self.network.unblock()
        self._changed()

    def clog(self, links: Sequence[tuple[int, int]], *, for_s: float) -> None:
        """Let links take nothing for a while, and then all.

        Args:
            links: Pairs of peers, who sends and who receives; of those that are no edge nothing
                changes.
            for_s: How long, in seconds.
        """
        until_ns = self.clock.now_ns + nanoseconds(for_s)
        self.network.clog([pair for pair in links if pair in self.network.wires], until_ns)
        self.trace.add_fault(self.clock.now_ns, -1, f"clog {links} {until_ns}")
        self._changed()
        self.clock.at(until_ns, self._changed)

    def set_speed(self, number: int, speed_ratio: float) -> None:
        """Make a machine faster or slower."""
        if number in self._hosts:
            self._hosts[number].set_speed(speed_ratio)

    def missing_links(self) -> list[tuple[int, int]]:
        """List the edges that should be up: both ends run and are honest, nothing is in between.

        An edge is up when both ends have greeted each other.
        """
        greeted = [
            self.status(host.index).neighbors if host.power is Power.RUNNING else ()
            for host in self.hosts
        ]
        peers = self.network.peers
        return [
            (first, second)
            for first, second in self.network.edges
            if self._could_be(first, second)
            and not (peers[second] in greeted[first] and peers[first] in greeted[second])
        ]

    def _changed(self) -> None:
        for watcher in self.audience.watchers:
            watcher.world_changed(self)

    def _could_be(self, first: int, second: int) -> bool:
        hosts = (self._hosts[first], self._hosts[second])
        wires = self.network.wires
        return (
            all(host.power is Power.RUNNING and host.is_honest for host in hosts)
            and not any(host.has_left for host in hosts)
            and not any(
                wires[pair].is_blocked or wires[pair].is_clogged
                for pair in ((first, second), (second, first))
            )
        )
