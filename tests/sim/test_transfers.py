"""Payload transfers by themselves: resuming, refusing, lying, stalling, losing the connection."""

import networkx as nx
import pytest
from blake3 import blake3

from p2pfed.core.effects import AnswerPayload, FetchPayload
from p2pfed.core.events import Event, OffenceKind, PayloadWanted, UploadEnded
from p2pfed.identity import PeerId
from p2pfed.node.libp2p_muxer import WINDOW_BYTES_MAX
from sim.clock import Clock
from sim.links import LinkModel
from sim.network import Network, NetworkTiming, Power
from sim.payloads import PayloadPool, PayloadShelf
from sim.transfers import CHUNK_BYTES, WINDOW_BYTES, Fetch, Served, Transfers

PEERS = [PeerId(bytes([number]) * 32) for number in range(3)]
PAYLOAD = bytes(range(256)) * 1024  # four chunks
HASH = blake3(PAYLOAD).digest()


class Party:
    """Serves whatever it is told to, and writes down what it gets."""

    power = Power.RUNNING
    life = 1

    def __init__(self) -> None:
        self.transfers: Transfers
        self.serves: Served | None = Served(size_bytes=len(PAYLOAD), payload=PAYLOAD)
        self.answers = True
        self.events: list[Event] = []
        self.happened: list[str] = []
        self.received: list[bytes] = []
        self.failed: list[tuple[int, OffenceKind | None]] = []

    def deliver(self, event: Event) -> None:
        self.events.append(event)
        self.happened.append(type(event).__name__)
        if isinstance(event, PayloadWanted) and self.answers:
            offset = None if self.serves is None else event.offset
            self.transfers.answer(
                1, AnswerPayload(token=event.token, content_hash=HASH, offset=offset)
            )

    def serve(self, content_hash: bytes) -> Served:
        assert content_hash == HASH
        assert self.serves is not None
        return self.serves

    def payload_received(self, fetch: Fetch) -> None:
        self.happened.append("payload")
        self.received.append(b"".join(fetch.pieces))

    def fetch_failed(self, fetch: Fetch, offence: OffenceKind | None) -> None:
        self.failed.append((fetch.done_bytes, offence))


class Pair:
    """A client, 0, connected to a server, 1; both could connect to a bystander, 2."""

    def __init__(self, **link: float) -> None:
        model = {"latency_s": 0.01, "bandwidth_bytes_per_s": 1e5, **link}
        self.clock = Clock()
        self.network = Network(
            nx.complete_graph(3),
            PEERS,
            self.clock,
            default=LinkModel(**model),
            timing=NetworkTiming(),
            seed=0,
        )
        self.transfers = Transfers(self.network, self.clock)
        self.client, self.server, _ = parties = [Party(), Party(), Party()]
        for party in parties:
            party.transfers = self.transfers
        self.network.endpoints.update(enumerate(parties))
        self.transfers.parties.update(enumerate(parties))
        self.network.dial(0, PEERS[1])
        self.run()

    def run(self, until_s: float = 1_000.0) -> None:
        while (following := self.clock.next_ns()) is not None and following <= until_s * 1e9:
            self.clock.step()

    def fetch(self, offset: int = 0, size_bytes: int = len(PAYLOAD)) -> bool:
        effect = FetchPayload(
            peer=PEERS[1], content_hash=HASH, size_bytes=size_bytes, offset=offset
        )
        return self.transfers.fetch(0, effect)

    def upload_ended(self) -> bool:
        return any(isinstance(event, UploadEnded) for event in self.server.events)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_a_payload_arrives_at_the_pace_of_the_edge(pair: Pair) -> None:
    start_s = pair.clock.now_s
    assert pair.fetch()
    pair.run()
    assert pair.client.received == [PAYLOAD]
    assert pair.clock.now_s - start_s == pytest.approx(len(PAYLOAD) / 1e5 + 0.02, rel=0.01)
    assert pair.upload_ended()


