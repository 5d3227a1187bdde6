"""One test per change inside py-libp2p: each fails when the change no longer has its effect."""

import logging
import subprocess
import sys
import textwrap
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.host.basic_host import BasicHost
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError
from libp2p.network.stream.exceptions import StreamError
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH, NoiseTransportReadWriter
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux
from multiaddr import Multiaddr

from p2pfed.errors import LocalError, TransportError
from p2pfed.identity import Identity
from p2pfed.node import libp2p_compat as compat
from p2pfed.node import libp2p_muxer
from p2pfed.node.metered_stream import Meter, MeteredStream
from p2pfed.testing.transport_lab import WAIT_S, Node, linked, running, serve
from tests.node.transport.labs import LibP2PLab, swarm_of

PAYLOAD = bytes(range(256)) * 16_384  # 4 MiB


def make_host() -> BasicHost:
    compat.apply()
    return compat.make_host(Identity(bytes(32)), lambda: [], lambda handler: handler)


def make_muxer(write: Any) -> libp2p_muxer.HardenedYamux:
    """Return a muxer on a connection that only writes."""

    class Connection:
        is_initiator = True

        async def write(self, data: bytes) -> None:
            await write(data)

    return libp2p_muxer.HardenedYamux(Connection(), ID(b"peer"))


async def pass_time(duration_s: float) -> None:
    """Let the autojump clock pass that much time."""
    with trio.move_on_after(duration_s):
        await trio.sleep_forever()


def muxer_under(node: Node) -> Any:
    (conn,) = swarm_of(node.transport).get_connections()
    return conn.muxed_conn


async def fetch(node: Node, server: Node) -> None:
    received = bytearray()
    with trio.fail_after(WAIT_S):
        await node.transport.fetch(
            server.peer, bytes(32), size_bytes=len(PAYLOAD), offset=0, sink=received.extend
        )
    assert received == PAYLOAD


# ------------------------------------------------------------------------------------ versions


def test_other_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "version", lambda _: "0.9.0")
    with pytest.raises(LocalError, match=r"pip install libp2p==0\.8\.1"):
        compat.apply()


def test_apply_twice_changes_nothing_more() -> None:
    compat.apply()
    before = list(logging.getLogger("libp2p").handlers)
    compat.apply()
    assert logging.getLogger("libp2p").handlers == before


# ---------------------------------------------------------------------------------------- host


def test_peer_id_is_ours() -> None:
    identity = Identity(bytes(32))
    assert make_host().get_id().to_base58() == identity.text


def test_only_noise_and_yamux_are_offered() -> None:
    swarm: Any = make_host().get_network()
    assert list(swarm.upgrader.security_multistream.transports) == ["/noise"]
    muxers = swarm.upgrader.muxer_multistream
    assert list(muxers.transports) == ["/yamux/1.0.0"]
    assert list(muxers.multiselect.handlers) == ["/yamux/1.0.0"]


def test_nothing_but_identify_is_served() -> None:
    assert make_host().get_mux().get_protocols() == ("/ipfs/id/1.0.0",)


async def test_host_does_not_dial_on_its_own() -> None:
    """Neither the connector nor identify acts on addresses that the peerstore holds."""
    host = make_host()
    swarm = host.get_network()
    assert isinstance(swarm, Swarm)
    dialed: list[ID] = []

    async def dial_peer(peer: ID) -> list[Any]:
        dialed.append(peer)
        return []

    swarm.dial_peer = dial_peer  # type: ignore[method-assign]
    # A public address, because the connector ignores others; `dial_peer` above keeps it unused.
    host.get_peerstore().add_addrs(ID(b"other"), [Multiaddr("/ip4/8.8.4.4/tcp/1")], 60)
    await swarm.auto_connector.start()
    await swarm.auto_connector.maybe_connect()
    assert not dialed
    assert not swarm.notifees
    swarm.auto_connector.record_disconnect(ID(b"other"))
    assert not swarm.auto_connector._recent_disconnects


def test_host_has_no_rate_limits_of_its_own() -> None:
    swarm: Any = make_host().get_network()
    assert swarm._resource_manager is None
    assert swarm._stream_semaphore is None


@pytest.mark.net
async def test_handler_that_raises_does_not_end_the_host() -> None:
    """The stock host is gone after the first exception that leaves a handler."""
    async with linked(LibP2PLab(), server=serve(PAYLOAD)) as (one, other):
        stream = await swarm_of(one.transport).new_stream(ID.from_base58(other.identity.text))
        await stream.write(b"\x13/multistream/1.0.0\n\x03\xff\xfe\n")  # UnicodeDecodeError there
        with suppress(StreamError), trio.fail_after(WAIT_S):
            while await stream.read(100):
                pass
        await fetch(one, other)


