"""One direction of an edge by itself: bandwidth, delays, loss, order, and what waits."""

import math
import random
from functools import partial
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.clock import Clock
from sim.identities import random_for
from sim.links import (
    OVERHEAD_BYTES,
    RETRANSMISSION_S_MIN,
    SEGMENT_BYTES,
    AccessLine,
    Drawn,
    Latency,
    LinkModel,
    Wire,
)

LATENCY_S = 0.05


def call(packet: Any) -> None:
    """Take a packet that is a function."""
    packet()


def send(wire: Wire, size_bytes: int, packet: Any) -> None:
    wire.send(packet, size_bytes)


def make_wire(clock: Clock, down: AccessLine | None = None, **model: Any) -> Wire:
    return Wire(LinkModel(**model), clock, lambda purpose: random_for(0, purpose), call, down=down)


def test_what_is_sent_shares_the_bandwidth() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, latency_s=1.0, bandwidth_bytes_per_s=100.0)
    for name in "ab":
        send(wire, 100 - OVERHEAD_BYTES, lambda name=name: arrivals.append((name, clock.now_s)))
    while clock.step():
        pass
    assert arrivals == [("a", 2.0), ("b", 3.0)]


def test_loss_delays_and_keeps_the_order() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, latency_s=0.01, loss_ratio=0.5)
    for number in range(100):
        send(wire, 100, lambda number=number: arrivals.append((number, clock.now_s)))
    while clock.step():
        pass
    assert [number for number, _ in arrivals] == list(range(100))
    assert arrivals[-1][1] > 0.2


class Scripted(random.Random):
    """Draws what it is told to, and then ones, by which nothing is lost."""

    def __init__(self, *drawn: float) -> None:
        super().__init__(0)
        self.left = list(drawn)

    def random(self) -> float:
        return self.left.pop(0) if self.left else 1.0


@pytest.mark.interpreted
def test_what_is_lost_again_comes_after_twice_the_pause() -> None:
    clock, arrivals = Clock(), []
    model = LinkModel(latency_s=1.0, loss_ratio=0.5)
    wire = Wire(model, clock, lambda _: Scripted(0.0, 0.0, 0.0), call)
    send(wire, 1, lambda: arrivals.append(clock.now_s))
    while clock.step():
        pass
    pause_s = RETRANSMISSION_S_MIN + 2.0
    assert arrivals == [pytest.approx(1.0 + (1 + 2 + 4) * pause_s)]


@pytest.mark.interpreted
def test_only_the_segments_that_were_lost_are_sent_again() -> None:
    clock, arrivals = Clock(), []
    model = LinkModel(latency_s=1.0, loss_ratio=0.5)
    first, again, next_packet = (0.0, 0.0, 1.0), (1.0, 1.0), (0.0,)
    wire = Wire(model, clock, lambda _: Scripted(*first, *again, *next_packet), call)
    send(wire, 3 * SEGMENT_BYTES - OVERHEAD_BYTES, lambda: arrivals.append(clock.now_s))
    while clock.step():
        pass
    assert arrivals == [pytest.approx(1.0 + RETRANSMISSION_S_MIN + 2.0)]


@pytest.mark.interpreted
def test_what_follows_a_loss_waits_for_it() -> None:
    clock, arrivals = Clock(), []
    model = LinkModel(latency_s=1.0, loss_ratio=0.5)
    wire = Wire(model, clock, lambda _: Scripted(0.0), call)
    for name in "ab":
        send(wire, 1, lambda name=name: arrivals.append((name, clock.now_s)))
    while clock.step():
        pass
    late_s = pytest.approx(1.0 + RETRANSMISSION_S_MIN + 2.0)
    assert arrivals == [("a", late_s), ("b", late_s)]


def test_what_waited_for_a_partition_comes_with_the_next_retransmission() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, latency_s=1.0)
    wire.is_blocked = True
    send(wire, 1, lambda: arrivals.append(clock.now_s))
    clock.after(5.0, wire.unblock)
    while clock.step():
        pass
    assert arrivals == [pytest.approx(5.0 + 1.0 + RETRANSMISSION_S_MIN)]


def test_a_second_partition_ends_for_what_waited_for_it_alone() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, latency_s=1.0)
    for begin_s in (0.0, 10.0):
        clock.after(begin_s, lambda: setattr(wire, "is_blocked", True))
        clock.after(begin_s, lambda: send(wire, 1, lambda: arrivals.append(clock.now_s)))
        clock.after(begin_s + 5.0, wire.unblock)
    clock.after(16.0, lambda: send(wire, 1, lambda: arrivals.append(clock.now_s)))
    while clock.step():
        pass
    pause_s = 1.0 + RETRANSMISSION_S_MIN
    assert arrivals == pytest.approx([5.0 + pause_s, 15.0 + pause_s, 17.0])


def test_a_frame_has_room_with_what_carries_it_or_not_at_all() -> None:
    wire = make_wire(Clock(), queue_bytes_max=1_000)
    assert wire.has_room(1_000 - OVERHEAD_BYTES)
    assert not wire.has_room(1_001 - OVERHEAD_BYTES)