def test_no_more_than_a_window_is_on_its_way() -> None:
    pair = Pair(latency_s=1.0, bandwidth_bytes_per_s=1e12)
    payload = bytes(2 * WINDOW_BYTES + 1)
    pair.server.serves = Served(size_bytes=len(payload), payload=payload)
    start_s = pair.clock.now_s
    pair.fetch(size_bytes=len(payload))
    pair.run()
    assert pair.client.received == [payload]
    # The request, a window, and after each round trip of a second each way another one: of which
    # the last is one byte.
    assert pair.clock.now_s - start_s == pytest.approx(6.0, rel=0.01)


def test_a_window_is_what_a_stream_of_a_node_may_have() -> None:
    assert WINDOW_BYTES == WINDOW_BYTES_MAX


def test_a_window_that_the_edge_does_not_fill_keeps_nobody_waiting() -> None:
    pair = Pair(latency_s=0.1, bandwidth_bytes_per_s=1e7)  # a round trip takes half a window
    payload = bytes(8 * WINDOW_BYTES)
    pair.server.serves = Served(size_bytes=len(payload), payload=payload)
    start_s = pair.clock.now_s
    pair.fetch(size_bytes=len(payload))
    pair.run()
    assert pair.clock.now_s - start_s == pytest.approx(len(payload) / 1e7 + 0.2, rel=0.01)


def test_a_canceled_fetch_is_sent_no_second_window(pair: Pair) -> None:
    payload = bytes(2 * WINDOW_BYTES)
    pair.server.serves = Served(size_bytes=len(payload), payload=payload)
    pair.fetch(size_bytes=len(payload))
    wire = pair.network.wires[1, 0]
    while wire.sent_bytes < WINDOW_BYTES:
        assert pair.clock.step()
    pair.transfers.cancel(0, HASH)
    pair.run()
    assert wire.sent_bytes < 1.1 * WINDOW_BYTES
    assert pair.client.received == []
    assert pair.upload_ended()


def test_a_slow_transfer_takes_its_time() -> None:
    pair = Pair(bandwidth_bytes_per_s=1e4)
    start_s = pair.clock.now_s
    pair.fetch()
    pair.run()
    assert pair.client.received == [PAYLOAD]
    assert pair.clock.now_s - start_s > pair.network.timing.idle_s


def test_a_transfer_goes_on_at_its_offset(pair: Pair) -> None:
    pair.fetch(offset=1_000)
    pair.run()
    assert pair.client.received == [PAYLOAD[1_000:]]


def test_a_transfer_of_nothing_more_ends(pair: Pair) -> None:
    pair.fetch(offset=len(PAYLOAD))
    pair.run()
    assert pair.client.received == [b""]
    assert pair.upload_ended()


def test_a_refusal_is_no_offence(pair: Pair) -> None:
    pair.server.serves = None
    pair.fetch()
    pair.run()
    assert pair.client.failed == [(0, None)]


def test_another_size_is_an_offence_before_any_byte_is_taken(pair: Pair) -> None:
    pair.server.serves = Served(size_bytes=2 * len(PAYLOAD), payload=PAYLOAD * 2)
    pair.fetch()
    pair.run()
    assert pair.client.failed == [(0, OffenceKind.PAYLOAD_SIZE)]
    assert pair.upload_ended()


def test_a_server_that_stalls_is_given_up(pair: Pair) -> None:
    pair.server.answers = False
    pair.fetch()
    pair.run()
    assert pair.client.failed == [(0, None)]


def test_a_lost_connection_keeps_what_arrived(pair: Pair) -> None:
    start_s = pair.clock.now_s
    pair.fetch()
    pair.run(start_s + 1.5)
    pair.network.disconnect(1, PEERS[0])
    pair.run()
    [(done_bytes, offence)] = pair.client.failed
    assert 0 < done_bytes < len(PAYLOAD)
    assert done_bytes % CHUNK_BYTES == 0
    assert offence is None
    assert pair.upload_ended()