@pytest.mark.net
async def test_port_is_not_shared() -> None:
    """The library listens with SO_REUSEPORT: a second node would take half the connections."""
    async with running(LibP2PLab(), 1) as one:
        listen = one.addresses[0].split("/p2p/")[0]
        lab = LibP2PLab()
        second = lab.make_at(Identity(bytes([2]) * 32), listen)
        with pytest.raises(TransportError, match="cannot listen on"):
            async with second.run(serve(b"")):
                pass


@pytest.mark.net
async def test_reconnecting_leaves_nothing_behind() -> None:
    """The library keeps a task, and a slot of its inbound limit, per connection that ever was."""
    async with linked(LibP2PLab()) as (one, other):

        async def reconnect() -> None:
            await one.transport.disconnect(other.peer)
            await one.expect_down(other)
            await other.expect_down(one)
            await one.dial(other)
            await one.expect_up(other)
            await other.expect_up(one)

        def count_tasks() -> int:
            return trio.lowlevel.current_statistics().tasks_living

        await trio.testing.wait_all_tasks_blocked()
        before = count_tasks()
        for _ in range(15):
            await reconnect()
        with trio.fail_after(WAIT_S):
            while count_tasks() > before + 2:  # the muxer's clocks may be at another point
                await trio.lowlevel.checkpoint()
        for node in (one, other):
            assert len(swarm_of(node.transport).get_connections()) == 1


# -------------------------------------------------------------------------------------- frames


@pytest.mark.net
async def test_frames_are_large_and_fill_noise_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[int] = []
    messages: list[int] = []
    write, encrypt = libp2p_muxer.HardenedYamux._write_whole, NoiseTransportReadWriter.encrypt

    async def write_and_note(self: libp2p_muxer.HardenedYamux, data: bytes) -> None:
        frames.append(len(data))
        await write(self, data)

    def encrypt_and_note(self: NoiseTransportReadWriter, data: bytes) -> bytes:
        messages.append(len(data))
        return encrypt(self, data)

    monkeypatch.setattr(libp2p_muxer.HardenedYamux, "_write_whole", write_and_note)
    monkeypatch.setattr(NoiseTransportReadWriter, "encrypt", encrypt_and_note)
    async with linked(LibP2PLab(), server=serve(PAYLOAD)) as (one, other):
        await fetch(one, other)
    assert max(frames) == libp2p_muxer.FRAME_BYTES
    assert max(messages) == MAX_PLAINTEXT_LENGTH
    small = sum(size < 1_000 for size in messages)
    assert small < 100  # no frame leaves a rest that would need a message of its own


@pytest.mark.net
async def test_frame_is_one_write_to_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = MeteredStream.write

    async def write_and_note(self: MeteredStream, data: bytes) -> None:
        sizes.append(len(data))
        await write(self, data)

    monkeypatch.setattr(MeteredStream, "write", write_and_note)
    async with linked(LibP2PLab(), server=serve(PAYLOAD)) as (one, other):
        await fetch(one, other)
    assert max(sizes) > 4 * MAX_PLAINTEXT_LENGTH


async def test_noise_message_in_small_pieces_is_read() -> None:
    """Stock gives up after 101 partial reads, and copies each byte three times on the way."""
    data = bytes(range(200))
    rest = bytearray(len(data).to_bytes(2, "big") + data)

    class Raw:
        async def read(self, _size: int) -> bytes:
            return bytes([rest.pop(0)])

    class State:
        def decrypt(self, data: bytes) -> bytes:
            return data[::-1]

    compat.apply()
    reader = NoiseTransportReadWriter(Raw(), State())  # type: ignore[arg-type]
    assert await reader.read_msg() == data[::-1]


async def test_noise_message_that_ends_early() -> None:
    class Raw:
        def __init__(self, *parts: bytes) -> None:
            self.parts = list(parts)

        async def read(self, _size: int) -> bytes:
            return self.parts.pop(0) if self.parts else b""

    compat.apply()
    for parts, is_clean in (((), True), ((b"\x00",), False), ((b"\x00\x03", b"ab"), False)):
        reader = NoiseTransportReadWriter(Raw(*parts), object())  # type: ignore[arg-type]
        with pytest.raises(IncompleteReadError) as caught:
            await reader.read_msg()
        assert caught.value.is_clean_close == is_clean


