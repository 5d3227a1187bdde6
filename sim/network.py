"""Connections between simulated machines: dialing, frames in order, resets, partitions."""

import random
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol, final

import networkx as nx

from p2pfed.core.events import DialFailed, Event, FrameReceived, PeerConnected, PeerDisconnected
from p2pfed.errors import LocalError
from p2pfed.identity import PeerId
from sim.clock import Clock, Entry, nanoseconds
from sim.identities import random_for
from sim.links import AccessLine, Drawn, Latency, LinkModel, Ship, Wire
from sim.packets import Closed, ConnectionName, Frame, Knock, Packet, Refusal, Welcome

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


# When it arrives, in nanoseconds, sender, receiver, what, and its size; see `Ship`.
Parcel = tuple[int, int, int, Packet | None, int]


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

    def end_closed(self, end: int, connection: ConnectionName) -> None:
        """Take that an end of a connection does not exist any more."""


@dataclass(slots=True, eq=False)
class ConnectionEnd:
    """A connection, as one of its ends knows it.

    Attributes:
        name: Of the connection.
        other: Number of the peer at the other end.
        is_closing: Whether this end sends nothing more.
    """

    name: ConnectionName
    other: int
    is_closing: bool = False


@dataclass(slots=True, eq=False)
class _Attempt:
    """A dial under way.

    Attributes:
        connection: What it would make.
        timeout: Gives it up.
    """

    connection: ConnectionName
    timeout: Entry


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
        here: Numbers of the peers that are simulated here; all by default. Of the others there are
            only the ends of wires to these.

    Attributes:
        wires: By who sends and who receives, those with an end here.
        outgoing: What was sent to peers that are simulated elsewhere.
        latency_ns_min: What no delay of any edge is below, in nanoseconds; None without edges.

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
        here: Container[int] | None = None,
    ) -> None:
        if sorted(graph) != list(range(len(peers))):
            raise LocalError(f"the graph's nodes must be the numbers 0 to {len(peers) - 1}")
        self.timing = timing
        self.peers = list(peers)
        self.endpoints: dict[int, Endpoint] = {}  # by number; the world adds them
        self.outgoing: list[Parcel] = []
        self.tenants: list[Tenant] = []
        self.edges = sorted(tuple(sorted(edge)) for edge in graph.edges)
        self.wires: dict[tuple[int, int], Wire] = {}
        self._adjacent: list[list[int]] = [[] for _ in peers]  # ascending
        self._clock = clock
        self._lines = lines or {}
        self._here = range(len(peers)) if here is None else here
        models = {edge: self._model(graph, edge, default, seed) for edge in self.edges}
        delays_ns = (nanoseconds(model.latency_s_min) for model in models.values())
        self.latency_ns_min = min(delays_ns, default=None)
        ups, downs = self._access_lines()
        for (first, second), model in models.items():
            self._adjacent[first].append(second)
            self._adjacent[second].append(first)
            for sender, receiver in ((first, second), (second, first)):
                if sender in self._here or receiver in self._here:
                    self.wires[sender, receiver] = Wire(
                        model,
                        clock,
                        partial(_generator, seed, sender, receiver),
                        partial(self._take, receiver, sender),
                        rank=sender,
                        ship=self._shipping(sender, receiver),
                        up=ups[sender],
                        down=downs[receiver],
                    )
        self._numbers = {peer: number for number, peer in enumerate(peers)}
        # Of each peer the connections that it knows of, by the peer at the other end.
        self._ends: list[dict[PeerId, ConnectionEnd]] = [{} for _ in peers]
        self._attempts: dict[tuple[int, int], _Attempt] = {}  # by caller and callee
        self._dials = [0] * len(peers)  # that each peer has made
        # What becomes of each kind of packet: taken by whom it is for, of whom it is.
        self._takers: dict[type, Callable[[int, int, Any], None]] = {
            Frame: self._take_frame,
            Knock: self._take_knock,
            Welcome: self._take_welcome,
            Refusal: self._take_refusal,
            Closed: self._take_closed,
        }

    def add_tenant(
        self, tenant: Tenant, takers: Mapping[type, Callable[[int, int, Any], None]]
    ) -> None:
        """Let something live on connections.

        Args:
            tenant: Is told when an end of one closes.
            takers: For its kinds of packets: called with who gets one, who sent it, and itself.
        """
        self.tenants.append(tenant)
        self._takers.update(takers)

    # For the driver of a peer --------------------------------------------------------------

    def connection(self, end: int, peer: PeerId) -> ConnectionEnd | None:
        """Return the connection of a peer to another one, as far as it knows."""
        return self._ends[end].get(peer)

    def dial(self, caller: int, peer: PeerId) -> None:
        """Connect, or answer `DialFailed`; a connection that exists already is kept."""
        callee = self._numbers.get(peer)
        if peer in self._ends[caller] or (caller, callee) in self._attempts:
            return
        if callee is None or (caller, callee) not in self.wires:
            self._clock.after(
                self.timing.dial_s, lambda: self._fail_dial(caller, peer, "no route to it")
            )
            return
        self._dials[caller] += 1
        way, back = self.wires[caller, callee], self.wires[callee, caller]
        round_trip_s = way.model.latency_s + back.model.latency_s
        # All but the last round trip, in which the callee learns of a connection, and the caller.
        pause_s = (self.timing.handshake_round_trips - 1) * round_trip_s
        patience_s = max(self.timing.dial_s, pause_s + round_trip_s + _SYN_S)
        name = (caller, callee, self._dials[caller])
        timeout = self._clock.after(patience_s, lambda: self._give_up(name, "timed out"))
        self._attempts[caller, callee] = _Attempt(name, timeout)
        knock = Knock(name, self._clock.now_ns + nanoseconds(patience_s))
        self._clock.after(pause_s, lambda: self._knock(knock))

    def send(self, sender: int, peer: PeerId, frame: bytes) -> None:
        """Send a frame on the connection to a peer; without one it is dropped."""
        end = self._ends[sender].get(peer)
        if end is None or end.is_closing:
            return
        wire = self.wires[sender, end.other]
        if wire.has_room(len(frame)):
            wire.send(Frame(end.name, frame), len(frame))
        else:
            self._overflow(sender, end)

    def disconnect(self, number: int, peer: PeerId) -> None:
        """Close a connection after what was sent has left; `PeerDisconnected` follows."""
        end = self._ends[number].get(peer)
        if end is None or end.is_closing:
            return
        end.is_closing = True
        wire = self.wires[number, end.other]
        wire.signal(Closed(end.name))
        latest_ns = self._clock.now_ns + nanoseconds(self.timing.flush_s)
        self._clock.at(min(wire.free_ns, latest_ns), lambda: self._close(number, end))

    def sent_bytes(self) -> tuple[int, ...]:
        """Return what each peer has sent, by number, with the framing around it."""
        sent = [0] * len(self.peers)
        for (sender, _), wire in self.wires.items():
            sent[sender] += wire.sent_bytes
        return tuple(sent)

    def sent_bytes_of(self, number: int) -> int:
        """Return what a peer that is here has sent, with the framing around it."""
        return sum(self.wires[number, other].sent_bytes for other in self._adjacent[number])

    def land(self, parcels: Iterable[Parcel]) -> None:
        """Take what was sent to peers here by those that are simulated elsewhere."""
        for arrival_ns, sender, receiver, packet, size_bytes in parcels:
            self.wires[sender, receiver].land(arrival_ns, packet, size_bytes)

    # For what lives on connections ---------------------------------------------------------

    def is_open(self, number: int, name: ConnectionName) -> bool:
        """Return whether a connection exists at the end of a peer."""
        return self._known(number, name) is not None

    def answers_reset(self, number: int, name: ConnectionName) -> bool:
        """Return whether the end of a peer is gone; if its machine answers at all, it says so."""
        if self.is_open(number, name):
            return False
        self._reset(number, name)
        return True

    # For faults ----------------------------------------------------------------------------

    def drop_machine(self, number: int, *, resets: bool) -> None:
        """Take a process that ended.

        Args:
            number: Whose.
            resets: Whether its kernel tells the others, and sends what waits. Of a machine that
                went dark arrives only what had left it by then.
        """
        for other in self._adjacent[number]:
            if not resets:
                self.wires[number, other].throw_away()
            end = self._ends[number].get(self.peers[other])
            if end is not None:
                self._forget(number, end)
                if resets:
                    self._reset(number, end.name)
            self._end_attempt(number, other)

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

    # Making it -----------------------------------------------------------------------------

    def _shipping(self, sender: int, receiver: int) -> Ship | None:
        if receiver in self._here:
            return None

        def ship(arrival_ns: int, packet: Packet | None, size_bytes: int) -> None:
            self.outgoing.append((arrival_ns, sender, receiver, packet, size_bytes))

        return ship

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

    # What is sent ----------------------------------------------------------------------------

    def _overflow(self, sender: int, end: ConnectionEnd) -> None:
        """Reset a connection whose queue is full; what waited in it is lost."""
        end.is_closing = True
        wire = self.wires[sender, end.other]
        wire.throw_away()
        wire.signal(Closed(end.name))
        # Not before the effects that this frame is one of have all been started.
        self._clock.after(0.0, lambda: self._close(sender, end))

    def _knock(self, knock: Knock) -> None:
        caller, callee, _ = knock.connection
        if self._is_wanted(knock.connection):
            self.wires[caller, callee].signal(knock)

    def _reset(self, number: int, name: ConnectionName) -> None:
        """Let the kernel of an end that is gone tell the other end."""
        if self.endpoints[number].power is not Power.DARK:
            self.wires[number, _other(name, number)].signal(Closed(name))

    # What arrives --------------------------------------------------------------------------

    def _take(self, receiver: int, sender: int, packet: Packet) -> None:
        self._takers[type(packet)](receiver, sender, packet)

    def _take_frame(self, receiver: int, sender: int, packet: Frame) -> None:
        peer = self.peers[sender]
        end = self._ends[receiver].get(peer)
        if end is None or end.name != packet.connection:
            self._reset(receiver, packet.connection)
        else:
            self.endpoints[receiver].deliver(FrameReceived(peer=peer, frame=packet.frame))

    def _take_knock(
        self, callee: int, caller: int, packet: Knock, *, is_again: bool = False
    ) -> None:
        if self._clock.now_ns >= packet.deadline_ns:
            return
        power = self.endpoints[callee].power
        old = self._ends[callee].get(self.peers[caller])
        own = self._attempts.get((callee, caller))
        if power is Power.REFUSING:
            self.wires[callee, caller].signal(Refusal(packet.connection))
        elif power is Power.DARK or (own is not None and callee < caller):
            # Of two that dial each other the dial of the first makes the connection, if it can.
            again = partial(self._take_knock, callee, caller, packet, is_again=True)
            self._clock.after(_SYN_S, again)
        elif old is None or not is_again:  # else the own dial has made one meanwhile
            self._end_attempt(callee, caller)
            if old is not None:
                self._close(callee, old)  # half open: the caller has forgotten it already
            self.wires[callee, caller].signal(Welcome(packet.connection))
            self._open(callee, caller, packet.connection)

    def _take_welcome(self, caller: int, callee: int, packet: Welcome) -> None:
        if not self._is_wanted(packet.connection):
            self._reset(caller, packet.connection)  # of an earlier life, or given up
            return
        self._end_attempt(caller, callee)
        self._open(caller, callee, packet.connection)

    def _take_refusal(self, _caller: int, _callee: int, packet: Refusal) -> None:
        self._give_up(packet.connection, "connection refused")

    def _take_closed(self, number: int, _sender: int, packet: Closed) -> None:
        end = self._known(number, packet.connection)
        if end is not None:
            self._close(number, end)

    # Inside --------------------------------------------------------------------------------

    def _known(self, number: int, name: ConnectionName) -> ConnectionEnd | None:
        end = self._ends[number].get(self.peers[_other(name, number)])
        return end if end is not None and end.name == name else None

    def _open(self, number: int, other: int, name: ConnectionName) -> None:
        self._ends[number][self.peers[other]] = ConnectionEnd(name, other)
        self.endpoints[number].deliver(PeerConnected(peer=self.peers[other]))

    def _close(self, number: int, end: ConnectionEnd) -> None:
        """Let an end of a connection learn that it is over, unless it knows."""
        if self._known(number, end.name) is end:
            self._forget(number, end)
            self.endpoints[number].deliver(PeerDisconnected(peer=self.peers[end.other]))

    def _forget(self, number: int, end: ConnectionEnd) -> None:
        del self._ends[number][self.peers[end.other]]
        for tenant in self.tenants:
            tenant.end_closed(number, end.name)

    def _is_wanted(self, name: ConnectionName) -> bool:
        attempt = self._attempts.get(name[:2])
        return attempt is not None and attempt.connection == name

    def _end_attempt(self, caller: int, callee: int) -> None:
        attempt = self._attempts.pop((caller, callee), None)
        if attempt is not None:
            attempt.timeout.cancel()

    def _give_up(self, name: ConnectionName, reason: str) -> None:
        if self._is_wanted(name):
            caller, callee, _ = name
            self._end_attempt(caller, callee)
            self._fail_dial(caller, self.peers[callee], reason)

    def _fail_dial(self, caller: int, peer: PeerId, reason: str) -> None:
        self.endpoints[caller].deliver(DialFailed(peer=peer, reason=reason))


def _generator(seed: int, sender: int, receiver: int, purpose: str) -> random.Random:
    return random_for(seed, f"{purpose}/{sender}/{receiver}")


def _other(name: ConnectionName, number: int) -> int:
    caller, callee, _ = name
    return callee if number == caller else caller


def _link_model(data: Mapping[str, Any], default: LinkModel) -> LinkModel:
    return replace(default, **{name: data[name] for name in EDGE_FIELDS if name in data})