def test_what_was_thrown_away_takes_no_time() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, latency_s=1.0, bandwidth_bytes_per_s=100.0)
    send(wire, 10_000, lambda: arrivals.append("thrown away"))
    wire.throw_away()
    send(wire, 100 - OVERHEAD_BYTES, lambda: arrivals.append(clock.now_s))
    while clock.step():
        pass
    assert arrivals == [2.0]


def test_what_was_thrown_away_does_not_count_as_sent() -> None:
    clock = Clock()
    wire = make_wire(clock, bandwidth_bytes_per_s=100.0)
    send(wire, 100 - OVERHEAD_BYTES, lambda: None)
    send(wire, 200 - OVERHEAD_BYTES, lambda: None)
    clock.after(1.0, wire.throw_away)  # when the first has left
    while clock.step():
        pass
    assert wire.sent_bytes == 100


def draw(latency: Latency, spread_ratio: float) -> list[float]:
    model = LinkModel(latency_s=1.0, latency=latency, spread_ratio=spread_ratio)
    generator = random_for(0, "test")
    return [model.draw_latency_s(generator) for _ in range(2_000)]


def test_constant_delays_are_the_latency() -> None:
    assert set(draw(Latency.CONSTANT, 0.5)) == {1.0}


def test_uniform_delays_stay_within_their_share() -> None:
    drawn = draw(Latency.UNIFORM, 0.5)
    assert 0.5 <= min(drawn) < 0.51
    assert 1.49 < max(drawn) <= 1.5
    assert all(delay >= 0.0 for delay in draw(Latency.UNIFORM, 2.0))


def test_lognormal_delays_have_the_latency_as_their_median() -> None:
    drawn = draw(Latency.LOGNORMAL, 0.5)
    assert median(drawn) == pytest.approx(1.0, rel=0.05)
    within = [delay for delay in drawn if math.exp(-0.5) < delay < math.exp(0.5)]
    assert len(within) / len(drawn) == pytest.approx(0.683, abs=0.03)


def test_no_delay_is_below_what_is_said_to_be_the_least() -> None:
    assert min(draw(Latency.LOGNORMAL, 0.5)) == pytest.approx(math.exp(-2 * 0.5))
    for latency, spread_ratio in [
        (Latency.CONSTANT, 1.0),
        (Latency.UNIFORM, 0.5),
        (Latency.UNIFORM, 2.0),
        (Latency.LOGNORMAL, 0.5),
    ]:
        drawn = Drawn.MESSAGE
        model = LinkModel(latency_s=1.0, latency=latency, spread_ratio=spread_ratio, drawn=drawn)
        assert min(draw(latency, spread_ratio)) >= model.latency_s_min >= 0.0


def test_messages_with_delays_of_their_own_keep_their_order() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, latency=Latency.LOGNORMAL, spread_ratio=1.0, drawn=Drawn.MESSAGE)
    for number in range(50):
        clock.after(
            0.01 * number,
            lambda number=number: send(
                wire, 10, lambda: arrivals.append((number, round(clock.now_s - 0.01 * number, 9)))
            ),
        )
    while clock.step():
        pass
    assert [number for number, _ in arrivals] == list(range(50))
    assert len({delay for _, delay in arrivals}) > 20


def test_what_comes_later_uses_an_access_line_while_it_is_free() -> None:
    line = AccessLine(1e9)  # a byte takes a nanosecond
    assert line.carry(10, 100, now_ns=0) == 110
    assert line.carry(10, 0, now_ns=0) == 10
    assert line.carry(20, 0, now_ns=0) == 30  # in the order of asking
    assert line.carry(71, 0, now_ns=0) == 181  # too long for what is left before 100
    assert line.carry(70, 30, now_ns=30) == 100
    assert line.carry(1, 30, now_ns=30) == 182


def test_what_was_thrown_away_leaves_the_line_that_all_edges_share() -> None:
    clock, arrivals = Clock(), []
    up = AccessLine(100.0)
    model = LinkModel(latency_s=0.0, queue_bytes_max=1 << 20)
    first, second = (Wire(model, clock, Scripted, call, up=up) for _ in range(2))

    def send_again() -> None:
        first.throw_away()  # two seconds of it have passed, and two more were before it
        for name, wire in (("second", second), ("first", first)):
            send(wire, 100 - OVERHEAD_BYTES, lambda name=name: arrivals.append((name, clock.now_s)))

    send(second, 200 - OVERHEAD_BYTES, lambda: arrivals.append(("before", clock.now_s)))
    send(first, 6_000 - OVERHEAD_BYTES, lambda: arrivals.append("thrown away"))
    send(first, 6_000 - OVERHEAD_BYTES, lambda: arrivals.append("thrown away"))
    send(second, 100 - OVERHEAD_BYTES, lambda: arrivals.append(("after", clock.now_s)))
    clock.after(4.0, send_again)
    while clock.step():
        pass
    # What was to come after it keeps its time: other edges have counted on it.
    assert arrivals == [("before", 2.0), ("first", 5.0), ("after", 123.0), ("second", 124.0)]


