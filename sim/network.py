"""Connections between simulated machines: dialing, frames in order, resets, partitions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol, final

import networkx as nx

from p2pfed.core.events import DialFailed, Event, FrameReceived, PeerConnected, PeerDisconnected
from p2pfed.errors import LocalError
from p2pfed.identity import PeerId
from sim.clock import Clock, nanoseconds
from sim.identities import random_for
from sim.links import AccessLine, Drawn, Latency, LinkModel, Wire

# Of a `LinkModel`, that an edge of a graph may carry.
EDGE_FIELDS: Final = ("latency_s", "bandwidth_bytes_per_s", "loss_ratio")
_SYN_S: Final = 1.0  # Linux, first retransmission of a connection attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTiming:
    """What the transport of a real node waits for.

    Attributes:
        handshake_round_trips: From a dial to a usable control link.
        dial_s: After which a dial is given up, in seconds.
        flush_s: For what is queued when a peer is disconnected, in seconds.
        idle_s: Without a byte of a payload, after which its transfer is given up, in seconds.
    """

    handshake_round_trips: int = 6  # TCP 1, Noise 1.5, three protocol negotiations, greeting 0.5
    dial_s: float = 10.0  # as TransportLimits of the node
    flush_s: float = 1.0  # the same
    idle_s: float = 20.0  # the same


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLine:
    """How a peer is connected to the network, on top of its edges.

    Attributes:
        upload_bytes_per_s: Bytes per second that leave it, over all edges; None for no bound.
        download_bytes_per_s: Bytes per second that reach it, over all edges; None for no bound.
        latency_s: That its edges have more, each way, in seconds.
    """

    upload_bytes_per_s: float | None = None
    download_bytes_per_s: float | None = None
    latency_s: float = 0.0


class Power(StrEnum):
    """What a machine does with what arrives for a peer that has no connection."""

    RUNNING = "running"  # the process runs
    REFUSING = "refusing"  # the process does not; the kernel resets
    DARK = "dark"  # nothing answers


class Endpoint(Protocol):
    """What the network needs of a simulated machine."""

    @property
    def power(self) -> Power:
        """Whether it runs."""

    def deliver(self, event: Event) -> None:
        """Take an event."""


class Tenant(Protocol):
    """Something that lives on connections and must know when an end of one closes."""

    def end_closed(self, connection: "Connection", end: int) -> None:
        """Take that one end of a connection does not exist any more."""


@final
class Connection:
    """One connection of a pair; each end knows of it or not.

    Attributes:
        ends: The two peers' numbers.
        open_ends: Those ends at which it exists.
        closing_ends: Those of them that send nothing more.
    """

    __slots__ = ("closing_ends", "ends", "open_ends")

    def __init__(self, first: int, second: int) -> None:
        self.ends = (first, second)
        self.open_ends = {first, second}
        self.closing_ends: set[int] = set()

    def other(self, end: int) -> int:
        """Return the peer at the other end."""
        first, second = self.ends
        return second if end == first else first

    def is_open(self, end: int) -> bool:
        """Return whether the connection exists at an end."""
        return end in self.open_ends


@dataclass(slots=True, kw_only=True, eq=False)
class _Attempt:
    """A dial under way."""

    deadline_ns: int


@final
class Network:
    """All connections of a world, along the edges of its graph.

    Args:
        graph: Nodes are the peers' numbers; an edge may carry `latency_s`,
            `bandwidth_bytes_per_s` and `loss_ratio`.
        peers: Identity of each number.
        clock: The world's.
        default: For what an edge does not carry.
        timing: What nodes wait for.
        seed: Of losses and delays.
        lines: How peers are connected, by number; the others without bounds.

    Raises:
        LocalError: If the nodes of the graph are not the numbers of the peers.
    """

    def __init__(
        self,
        graph: nx.Graph,
        peers: Sequence[PeerId],
        clock: Clock,
        *,
        default: LinkModel,
        timing: NetworkTiming,
        seed: int,
        lines: Mapping[int, PeerLine] | None = None,
    ) -> None:
        if sorted(graph) != list(range(len(peers))):
            raise LocalError(f"the graph's nodes must be the numbers 0 to {len(peers) - 1}")
        self.timing = timing
        self.peers = list(peers)
        self.endpoints: list[Endpoint] = []  # by number; the world adds them
        self.tenants: list[Tenant] = []
        self.edges = sorted(tuple(sorted(edge)) for edge in graph.edges)
        self.wires: dict[tuple[int, int], Wire] = {}
        self._adjacent: list[list[int]] = [[] for _ in peers]  # ascending
        self._clock = clock
        self._lines = lines or {}
        ups, downs = self._access_lines()
        for first, second in self.edges:
            model = self._model(graph, (first, second), default, seed)
            self._adjacent[first].append(second)
            self._adjacent[second].append(first)
            for sender, receiver in ((first, second), (second, first)):
                generator = partial(random_for, seed, f"loss/{sender}/{receiver}")
                self.wires[sender, receiver] = Wire(
                    model, clock, generator, up=ups[sender], down=downs[receiver]
                )
        self._numbers = {peer: number for number, peer in enumerate(peers)}
        # Of each end the latest ones, open or not, by the peer at the other one.
        self._latest: list[dict[PeerId, Connection]] = [{} for _ in peers]
        self._attempts: dict[tuple[int, int], _Attempt] = {}

    # For the driver of a peer --------------------------------------------------------------

    def connection(self, end: int, peer: PeerId) -> Connection | None:
        """Return the connection of an end to a peer, if it exists at that end."""
        latest = self._latest[end].get(peer)
        return latest if latest is not None and latest.is_open(end) else None

    def dial(self, caller: int, peer: PeerId) -> None:
        """Connect, or answer `DialFailed`; a connection that exists already is kept."""
        callee = self._numbers.get(peer)
        if callee is not None and self.connection(caller, peer) is not None:
            return
        if callee is None or (caller, callee) not in self.wires:
            self._clock.after(
                self.timing.dial_s, lambda: self._fail_dial(caller, peer, "no route to it")
            )
            return
        if (caller, callee) in self._attempts:
            return
        attempt = _Attempt(deadline_ns=self._clock.now_ns + nanoseconds(self.timing.dial_s))
        self._attempts[caller, callee] = attempt
        self._try_handshake(caller, callee, attempt)

    def send(self, sender: int, peer: PeerId, frame: bytes) -> None:
        """Send a frame on the connection to a peer; without one it is dropped."""
        connection = self.connection(sender, peer)
        if connection is None or sender in connection.closing_ends:
            return
        receiver = connection.other(sender)
        wire = self.wires[sender, receiver]
        if not wire.has_room(len(frame)):
            self._overflow(connection, sender)
            return
        event = FrameReceived(peer=self.peers[sender], frame=frame)
        wire.send(len(frame), partial(self._frame_arrived, connection, receiver, event))

    def disconnect(self, end: int, peer: PeerId) -> None:
        """Close a connection after what was sent has left; `PeerDisconnected` follows."""
        connection = self.connection(end, peer)
        if connection is None or end in connection.closing_ends:
            return
        connection.closing_ends.add(end)
        other = connection.other(end)
        wire = self.wires[end, other]
        wire.signal(lambda: self.close_end(connection, other))
        latest_ns = self._clock.now_ns + nanoseconds(self.timing.flush_s)
        self._clock.at(min(wire.free_ns, latest_ns), lambda: self.close_end(connection, end))

    def sent_bytes(self) -> tuple[int, ...]:
        """Return what each peer has sent, by number, with the framing around it."""
        sent = [0] * len(self.peers)
        for (sender, _), wire in self.wires.items():
            sent[sender] += wire.sent_bytes
        return tuple(sent)

    # For faults ----------------------------------------------------------------------------

    def drop_machine(self, number: int, *, resets: bool) -> None:
        """Take a process that ended.

        Args:
            number: Whose.
            resets: Whether its kernel tells the others.
        """
        for other in self._adjacent[number]:
            connection = self.connection(number, self.peers[other])
            if connection is not None:
                self._forget_end(connection, number)
                if resets:
                    self._reset(connection, number)
            self._attempts.pop((number, other), None)

    def block(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Stop everything along directed edges, silently."""
        for pair in pairs:
            self.wires[pair].is_blocked = True

    def unblock(self) -> None:
        """Let everything through again, first what waited."""
        for pair in sorted(self.wires):
            self.wires[pair].unblock()

    def clog(self, pairs: Iterable[tuple[int, int]], until_ns: int) -> None:
        """Let directed edges take nothing until a time, in nanoseconds, and then all."""
        for pair in pairs:
            self.wires[pair].clog(until_ns)

    def close_end(self, connection: Connection, end: int) -> None:
        """Let an end of a connection learn that it is over."""
        if connection.is_open(end):
            self._forget_end(connection, end)
            self.endpoints[end].deliver(PeerDisconnected(peer=self.peers[connection.other(end)]))

    def answers_reset(self, connection: Connection, end: int) -> bool:
        """Return whether an end is gone; if its machine answers at all, the sender learns it."""
        if connection.is_open(end):
            return False
        self._reset(connection, end)
        return True

    # Inside --------------------------------------------------------------------------------

    def _access_lines(self) -> tuple[list[AccessLine], list[AccessLine]]:
        lines = [self._lines.get(number, PeerLine()) for number in range(len(self.peers))]
        return (
            [AccessLine(line.upload_bytes_per_s) for line in lines],
            [AccessLine(line.download_bytes_per_s) for line in lines],
        )

    def _model(
        self, graph: nx.Graph, edge: tuple[int, int], default: LinkModel, seed: int
    ) -> LinkModel:
        model = _link_model(graph.edges[edge], default)
        if model.drawn is Drawn.EDGE and model.latency is not Latency.CONSTANT:
            generator = random_for(seed, f"latency/{edge[0]}/{edge[1]}")
            model = replace(model, latency_s=model.draw_latency_s(generator))
        more_s = sum(self._lines[end].latency_s for end in edge if end in self._lines)
        return replace(model, latency_s=model.latency_s + more_s) if more_s else model

    def _overflow(self, connection: Connection, sender: int) -> None:
        """Reset a connection whose queue is full; what waited in it is lost."""
        connection.closing_ends.add(sender)
        receiver = connection.other(sender)
        wire = self.wires[sender, receiver]
        wire.throw_away()
        wire.signal(lambda: self.close_end(connection, receiver))
        # Not before the effects that this frame is one of have all been started.
        self._clock.after(0.0, lambda: self.close_end(connection, sender))

    def _try_handshake(self, caller: int, callee: int, attempt: _Attempt) -> None:
        latency_s = self.wires[caller, callee].model.latency_s
        back_s = self.wires[callee, caller].model.latency_s
        pause_s = self.timing.handshake_round_trips * (latency_s + back_s)
        self._clock.after(pause_s, lambda: self._handshake_over(caller, callee, attempt))

    def _handshake_over(self, caller: int, callee: int, attempt: _Attempt) -> None:
        if self._attempts.get((caller, callee)) is not attempt:
            return  # the caller crashed in between
        if self.connection(caller, self.peers[callee]) is not None:
            del self._attempts[caller, callee]  # the other side's dial came first: one is enough
            return
        ways = (self.wires[caller, callee], self.wires[callee, caller])
        power = self.endpoints[callee].power
        if power is Power.DARK or any(it.is_blocked or it.is_clogged for it in ways):
            if self._clock.now_ns < attempt.deadline_ns:
                self._clock.after(_SYN_S, lambda: self._handshake_over(caller, callee, attempt))
                return
            reason = "timed out"
        elif power is Power.REFUSING:
            reason = "connection refused"
        else:
            del self._attempts[caller, callee]
            self._establish(caller, callee)
            return
        del self._attempts[caller, callee]
        self._fail_dial(caller, self.peers[callee], reason)

    def _fail_dial(self, caller: int, peer: PeerId, reason: str) -> None:
        self.endpoints[caller].deliver(DialFailed(peer=peer, reason=reason))

    def _establish(self, caller: int, callee: int) -> None:
        old = self.connection(callee, self.peers[caller])
        if old is not None:
            self.close_end(old, callee)  # half open: the caller has forgotten it already
        connection = Connection(callee, caller)
        for end in connection.ends:
            self._latest[end][self.peers[connection.other(end)]] = connection
        for end in connection.ends:
            if connection.is_open(end):
                self.endpoints[end].deliver(PeerConnected(peer=self.peers[connection.other(end)]))

    def _frame_arrived(self, connection: Connection, receiver: int, event: FrameReceived) -> None:
        if not self.answers_reset(connection, receiver):
            self.endpoints[receiver].deliver(event)

    def _reset(self, connection: Connection, end: int) -> None:
        """Let the kernel of an end that is gone tell the other end, unless that is gone too."""
        other = connection.other(end)
        if connection.is_open(other) and self.endpoints[end].power is not Power.DARK:
            self.wires[end, other].signal(lambda: self.close_end(connection, other))

    def _forget_end(self, connection: Connection, end: int) -> None:
        connection.open_ends.remove(end)
        for tenant in self.tenants:
            tenant.end_closed(connection, end)


def _link_model(data: Mapping[str, Any], default: LinkModel) -> LinkModel:
    return replace(default, **{name: data[name] for name in EDGE_FIELDS if name in data})