async def test_frames_shrink_on_a_slow_connection(autojump_clock: trio.testing.MockClock) -> None:
    pause_s = 1.0

    async def write(_data: bytes) -> None:
        await pass_time(pause_s)

    muxer = make_muxer(write)
    for _ in range(20):
        await muxer._write_frame(bytes(100))
    assert muxer.frame_bytes == libp2p_muxer.FRAME_BYTES_MIN
    assert autojump_clock.current_time() == pytest.approx(20.0)
    pause_s = 0.0
    for _ in range(20):
        await muxer._write_frame(bytes(100))
    assert muxer.frame_bytes == libp2p_muxer.FRAME_BYTES


# ------------------------------------------------------------------------ writes and cancelling


async def test_cancelled_write_is_whole_or_nothing() -> None:
    """A frame that has begun ends; one that waits for its turn may be given up, a header not."""
    written: list[bytes] = []
    gate = trio.Event()

    async def write(data: bytes) -> None:
        await gate.wait()
        written.append(data)

    muxer = make_muxer(write)
    scopes: list[trio.CancelScope] = []

    async def write_frame(scope: trio.CancelScope, data: bytes) -> None:
        with scope:
            await muxer._write_frame(data)

    async with trio.open_nursery() as nursery:
        for data in (b"begun" * 9, b"waits" * 9, b"header".ljust(yamux.HEADER_SIZE)):
            scope = trio.CancelScope()
            scopes.append(scope)
            nursery.start_soon(write_frame, scope, data)
            await trio.testing.wait_all_tasks_blocked()
        for scope in scopes:
            scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert written == [b"begun" * 9, b"header".ljust(yamux.HEADER_SIZE)]


@pytest.mark.net
async def test_connection_survives_cancelled_writes() -> None:
    """Stock: 23 of 40 connections were destroyed by a torn frame."""
    async with linked(LibP2PLab(), server=serve(PAYLOAD)) as (one, other):
        muxer = muxer_under(one)
        peer_id = ID.from_base58(other.identity.text)
        for turns in range(0, 40, 2):
            stream = await swarm_of(one.transport).new_stream(peer_id)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.write, bytes(1 << 20))
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            await stream.reset()
        assert muxer_under(one) is muxer
        assert not muxer.is_closed
        await fetch(one, other)


async def test_write_to_a_stuck_peer_ends(autojump_clock: trio.testing.MockClock) -> None:
    async def write(_data: bytes) -> None:
        await trio.sleep_forever()

    begin = autojump_clock.current_time()
    with pytest.raises(ConnectionClosedError, match="took no frame"):
        await make_muxer(write)._write_frame(bytes(100))
    assert autojump_clock.current_time() - begin == pytest.approx(libp2p_muxer.FRAME_WRITE_S)


async def test_too_many_streams_are_an_error() -> None:
    """Stock: the 257th waits for ever."""

    async def write(_data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    muxer = make_muxer(write)
    for _ in range(256):
        await muxer.open_stream()
    with pytest.raises(MuxedStreamError, match="too many streams"), trio.fail_after(WAIT_S):
        await muxer.open_stream()


async def test_closing_does_not_pause(autojump_clock: trio.testing.MockClock) -> None:
    """Stock sleeps for 0.1 s per connection; the peer is told either way."""
    written: list[bytes] = []
    stream = await make_stream(written)
    await stream.conn.close()
    assert stream.conn.is_closed
    assert written[-1][1] == yamux.TYPE_GO_AWAY
    assert autojump_clock.current_time() == 0.0


async def test_muxer_that_fails_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: yamux.Yamux) -> None:
        raise RuntimeError("of the library")

    monkeypatch.setattr(yamux.Yamux, "start", fail)
    muxer = make_muxer(fail)
    await muxer.start()
    assert muxer.is_closed


# ------------------------------------------------------------------------------------- windows


async def make_stream(written: list[bytes]) -> libp2p_muxer.PatientStream:
    async def write(data: bytes) -> None:
        written.append(data)
        await trio.lowlevel.checkpoint()

    compat.apply()
    stream = await make_muxer(write).open_stream()
    assert isinstance(stream, libp2p_muxer.PatientStream)
    return stream


async def test_writer_waits_for_a_slow_reader(autojump_clock: trio.testing.MockClock) -> None:
    """Stock gives up after 5 s, and polls every 10 ms."""
    written: list[bytes] = []
    stream = await make_stream(written)
    stream.send_window = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.write, b"late")
        await pass_time(20.0)
        stream.send_window += 4
    assert autojump_clock.current_time() == pytest.approx(20.0, abs=0.001)
    assert written[-1].endswith(b"late")


async def test_writer_gives_a_dead_reader_up(autojump_clock: trio.testing.MockClock) -> None:
    stream = await make_stream([])
    stream.send_window = 0
    with pytest.raises(MuxedStreamError, match="no window"):
        await stream.write(b"never")
    assert autojump_clock.current_time() < libp2p_muxer.WINDOW_WAIT_S + 1.0