def test_the_end_of_another_connection_leaves_a_transfer_alone(pair: Pair) -> None:
    for end in (0, 1):
        pair.network.dial(end, PEERS[2])
    pair.run()
    start_s = pair.clock.now_s
    pair.fetch()
    pair.run(start_s + 1.5)
    for end in (0, 1):
        pair.network.disconnect(end, PEERS[2])
        pair.transfers.end_closed(end, (0, 1, 0))  # an earlier one of the same two
    assert not pair.upload_ended()
    pair.run()
    assert pair.client.received == [PAYLOAD]
    assert pair.client.failed == []


def test_a_canceled_fetch_frees_the_server(pair: Pair) -> None:
    start_s = pair.clock.now_s
    pair.fetch()
    pair.run(start_s + 0.8)
    pair.transfers.cancel(0, HASH)
    pair.run()
    assert pair.client.received == []
    assert pair.client.failed == []
    assert pair.upload_ended()


def test_without_a_connection_nothing_can_be_fetched(pair: Pair) -> None:
    pair.network.disconnect(0, PEERS[1])
    pair.run()
    assert not pair.fetch()


@pytest.fixture
def late() -> Pair:
    """Return a pair that has a whole payload under way whose end is taken later than frames."""
    pair = Pair(reordering_s=10.0)
    pair.fetch()
    while not pair.transfers.has_arrived(0, HASH):
        assert pair.clock.step()
    assert pair.client.received == []
    return pair


def test_frames_overtake_the_end_of_a_transfer(late: Pair) -> None:
    late.network.send(1, PEERS[0], b"frame")
    late.run()
    assert late.client.happened[-2:] == ["FrameReceived", "payload"]
    assert late.client.received == [PAYLOAD]
    assert late.upload_ended()


def test_the_end_of_a_connection_overtakes_that_of_a_transfer(late: Pair) -> None:
    late.network.disconnect(1, PEERS[0])
    late.run()
    assert late.client.happened[-2:] == ["PeerDisconnected", "payload"]


def test_what_is_canceled_is_not_told_later(late: Pair) -> None:
    late.transfers.cancel(0, HASH)
    late.run()
    assert late.client.received == []
    assert late.client.failed == []


def test_what_an_earlier_life_fetched_is_not_told_the_next(late: Pair) -> None:
    late.client.life = 2
    assert late.fetch()
    late.run()
    assert late.client.received == [PAYLOAD]


def test_what_an_earlier_life_served_is_not_told_the_next() -> None:
    pair = Pair(reordering_s=10.0)
    pair.fetch()
    while not any(isinstance(event, PayloadWanted) for event in pair.server.events):
        assert pair.clock.step()
    pair.transfers.cancel(0, HASH)  # the server learns of it later than of frames
    pair.run(until_s=pair.clock.now_s + 0.02)
    pair.server.life = 2
    pair.run()
    assert not pair.upload_ended()


def test_payloads_are_shared_and_freed() -> None:
    pool = PayloadPool()
    shelves = [PayloadShelf(pool), PayloadShelf(pool)]
    for shelf in shelves:
        shelf.put(HASH, PAYLOAD)
        shelf.put(HASH, PAYLOAD)
    assert shelves[0].get(HASH) is shelves[1].get(HASH)
    shelves[0].drop(HASH)
    assert HASH not in shelves[0]
    assert len(pool) == 1
    shelves[1].drop(HASH)
    shelves[1].drop(HASH)
    assert len(pool) == 0


def test_pieces_are_checked_against_the_hash() -> None:
    pool = PayloadPool()
    assert pool.is_genuine(HASH, [memoryview(PAYLOAD)])
    assert not pool.is_genuine(HASH, [memoryview(PAYLOAD[:-1] + b"x")])
    pool.take(HASH, PAYLOAD)
    whole = memoryview(PAYLOAD)
    assert pool.is_genuine(HASH, [whole[:10], whole[10:]])
    assert not pool.is_genuine(HASH, [whole[:10]])
    assert not pool.is_genuine(HASH, [whole[:10], memoryview(b"x" * (len(PAYLOAD) - 10))])