@given(sizes=st.lists(st.sampled_from((1, 7, 30)), min_size=1, max_size=8), data=st.data())
def test_an_access_line_is_free_when_all_that_was_to_pass_is_given_back(
    sizes: list[int], data: st.DataObject
) -> None:
    line, now_ns = AccessLine(1e9), data.draw(st.integers(0, 40))
    passed = [(size, line.carry(size, 0, now_ns=0)) for size in sizes]
    for size, passed_ns in data.draw(st.permutations(passed)):
        line.give_back(size, passed_ns)
    assert line.carry(10, now_ns, now_ns=now_ns) == now_ns + 10


def test_the_end_of_a_connection_waits_for_frames_that_pass_the_line_of_who_receives() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, AccessLine(100.0), latency_s=1.0)
    send(wire, 100 - OVERHEAD_BYTES, lambda: arrivals.append(("frame", clock.now_s)))
    wire.signal(lambda: arrivals.append(("end", clock.now_s)))
    while clock.step():
        pass
    assert arrivals == [("frame", 2.0), ("end", 2.0)]


def test_what_is_small_enough_for_a_gap_does_not_overtake_what_is_not() -> None:
    clock, arrivals = Clock(), []
    line = AccessLine(100.0)
    line.carry(300, round(2e9), now_ns=0)  # from then on others fill it for three seconds
    wire = make_wire(clock, line, latency_s=1.0)
    for size_bytes in (200, 50):
        send(wire, size_bytes - OVERHEAD_BYTES, lambda n=size_bytes: arrivals.append(n))
    while clock.step():
        pass
    assert arrivals == [200, 50]


# Whether it is sent by the first wire, its size (0 is a signal), and how long after the last one.
SENT = st.tuples(st.booleans(), st.sampled_from((0, 0, 50, 200)), st.sampled_from((0.0, 0.1, 1.0)))
BOUND = st.sampled_from((None, 100.0, 1e12))


@given(sent=st.lists(SENT, max_size=12), up=BOUND, down=BOUND, bandwidth=BOUND)
def test_a_wire_delivers_in_the_order_of_sending(
    sent: list[tuple[bool, int, float]],
    up: float | None,
    down: float | None,
    bandwidth: float | None,
) -> None:
    clock, at_s = Clock(), 0.0
    lines = AccessLine(up), AccessLine(down)
    model = LinkModel(latency_s=0.1, bandwidth_bytes_per_s=bandwidth)
    arrivals: dict[bool, list[int]] = {False: [], True: []}
    wires = {
        which: Wire(
            model,
            clock,
            lambda purpose: random_for(0, purpose),
            arrivals[which].append,
            up=lines[0],
            down=lines[1],
        )
        for which in arrivals
    }
    for number, (which, size_bytes, pause_s) in enumerate(sent):
        at_s += pause_s
        put = partial(wires[which].send, number, size_bytes)
        clock.after(at_s, put if size_bytes else partial(wires[which].signal, number))
    while clock.step():
        pass
    for which, numbers in arrivals.items():
        assert numbers == [number for number, it in enumerate(sent) if it[0] is which]


def test_a_partition_holds_frames_and_keeps_their_order() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, latency_s=1.0)
    clock.after(0.0, lambda: send(wire, 1, lambda: arrivals.append("before")))
    clock.after(0.5, lambda: setattr(wire, "is_blocked", True))
    # In flight when the way opens again: it may not overtake what waited.
    clock.after(2.9, lambda: send(wire, 1, lambda: arrivals.append("during")))
    clock.after(3.0, wire.unblock)
    clock.after(3.1, lambda: send(wire, 1, lambda: arrivals.append("after")))
    while clock.step():
        pass
    assert arrivals == ["before", "during", "after"]


def test_a_clogged_link_takes_nothing_and_then_all() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, latency_s=1.0)
    send(wire, 1, lambda: arrivals.append(("before", clock.now_s)))
    wire.clog(round(10e9))
    for name in "ab":
        send(wire, 1, lambda name=name: arrivals.append((name, clock.now_s)))
    assert wire.is_clogged
    while clock.step():
        pass
    assert arrivals == [("before", 1.0), ("a", 11.0), ("b", 11.0)]
    assert not wire.is_clogged


def test_a_shorter_clog_does_not_end_a_longer_one() -> None:
    clock, arrivals = Clock(), []
    wire = make_wire(clock, latency_s=1.0)
    for until_s in (10, 4):
        wire.clog(until_s * 10**9)
    clock.after(5.0, lambda: arrivals.append(wire.is_clogged))
    clock.after(6.0, wire.throw_away)  # the connection is reset; the way stays shut
    clock.after(7.0, lambda: send(wire, 1, lambda: arrivals.append(clock.now_s)))
    while clock.step():
        pass
    assert arrivals == [True, 11.0]
