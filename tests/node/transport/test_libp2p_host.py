"""Our changes to py-libp2p's host, with a test for the effect of each."""

from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.host.basic_host import BasicHost
from libp2p.network.stream.exceptions import StreamError
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from p2pfed.errors import TransportError
from p2pfed.identity import Identity
from p2pfed.node import libp2p_compat as compat
from p2pfed.testing.transport_lab import WAIT_S, linked, running, serve
from tests.node.transport.labs import LibP2PLab, swarm_of
from tests.node.transport.muxer_lab import PAYLOAD, fetch


def make_host() -> BasicHost:
    compat.apply()
    return compat.make_host(Identity(bytes(32)), lambda: [], lambda handler: handler)


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