async def test_writer_notices_the_end(autojump_clock: trio.testing.MockClock) -> None:
    stream = await make_stream([])
    stream.send_window = 0
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(MuxedStreamError):
                await stream.write(b"never")

        nursery.start_soon(write)
        await pass_time(1.0)
        stream.closed = True
    assert autojump_clock.current_time() < 2.0


async def test_receive_window_stops_growing() -> None:
    """Stock grows to 16 MiB, and grants more than it then accepts."""
    stream = await make_stream([])
    for _ in range(30):
        stream.recv_window = 0
        await stream._auto_tune_and_send_window_update()
    assert stream.target_recv_window == libp2p_muxer.WINDOW_BYTES_MAX
    assert stream.recv_window <= 2 * libp2p_muxer.WINDOW_BYTES_MAX


async def test_window_updates_are_few() -> None:
    """Stock tells of every read."""
    written: list[bytes] = []
    stream = await make_stream(written)
    written.clear()
    for _ in range(32):  # half a window, received and read at once
        stream.recv_window -= 4_096
        await stream._auto_tune_and_send_window_update(bytes_read=4_096)
    assert len(written) == 1


async def test_receive_window_is_enforced() -> None:
    """Stock logs a warning and keeps what it was sent."""
    stream = await make_stream([])
    buffer = stream.conn.stream_buffers[stream.stream_id]
    buffer.extend(bytes(stream.target_recv_window))
    buffer.extend(bytes(stream.target_recv_window))  # the library's own slack
    with pytest.raises(trio.TooSlowError):  # what makes the muxer hang up
        buffer.extend(bytes(2 * stream.target_recv_window))


# ------------------------------------------------------------------------------------- reading


async def test_messages_in_small_pieces_are_read() -> None:
    """Stock gives up after 101 partial reads."""
    near, far = await make_socket_pair()
    meter = Meter()
    reader = MeteredStream(near, meter)
    data = bytes(range(200))

    async def drip() -> None:
        for value in data:
            await far.send_all(bytes([value]))
            await trio.testing.wait_all_tasks_blocked()

    async with near, far, trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        assert await reader.read(len(data)) == data
    assert meter.received_bytes == len(data)


async def test_reads_of_all_sizes_join_up() -> None:
    near, far = await make_socket_pair()
    reader = MeteredStream(near, Meter())
    data = bytes(range(251)) * 2_000
    received = bytearray()

    async def send() -> None:
        await far.send_all(data)
        await far.aclose()

    async with near, far, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        for size in (None, 1, 2, 65_535, 131_072, 200_000, 2, None, 100_000, 300_000):
            received += await reader.read(size)
        assert await reader.read(1) == b""
    assert received == data


async def test_aborted_stream_raises_in_reader_and_writer() -> None:
    near, far = await make_socket_pair()
    stream = MeteredStream(near, Meter())

    async def read() -> None:
        with pytest.raises(ConnectionClosedError):
            await stream.read(1)

    async with far, trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        stream.abort()
    with pytest.raises(ConnectionClosedError):
        await stream.write(b"x")


async def make_socket_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        far = await trio.open_tcp_stream("127.0.0.1", port)
        return await listener.accept(), far


# ------------------------------------------------------------------------------------- logging


@pytest.mark.slow
def test_library_is_quiet() -> None:
    """A failed dial and a connection, in a process without logging: nothing on stderr."""
    program = textwrap.dedent(
        """
        import contextlib, logging, trio
        from p2pfed.errors import TransportError
        from p2pfed.identity import Identity
        from p2pfed.node.libp2p_transport import LibP2PTransport
        from p2pfed.testing.transport_lab import serve

        async def main():
            nodes = [
                LibP2PTransport(Identity(bytes([n]) * 32), listen=["/ip4/127.0.0.1/tcp/0"])
                for n in (1, 2)
            ]
            peer = Identity(bytes([2]) * 32).peer
            async with nodes[0].run(serve(b"")), nodes[1].run(serve(b"")):
                with contextlib.suppress(TransportError):
                    await nodes[0].dial(peer, ["/ip4/127.0.0.1/tcp/1"])
                await nodes[0].dial(peer, nodes[1].loopback_addresses())
            logging.getLogger("libp2p.anything").error("an error of the library")

        trio.run(main)
        assert not logging.getLogger().handlers
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_library_is_heard_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    compat.apply()
    with caplog.at_level(logging.DEBUG, logger=compat.__name__):
        logging.getLogger("libp2p.some.module").warning("about %s", "something")
    assert "libp2p.some.module: about something" in caplog.text
    assert not logging.getLogger("libp2p").propagate  # or the program would show it twice
