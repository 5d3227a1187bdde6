"""The network model by itself: shared lines, dials, partitions, half-open connections."""

from functools import partial
from typing import Any

import networkx as nx
import pytest

from p2pfed.core.events import DialFailed, Event, FrameReceived, PeerConnected, PeerDisconnected
from p2pfed.errors import LocalError
from p2pfed.identity import PeerId
from sim.clock import Clock
from sim.links import (
    OVERHEAD_BYTES,
    Latency,
    LinkModel,
)
from sim.network import Network, NetworkTiming, PeerLine, Power

PEERS = [PeerId(bytes([number]) * 32) for number in range(3)]
LATENCY_S = 0.05


class Endpoint:
    """Writes down what it gets, and when."""

    def __init__(self, clock: Clock) -> None:
        self.power = Power.RUNNING
        self.clock = clock
        self.events: list[tuple[float, Event]] = []

    def deliver(self, event: Event) -> None:
        if self.power is Power.RUNNING:
            self.events.append((round(self.clock.now_s, 6), event))

    def frames(self) -> list[bytes]:
        return [event.frame for _, event in self.events if isinstance(event, FrameReceived)]

    def kinds(self) -> list[type]:
        return [type(event) for _, event in self.events]


class Net:
    """A line of three machines, 0 - 1 - 2."""

    def __init__(
        self, *, lines: dict[int, PeerLine] | None = None, seed: int = 0, **link: Any
    ) -> None:
        self.clock = Clock()
        self.network = Network(
            nx.path_graph(3),
            PEERS,
            self.clock,
            default=LinkModel(latency_s=LATENCY_S, **link),
            timing=NetworkTiming(),
            seed=seed,
            lines=lines,
        )
        self.ends = [Endpoint(self.clock) for _ in PEERS]
        self.network.endpoints.update(enumerate(self.ends))

    def run(self, until_s: float = 1_000.0) -> None:
        while (following := self.clock.next_ns()) is not None and following <= until_s * 1e9:
            self.clock.step()

    def connect(self) -> None:
        self.network.dial(0, PEERS[1])
        self.run()
        for end in self.ends:
            end.events.clear()


@pytest.fixture
def net() -> Net:
    return Net()


def test_an_edge_keeps_the_delay_that_it_drew() -> None:
    net = Net(latency=Latency.LOGNORMAL, spread_ratio=0.5)
    delays = {pair: wire.model.latency_s for pair, wire in net.network.wires.items()}
    assert delays[0, 1] == delays[1, 0] != delays[1, 2]
    assert (
        Net(latency=Latency.LOGNORMAL, spread_ratio=0.5, seed=1).network.wires[0, 1].model.latency_s
        not in delays.values()
    )


def connected(net: Net) -> Net:
    """Connect both ends of the line with its middle."""
    for caller in (0, 2):
        net.network.dial(caller, PEERS[1])
    net.run()
    for end in net.ends:
        end.events.clear()
    return net


def test_all_edges_of_a_peer_share_its_upload() -> None:
    size = 1_000 - OVERHEAD_BYTES
    net = connected(Net(lines={1: PeerLine(upload_bytes_per_s=1_000.0)}))
    began_s = net.clock.now_s
    for receiver in (0, 2):
        net.network.send(1, PEERS[receiver], bytes(size))
        net.network.send(receiver, PEERS[1], bytes(size))  # its download has no bound
    net.run()
    took = [[at_s - began_s for at_s, _ in end.events] for end in net.ends]
    assert took[0] == pytest.approx([1.0 + LATENCY_S])
    assert took[1] == pytest.approx([LATENCY_S] * 2)
    assert took[2] == pytest.approx([2.0 + LATENCY_S])


