"""Honest peers on every kind of graph finish, alone and together, in both modes."""

from collections import Counter
from typing import Any

import pytest

from p2pfed.core.notices import Notice, RoundFinished
from p2pfed.core.schedule import Phase
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES, StubBench
from sim.host import Host
from sim.links import LinkModel
from sim.watching import Watcher
from sim.world import World

MODES = ["synchronous", "asynchronous"]
GRAPHS: list[tuple[str, int, dict[str, Any]]] = [
    ("ring", 5, {}),
    ("line", 4, {}),
    ("star", 5, {}),
    ("complete", 4, {}),
    ("k-regular", 8, {"degree": 4}),
]


class Rounds(Watcher):
    """Counts rows per round."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[int, int]] = Counter()

    def notice_given(self, host: Host, notice: Notice) -> None:
        if isinstance(notice, RoundFinished):
            self.rows[host.index, notice.round] += len(notice.verdicts)


def finish(world: World, until_s: float = 300.0) -> None:
    assert world.run(until_s=until_s, stop=world.all_done), world.trace.lines[-5:]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("payload_bytes", [INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES])
@pytest.mark.parametrize(("topology", "nodes", "params"), GRAPHS)
def test_everybody_finishes(
    make_world: Any,
    topology: str,
    nodes: int,
    params: dict[str, Any],
    mode: str,
    payload_bytes: int,
) -> None:
    world = make_world(
        topology, nodes, mode=mode, params=params, rounds_max=6, payload_bytes=payload_bytes
    )
    rounds = Rounds()
    world.watch(rounds)
    finish(world)
    if mode == "synchronous":
        neighbors = [len(host.member.config.membership.neighbors) for host in world.hosts]
        expected = {(n, r): neighbors[n] for n in range(nodes) for r in range(6)}
        assert {key: count for key, count in rounds.rows.items() if key in expected} == expected
    assert [world.status(number).round for number in range(nodes)] == [6] * nodes
    # Then all say goodbye, and nothing is left that could still happen.
    assert world.run(until_s=world.now_s + 120.0)
    assert {world.phase(number) for number in range(nodes)} == {Phase.LEFT}


@pytest.mark.parametrize("mode", MODES)
def test_a_lone_peer_trains_and_never_waits(make_world: Any, mode: str) -> None:
    world = make_world("complete", 1, mode=mode, rounds_max=6)
    finish(world, until_s=6 * 1.5)
    assert world.status(0).round == 6
    assert world.sent_bytes(0) == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_relay_in_a_line_connects_its_ends(make_world: Any, mode: str) -> None:
    world = make_world("line", 3, mode=mode, rounds_max=30, relays=(1,))
    finish(world)
    left, middle, right = (host.bench for host in world.hosts)
    assert isinstance(left, StubBench)
    assert isinstance(middle, StubBench)
    assert isinstance(right, StubBench)
    # Each end would be at its own target, these 2/7 apart in the first number, without the other.
    assert 0.0 < abs(left.vector[0] - right.vector[0]) < 0.2
    assert min(left.vector[0], right.vector[0]) - 0.1 < middle.vector[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_lossy_slow_network_only_takes_longer(make_world: Any, mode: str) -> None:
    link = LinkModel(latency_s=0.3, bandwidth_bytes_per_s=20_000.0, loss_ratio=0.05)
    world = make_world(
        "ring",
        4,
        mode=mode,
        payload_bytes=LARGE_PAYLOAD_BYTES,
        link=link,
        schedule={"deadline_s": 60.0},
    )
    finish(world, until_s=2_000.0)
    assert world.status(0).round == 5


def test_a_job_that_fails_is_tried_again(make_world: Any) -> None:
    world = make_world("line", 2)
    peer = world.hosts[0]
    object.__setattr__(peer.member, "make_bench", lambda: StubBench(0, failures=2))
    finish(world)
    assert world.status(0).round == 5


def test_bytes_are_counted_as_sent(make_world: Any) -> None:
    world = make_world("line", 2, rounds_max=5, payload_bytes=LARGE_PAYLOAD_BYTES)
    finish(world)
    payloads = 5 * LARGE_PAYLOAD_BYTES
    assert 0.2 * payloads < world.sent_bytes(0) < 1.2 * payloads


def test_payloads_are_freed_when_all_have_left(make_world: Any) -> None:
    world = make_world("ring", 4, payload_bytes=LARGE_PAYLOAD_BYTES)
    finish(world)
    peers = len(world.hosts)
    assert len(world.pool) <= 2 * peers  # each one's newest, and one that is being replaced


class Looks(Watcher):
    """Counts looks at the whole world."""

    def __init__(self) -> None:
        self.count = 0

    def world_checked(self, world: World) -> None:  # noqa: ARG002 - any world
        self.count += 1


def test_a_large_world_is_looked_at_as_seldom_as_its_size_asks(make_world: Any) -> None:
    world = make_world("ring", 120, rounds_max=2)
    looks = Looks()
    world.watch(looks)
    finish(world)
    assert 0 < world.trace.count // 2_400 == looks.count - 1  # and once at the end


def test_what_peers_sent_is_what_their_wires_carried(make_world: Any) -> None:
    world = make_world("line", 3, rounds_max=2)
    finish(world)
    first, _, last = world.network.sent_bytes()
    wires = world.network.wires
    assert first == wires[0, 1].sent_bytes > 0
    assert world.sent_bytes(1) == wires[1, 0].sent_bytes + wires[1, 2].sent_bytes
    assert world.sent_bytes(2) == last
