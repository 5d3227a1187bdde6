"""Links and transfers over py-libp2p: TCP, Noise, Yamux, and two protocols of our own."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import final

import trio
from libp2p.abc import INetStream
from libp2p.network.stream.net_stream import NetStream
from typing_extensions import override

from p2pfed.errors import LocalError, RemoteError, TransportError
from p2pfed.identity import Identity, PeerId, format_peer_id
from p2pfed.limits import ADDRESSES_MAX
from p2pfed.node import libp2p_compat, payload_protocol
from p2pfed.node.addresses import TcpAddress, choose_targets, expand_wildcard, parse_address
from p2pfed.node.connections import Connection, Connections
from p2pfed.node.control_protocol import CONTROL_PROTOCOL, ControlProtocol
from p2pfed.node.duplex_stream import DuplexStream, describe
from p2pfed.node.links import LinkTable
from p2pfed.node.metered_stream import Meter
from p2pfed.node.payload_protocol import PAYLOAD_PROTOCOL, PayloadService
from p2pfed.node.transport import LinkEvent, PayloadServer, Traffic, Transport
from p2pfed.node.transport_limits import TransportLimits

logger = logging.getLogger(__name__)

_CLOSE_S = 2.5  # leaving `run` takes at most 3 s; whatever is not closed by then is cut

StreamHandler = Callable[[Connection, DuplexStream], Awaitable[None]]
NetStreamHandler = Callable[[INetStream], Awaitable[None]]


@final
class LibP2PTransport(Transport):
    """A transport with one libp2p host.

    Args:
        identity: Our key; the host's PeerID is the same.
        listen: Multiaddresses to listen on, `/ip4/…/tcp/…` or `/ip6/…/tcp/…`; port 0 is any.
        announce: Addresses under which others reach us, if those of our interfaces are not the
            right ones (a router that forwards a port).
        limits: Deadlines and bounds.

    Raises:
        LocalError: If an address cannot be understood, or py-libp2p has another version.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        listen: Sequence[str],
        announce: Sequence[str] | None = None,
        limits: TransportLimits | None = None,
    ) -> None:
        libp2p_compat.apply()
        self._identity = identity
        self._listen = [parse_address(address) for address in listen]
        self._announce = None if announce is None else [parse_address(a) for a in announce]
        self._limits = limits or TransportLimits()
        self._bound: list[TcpAddress] = []
        self._meter = Meter()
        self._links = LinkTable(self._limits)
        self._dials: dict[PeerId, trio.Event] = {}
        self._connections: Connections | None = None
        self._control: ControlProtocol | None = None

    @override
    def run(self, serve_payload: PayloadServer) -> AbstractAsyncContextManager[None]:
        return self._run(serve_payload)

    @override
    def addresses(self) -> Sequence[str]:
        if self._announce is not None:
            return [address.format(self._identity.peer) for address in self._announce]
        others = [a.format(self._identity.peer) for a in self._bound if not a.is_loopback]
        return others[:ADDRESSES_MAX]

    @override
    def loopback_addresses(self) -> Sequence[str]:
        return [a.format(self._identity.peer) for a in self._bound if a.is_loopback]

    @override
    async def dial(self, peer: PeerId, addresses: Sequence[str]) -> None:
        while (other := self._dials.get(peer)) is not None or self._links.get(peer) is not None:
            if other is not None:
                await other.wait()
            elif await self._links.settle(peer):
                return
        over = self._dials[peer] = trio.Event()
        try:
            await self._dial(peer, addresses)
            if not await self._links.settle(peer):
                raise TransportError(f"the link to {format_peer_id(peer)} ended as it began")
        finally:
            del self._dials[peer]
            over.set()

    @override
    def send(self, peer: PeerId, frame: bytes) -> None:
        self._links.send(peer, frame)

    @override
    async def disconnect(self, peer: PeerId) -> None:
        await self._links.disconnect(peer)

    @override
    def events(self) -> AsyncIterator[LinkEvent]:
        return self._links.events()

    @override
    async def fetch(
        self,
        peer: PeerId,
        content_hash: bytes,
        *,
        size_bytes: int,
        offset: int,
        sink: Callable[[bytes], None],
    ) -> None:
        connection = None if self._control is None else self._control.connection(peer)
        if connection is None:
            raise TransportError(f"no link to {format_peer_id(peer)}")
        await payload_protocol.fetch(
            connection,
            content_hash,
            size_bytes=size_bytes,
            offset=offset,
            sink=sink,
            limits=self._limits,
        )

    @override
    def traffic(self) -> Traffic:
        return self._meter.read()

    @asynccontextmanager
    async def _run(self, serve_payload: PayloadServer) -> AsyncIterator[None]:
        failure: BaseException | None = None
        host = libp2p_compat.make_host(self._identity, self.addresses, self._guard_streams)
        listeners = await self._open_listeners()
        async with host.run(listen_addrs=[]), trio.open_nursery() as nursery:
            peer = self._identity.peer
            connections = Connections(host, peer, self._limits, self._meter)
            control = ControlProtocol(peer, self._links, connections, self._limits, nursery)
            payloads = PayloadService(serve_payload, self._limits)
            host.set_stream_handler(CONTROL_PROTOCOL, self._handler(control.on_stream))
            host.set_stream_handler(PAYLOAD_PROTOCOL, self._handler(payloads.on_stream))
            self._connections, self._control = connections, control
            listening = trio.CancelScope()
            if listeners:
                nursery.start_soon(_serve, listening, connections.accept, listeners)
            try:
                yield
            except BaseException as error:
                failure = error  # raised below as it is; here the nursery would wrap it
            self._connections = self._control = None
            listening.cancel()
            with trio.move_on_after(_CLOSE_S, shield=True):
                await connections.close_all()
                await host.close()
            nursery.cancel_scope.cancel()
        self._links.close()
        if failure is not None:
            raise failure

    async def _open_listeners(self) -> list[trio.SocketListener]:
        listeners: list[trio.SocketListener] = []
        for address in self._listen:
            try:
                opened = await trio.open_tcp_listeners(address.port, host=address.host)
            except OSError as error:
                for listener in listeners:
                    await listener.aclose()
                raise TransportError(f"cannot listen on {address.format()}: {error}") from error
            listeners += opened
            port = opened[0].socket.getsockname()[1]
            self._bound += expand_wildcard(replace(address, port=port))
        return listeners

    async def _dial(self, peer: PeerId, addresses: Sequence[str]) -> None:
        if self._connections is None or self._control is None:
            raise LocalError("the transport is not running")
        targets, failures = choose_targets(peer, addresses)
        if peer == self._identity.peer:
            failures, targets = [*failures, "that is this peer itself"], []
        if not targets:
            why = "; ".join(failures) or "no address is known"
            raise TransportError(f"cannot reach {format_peer_id(peer)}: {why}")
        connection = await self._connections.connect(peer, targets)
        try:
            await self._control.greet(connection)
        except TransportError as error:
            name, where = format_peer_id(peer), connection.remote_address
            raise TransportError(f"no link to {name} at {where}: {error}") from error

    def _guard_streams(self, negotiate: NetStreamHandler) -> NetStreamHandler:
        """Bound the inbound streams of a connection, and let nothing out of them."""

        async def on_stream(stream: INetStream) -> None:
            assert isinstance(stream, NetStream)
            connection = self._connection_of(stream)
            count_max = self._limits.streams_per_connection_max
            if connection is None or connection.stream_count >= count_max:
                await DuplexStream(stream).release(clean=False)
                return
            connection.stream_count += 1
            try:
                await negotiate(stream)
            except Exception as error:
                # Edge of the library: what is raised here would end the host. Negotiation alone
                # raises UnicodeDecodeError for a protocol name that is not UTF-8.
                logger.debug("inbound stream failed: %s", describe(error))
                await DuplexStream(stream).release(clean=False)
            finally:
                connection.stream_count -= 1

        return on_stream

    def _handler(self, on_stream: StreamHandler) -> NetStreamHandler:
        """Run a protocol of ours on a stream; it releases the stream itself when it succeeds."""

        async def handle(net_stream: INetStream) -> None:
            assert isinstance(net_stream, NetStream)
            connection = self._connection_of(net_stream)
            stream = DuplexStream(net_stream)
            is_done = False
            try:
                if connection is not None:
                    await on_stream(connection, stream)
                    is_done = True
            except (TransportError, RemoteError, trio.TooSlowError) as error:
                logger.debug("inbound stream ended: %s", describe(error))
            except Exception:
                # Edge of a handler: a mistake of ours costs this stream, not the node.
                logger.exception("inbound stream failed")
            finally:
                if not is_done:
                    await stream.release(clean=False)

        return handle

    def _connection_of(self, stream: NetStream) -> Connection | None:
        conn = stream.swarm_conn
        if self._connections is None or conn is None:
            return None
        return self._connections.of(conn)


async def _serve(
    scope: trio.CancelScope,
    handler: Callable[[trio.SocketStream], Awaitable[None]],
    listeners: list[trio.SocketListener],
) -> None:
    with scope:
        await trio.serve_listeners(handler, listeners)