def test_frames_are_taken_before_the_end_of_their_connection() -> None:
    net = Net(lines={1: PeerLine(download_bytes_per_s=1_000.0)})
    net.connect()
    net.network.send(0, PEERS[1], bytes(1_000))
    net.network.disconnect(0, PEERS[1])
    net.run()
    assert net.ends[1].kinds() == [FrameReceived, PeerDisconnected]


def test_a_clogged_edge_keeps_no_other_waiting_for_the_upload() -> None:
    net = connected(Net(lines={1: PeerLine(upload_bytes_per_s=1_000.0)}))
    net.network.clog([(1, 0)], net.clock.now_ns + round(60e9))
    begun_s = net.clock.now_s
    for other in (0, 2):
        net.network.send(1, PEERS[other], bytes(1_000 - OVERHEAD_BYTES))
    net.run()
    [(clogged_s, _)], [(open_s, _)] = net.ends[0].events, net.ends[2].events
    assert open_s - begun_s == pytest.approx(1.0 + LATENCY_S)
    assert clogged_s - begun_s == pytest.approx(61.0 + LATENCY_S)


def test_all_edges_of_a_peer_share_its_download_in_the_order_of_arrival() -> None:
    net = connected(Net(lines={1: PeerLine(download_bytes_per_s=1_000.0, latency_s=0.0)}))
    began_s = net.clock.now_s
    net.network.send(0, PEERS[1], bytes(1_000 - OVERHEAD_BYTES))
    net.network.send(2, PEERS[1], bytes(500 - OVERHEAD_BYTES))
    net.run()
    took = [at_s - began_s for at_s, _ in net.ends[1].events]
    assert took == pytest.approx([1.0 + LATENCY_S, 1.5 + LATENCY_S])
    assert net.ends[1].frames() == [bytes(1_000 - OVERHEAD_BYTES), bytes(500 - OVERHEAD_BYTES)]


def test_a_peers_latency_is_added_to_its_edges() -> None:
    net = Net(lines={0: PeerLine(latency_s=0.1)})
    delays = {pair: wire.model.latency_s for pair, wire in net.network.wires.items()}
    assert delays[0, 1] == delays[1, 0] == pytest.approx(LATENCY_S + 0.1)
    assert delays[1, 2] == LATENCY_S


def test_nobody_connects_through_a_clogged_link(net: Net) -> None:
    net.network.clog([(1, 0)], round(5e9))
    net.network.dial(0, PEERS[1])
    net.run()
    [(at_s, event)] = net.ends[0].events
    assert event == PeerConnected(peer=PEERS[1])
    assert 5.0 <= at_s < 6.0


def test_a_full_queue_resets_the_connection_and_loses_what_waited() -> None:
    net = Net(queue_bytes_max=1_000)
    net.connect()
    net.network.clog([(0, 1)], net.clock.now_ns + round(5e9))
    for number in range(3):
        net.network.send(0, PEERS[1], bytes([number]) * 400)
    assert net.ends[0].events == []  # a core is never told while it acts
    net.run()
    assert net.ends[0].kinds() == [PeerDisconnected]
    assert net.ends[1].kinds() == [PeerDisconnected]
    net.network.dial(0, PEERS[1])
    net.run()
    net.network.send(0, PEERS[1], bytes(900))
    net.run()
    assert net.ends[1].frames() == [bytes(900)]
    assert net.network.sent_bytes() == (900 + OVERHEAD_BYTES, 0, 0)


def test_what_has_left_takes_no_room_in_the_queue() -> None:
    net = Net(queue_bytes_max=1_000)
    net.connect()
    for _ in range(5):
        net.network.send(0, PEERS[1], bytes(900))
    net.run()
    assert len(net.ends[1].frames()) == 5


def test_both_sides_learn_of_a_connection_and_frames_follow(net: Net) -> None:
    net.network.dial(0, PEERS[1])
    net.run()
    net.network.send(0, PEERS[1], b"hello")
    net.run()
    # Six times there and back; who was dialed knows it half a round trip earlier.
    assert net.ends[0].events == [(0.6, PeerConnected(peer=PEERS[1]))]
    assert net.ends[1].events == [
        (0.55, PeerConnected(peer=PEERS[0])),
        (0.65, FrameReceived(peer=PEERS[0], frame=b"hello")),
    ]


