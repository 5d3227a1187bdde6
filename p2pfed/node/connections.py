"""Encrypted connections of a libp2p host: who may have how many, and for how long.

Listening and dialing are done here, not by the library: it keeps a task and a slot per inbound
connection for ever, shares a port with whoever else asks, retries and remembers failed dials on
its own terms, and waits without a limit for a peer that says nothing.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import trio
from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from typing_extensions import override

from p2pfed.errors import LocalError, TransportError
from p2pfed.identity import PeerId, format_peer_id, parse_peer_id
from p2pfed.node import libp2p_muxer
from p2pfed.node.addresses import TcpAddress, format_socket_address
from p2pfed.node.duplex_stream import describe
from p2pfed.node.metered_stream import Meter, MeteredStream
from p2pfed.node.transport_limits import TransportLimits

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Connection:
    """One encrypted connection.

    Attributes:
        peer: Who is on the other side, by its proven key.
        conn: The library's connection.
        remote_address: Multiaddress of the other end of the socket, empty for a relayed one.
        closed: Set when the library has forgotten it.
        is_closing: Whether we have begun to close it.
        has_link: Whether the control link of the peer runs on it, or did.
        stream_count: Inbound streams being negotiated or served.
    """

    peer: PeerId
    conn: SwarmConn
    remote_address: str
    closed: trio.Event = field(default_factory=trio.Event)
    is_closing: bool = False
    has_link: bool = False
    stream_count: int = 0


@final
class Connections:
    """All connections of one host."""

    def __init__(self, host: BasicHost, me: PeerId, limits: TransportLimits, meter: Meter) -> None:
        swarm = host.get_network()
        assert isinstance(swarm, Swarm)
        self._swarm = swarm
        self._me = me
        self._limits = limits
        self._meter = meter
        self._all: dict[INetConn, Connection] = {}
        self._inbound: dict[Connection, None] = {}  # in order of arrival
        self._handshakes: dict[trio.CancelScope, None] = {}  # in order of arrival
        swarm.register_notifee(_Forget(self._all))

    async def accept(self, stream: trio.SocketStream) -> None:
        """Keep an inbound TCP connection until it ends; never raises but Cancelled."""
        socket = MeteredStream(stream, self._meter)
        try:
            connection = await self._shake_hands(socket)
            if connection is None:
                return
            self._inbound[connection] = None
            try:
                await self._admit(connection)
                await self._watch(connection)
            finally:
                del self._inbound[connection]
                await self.close(connection)
        except Exception as error:
            # Edge of the library; whatever the other side made it raise costs this connection.
            logger.debug("inbound connection failed: %s", describe(error))
        finally:
            socket.abort()

    async def connect(self, peer: PeerId, addresses: Sequence[TcpAddress]) -> Connection:
        """Dial all addresses, one after the other has had its head start; the first wins.

        Raises:
            TransportError: If none leads to the peer; names each with its reason.
        """
        found: list[Connection] = []
        failures = ["gave no answer in time"] * len(addresses)

        async def attempt(index: int, failed: trio.Event) -> None:
            try:
                found.append(await self._dial(peer, addresses[index]))
                nursery.cancel_scope.cancel()
            except TransportError as error:
                failures[index] = str(error)
                failed.set()

        is_done = False
        try:
            with trio.move_on_after(self._limits.dial_s):
                async with trio.open_nursery() as nursery:
                    for index in range(len(addresses)):
                        failed = trio.Event()
                        nursery.start_soon(attempt, index, failed)
                        with trio.move_on_after(self._limits.dial_stagger_s):
                            await failed.wait()
            is_done = True
        finally:
            for surplus in found[1 if is_done else 0 :]:
                await self.close(surplus)
        if found:
            return found[0]
        reasons = [f"{a.format()}: {why}" for a, why in zip(addresses, failures, strict=True)]
        raise TransportError(f"cannot reach {format_peer_id(peer)} at {'; '.join(reasons)}")

    def of(self, conn: INetConn) -> Connection | None:
        """Return ours for the library's connection, or None if its key is of another kind."""
        known = self._all.get(conn)
        if known is not None:
            return known
        assert isinstance(conn, SwarmConn)
        try:
            peer = parse_peer_id(conn.muxed_conn.peer_id.to_base58())
        except LocalError:
            return None
        endpoint = conn.muxed_conn.get_remote_address()  # type: ignore[attr-defined]
        address = "" if endpoint is None else format_socket_address(*endpoint)
        connection = Connection(peer, conn, address)
        if conn.is_closed:
            connection.closed.set()
        else:
            self._all[conn] = connection
        return connection

    async def close(self, connection: Connection) -> None:
        """Close politely for a moment, then by force; never raises, even when cancelled."""
        connection.is_closing = True
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cut_later, connection)
                try:
                    await connection.conn.close()
                except Exception as error:
                    # Edge of the library; the socket is cut below.
                    logger.debug("connection not closed politely: %s", describe(error))
                nursery.cancel_scope.cancel()
        self._cut(connection)
        self._swarm.remove_conn(connection.conn)
        self._all.pop(connection.conn, None)
        connection.closed.set()

    async def close_all(self) -> None:
        """Close every connection, all at the same time."""
        for handshake in list(self._handshakes):
            handshake.cancel()
        async with trio.open_nursery() as nursery:
            for conn in self._swarm.get_connections():
                connection = self.of(conn)
                if connection is not None:
                    nursery.start_soon(self.close, connection)

    async def _shake_hands(self, socket: MeteredStream) -> Connection | None:
        scope = trio.CancelScope(deadline=trio.current_time() + self._limits.handshake_s)
        if len(self._handshakes) >= self._limits.handshakes_max:
            # The oldest, because an honest peer needs milliseconds: silent ones cannot lock it out.
            oldest = next(iter(self._handshakes))
            del self._handshakes[oldest]
            oldest.cancel()
        self._handshakes[scope] = None
        try:
            with scope:
                raw = RawConnection(socket, initiator=False)
                muxed = await self._swarm.upgrade_inbound_raw_conn(raw, Multiaddr("/ip4/0.0.0.0"))
                for conn in self._swarm.get_connections(muxed.peer_id):
                    if conn.muxed_conn is muxed:
                        return self.of(conn)
        finally:
            self._handshakes.pop(scope, None)
        return None

    async def _admit(self, connection: Connection) -> None:
        """Make room for a new inbound connection, at the cost of whoever needs it least.

        Raises:
            TransportError: If there is none.
        """
        if connection.peer == self._me:
            raise TransportError("a connection to myself")
        inbound = [c for c in self._inbound if not c.is_closing]
        same_peer = [c for c in inbound if c.peer == connection.peer]
        if len(same_peer) > self._limits.connections_per_peer_max:
            await self.close(same_peer[0])
        elif len(inbound) > self._limits.connections_max:
            idle = next((c for c in inbound if not c.has_link and c is not connection), None)
            if idle is None:
                raise TransportError("all inbound connections are in use")
            await self.close(idle)

    async def _watch(self, connection: Connection) -> None:
        """Wait for the end of a connection, or for nobody to have used it for a while."""
        while not connection.closed.is_set():
            with trio.move_on_after(self._limits.unlinked_s):
                await connection.closed.wait()
            if connection.conn.is_closed:
                return
            if not connection.has_link and not connection.stream_count:
                return

    async def _dial(self, peer: PeerId, address: TcpAddress) -> Connection:
        """Connect to one address and verify who is there."""
        socket: MeteredStream | None = None
        connection = None
        try:
            stream = await trio.open_tcp_stream(address.host, address.port)
            socket = MeteredStream(stream, self._meter)
            raw = RawConnection(socket, initiator=True)
            peer_id = ID.from_base58(format_peer_id(peer))
            conn = await self._swarm.upgrade_outbound_raw_conn(raw, peer_id)
            connection = self.of(conn)
        except Exception as error:
            # Edge of the library: a handshake fails in many ways.
            raise TransportError(describe(error)) from error
        finally:
            if connection is None and socket is not None:
                socket.abort()
        assert connection is not None  # the key was compared with the PeerID that we expect
        return connection

    async def _cut_later(self, connection: Connection) -> None:
        await trio.sleep(self._limits.close_s)
        self._cut(connection)

    def _cut(self, connection: Connection) -> None:
        libp2p_muxer.abort(connection.conn.muxed_conn)


@final
class _Forget(INotifee):
    """Forgets connections that the library has closed."""

    def __init__(self, connections: dict[INetConn, Connection]) -> None:
        self._connections = connections

    @override
    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        connection = self._connections.pop(conn, None)
        if connection is not None:
            connection.closed.set()

    @override
    async def connected(self, network: INetwork, conn: INetConn) -> None: ...

    @override
    async def opened_stream(self, network: INetwork, stream: INetStream) -> None: ...

    @override
    async def closed_stream(self, network: INetwork, stream: INetStream) -> None: ...

    @override
    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None: ...

    @override
    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None: ...