def test_simultaneous_dials_end_with_one_connection(net: Net) -> None:
    net.network.dial(0, PEERS[1])
    net.network.dial(1, PEERS[0])
    net.run()
    assert net.ends[0].kinds() == [PeerConnected]
    assert net.ends[1].kinds() == [PeerConnected]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("later_s", [0.01, 0.06, 0.52])
def test_dials_that_cross_end_with_one_connection(net: Net, first: int, later_s: float) -> None:
    net.network.dial(first, PEERS[1 - first])
    net.clock.after(later_s, lambda: net.network.dial(1 - first, PEERS[first]))
    net.run()
    assert net.ends[0].kinds() == [PeerConnected]
    assert net.ends[1].kinds() == [PeerConnected]
    net.network.send(0, PEERS[1], b"there")
    net.network.send(1, PEERS[0], b"back")
    net.run()
    assert (net.ends[0].frames(), net.ends[1].frames()) == ([b"back"], [b"there"])


def test_who_is_dialed_and_knows_of_a_connection_that_the_caller_gave_up_learns_it(
    net: Net,
) -> None:
    net.network.dial(0, PEERS[1])
    net.clock.after(0.57, lambda: net.network.drop_machine(0, resets=True))  # one is on its way
    net.run()
    assert net.ends[0].events == []
    assert net.ends[1].kinds() == [PeerConnected, PeerDisconnected]


def test_who_comes_back_is_reached_by_a_dial_that_goes_on(net: Net) -> None:
    net.ends[1].power = Power.DARK
    net.network.dial(0, PEERS[1])
    net.clock.after(5.0, lambda: setattr(net.ends[1], "power", Power.RUNNING))
    net.run()
    [(at_s, event)] = net.ends[0].events
    assert event == PeerConnected(peer=PEERS[1])
    assert 5.0 < at_s < 7.0


def test_a_dial_that_was_given_up_during_a_partition_leaves_nothing(net: Net) -> None:
    net.network.block([(0, 1)])
    net.network.dial(0, PEERS[1])
    net.run()
    net.network.unblock()
    net.run()
    assert net.ends[0].kinds() == [DialFailed]
    assert net.ends[1].events == []


def test_peers_that_are_not_adjacent_cannot_connect(net: Net) -> None:
    net.network.dial(0, PEERS[2])
    net.network.dial(0, PeerId(bytes(32)))
    net.run()
    assert net.ends[0].kinds() == [DialFailed, DialFailed]


def test_a_machine_without_the_process_refuses_at_once(net: Net) -> None:
    net.ends[1].power = Power.REFUSING
    net.network.dial(0, PEERS[1])
    net.run()
    assert net.ends[0].events == [(0.6, DialFailed(peer=PEERS[1], reason="connection refused"))]


def test_a_dark_machine_lets_a_dial_time_out(net: Net) -> None:
    net.ends[1].power = Power.DARK
    net.network.dial(0, PEERS[1])
    net.run()
    [(at_s, event)] = net.ends[0].events
    assert event == DialFailed(peer=PEERS[1], reason="timed out")
    assert 10.0 <= at_s < 11.0


def test_a_disconnect_flushes_first(net: Net) -> None:
    net.connect()
    at_s = net.clock.now_s
    net.network.send(0, PEERS[1], b"goodbye")
    net.network.disconnect(0, PEERS[1])
    net.network.send(0, PEERS[1], b"too late")
    net.run()
    assert net.ends[0].events == [(at_s, PeerDisconnected(peer=PEERS[1]))]  # it had left at once
    assert net.ends[1].kinds() == [FrameReceived, PeerDisconnected]
    assert net.ends[1].frames() == [b"goodbye"]


def test_a_disconnect_waits_no_longer_than_it_may_for_what_is_queued(net: Net) -> None:
    net.connect()
    net.network.clog([(0, 1)], net.clock.now_ns + round(60e9))
    net.network.send(0, PEERS[1], b"goodbye")
    net.network.disconnect(0, PEERS[1])
    at_s = net.clock.now_s + net.network.timing.flush_s
    net.run()
    assert net.ends[0].events == [(at_s, PeerDisconnected(peer=PEERS[1]))]


def test_a_dial_ends_with_its_process(net: Net) -> None:
    net.network.dial(0, PEERS[1])
    net.network.drop_machine(0, resets=True)  # and the next one runs already
    net.run()
    assert net.ends[0].events == net.ends[1].events == []


def test_a_process_that_ends_resets_its_connections(net: Net) -> None:
    net.connect()
    at_s = net.clock.now_s
    net.ends[0].power = Power.REFUSING
    net.network.drop_machine(0, resets=True)
    net.run()
    assert net.ends[1].events == [(at_s + LATENCY_S, PeerDisconnected(peer=PEERS[0]))]


def test_a_dark_machine_is_noticed_when_it_is_back(net: Net) -> None:
    net.connect()
    net.ends[0].power = Power.DARK
    net.network.drop_machine(0, resets=False)
    net.network.send(1, PEERS[0], b"swallowed")
    net.run()
    assert net.ends[1].events == []
    net.ends[0].power = Power.RUNNING
    net.network.send(1, PEERS[0], b"reset")
    net.run()
    assert net.ends[1].kinds() == [PeerDisconnected]
    assert net.ends[0].events == []


@pytest.mark.parametrize("of_all_edges", [False, True])
@pytest.mark.parametrize(("resets", "heard"), [(True, b"abc"), (False, b"a")])
def test_of_a_machine_that_goes_dark_arrives_what_had_left_it(
    resets: bool, heard: bytes, of_all_edges: bool
) -> None:
    pace = 1_000.0
    line = {0: PeerLine(upload_bytes_per_s=pace)}
    net = Net(lines=line) if of_all_edges else Net(bandwidth_bytes_per_s=pace)
    net.connect()
    net.ends[0].power = Power.REFUSING if resets else Power.DARK  # soon: nothing asks until then
    for letter in (b"a", b"b", b"c"):
        net.network.send(0, PEERS[1], letter * (1_000 - OVERHEAD_BYTES))
    drop = partial(net.network.drop_machine, 0, resets=resets)
    net.clock.after(1.0 + LATENCY_S / 2, drop)  # one is on its way, and a part of one has left
    net.run()
    assert b"".join(frame[:1] for frame in net.ends[1].frames()) == heard


def test_a_new_connection_ends_a_half_open_one_first(net: Net) -> None:
    net.connect()
    net.ends[0].power = Power.DARK
    net.network.drop_machine(0, resets=False)
    net.ends[0].power = Power.RUNNING
    net.network.dial(0, PEERS[1])
    net.run()
    assert net.ends[1].kinds() == [PeerDisconnected, PeerConnected]
    assert net.ends[0].kinds() == [PeerConnected]


def test_a_connection_survives_a_partition(net: Net) -> None:
    net.connect()
    net.network.block([(0, 1), (1, 0)])
    net.network.send(0, PEERS[1], b"held")
    net.run()
    assert net.ends[1].events == []
    net.network.unblock()
    net.run()
    assert net.ends[1].frames() == [b"held"]


def test_a_graph_with_other_nodes_is_refused() -> None:
    with pytest.raises(LocalError, match="numbers 0 to 1"):
        Network(
            nx.Graph([("a", "b")]),
            PEERS[:2],
            Clock(),
            default=LinkModel(),
            timing=NetworkTiming(),
            seed=0,
        )
