"""Whole worlds whose updates are for some neighbors, drawn anew for each."""

import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

import sim
from p2pfed.identity import PeerId
from p2pfed.messages import Announce, Deliver
from p2pfed.wire import frames
from sim.host import Host
from sim.watching import Watcher
from sim.world import World
from tests.sim.short import SHORT

EPIDEMIC = Path(__file__).parents[2] / "scenarios" / "epidemic.toml"


class Offers(Watcher):
    """Notes who offered each update to whom."""

    def __init__(self) -> None:
        self.of: dict[tuple[PeerId, int, int], set[tuple[PeerId, PeerId]]] = defaultdict(set)

    @override
    def frame_sent(self, host: Host, peer: PeerId, frame: bytes) -> None:
        message = frames.decode(frame)
        if isinstance(message, Announce | Deliver):
            header = message.update.header
            place = header.author, header.incarnation, header.sequence
            self.of[place].add((host.peer, peer))


def watched_world(make_world: Any) -> tuple[World, Offers]:
    world = make_world("complete", 6, rounds_max=3, schedule={"recipients": 2})
    offers = Offers()
    world.watch(offers)
    return world, offers


def test_each_update_is_offered_to_so_many_by_its_author_alone(make_world: Any) -> None:
    world, offers = watched_world(make_world)
    assert world.run(until_s=300.0, stop=world.all_done)
    assert len(offers.of) == 6 * 3
    assert {len(ends) for ends in offers.of.values()} == {2}
    assert all(teller == place[0] for place, ends in offers.of.items() for teller, _ in ends)


def test_a_crash_makes_an_update_known_to_no_more(make_world: Any) -> None:
    world, offers = watched_world(make_world)
    world.run(until_s=2.0)
    world.crash(3, silent=False)
    world.run(until_s=3.0)
    world.restart(3)
    assert world.run(until_s=300.0, stop=world.all_done)
    assert max(len(ends) for ends in offers.of.values()) == 2


def drawn(**others: Any) -> dict[str, Any]:
    """Return a short scenario of five peers whose updates are for two neighbors."""
    schedule = {**SHORT["schedule"], "recipients": 2}
    return {**SHORT, "schedule": schedule, "topology": {"name": "complete", "nodes": 5}, **others}


@pytest.mark.slow
def test_equal_seeds_draw_alike_and_others_do_not() -> None:
    one, again, other = (sim.run(drawn(), seed=seed).trace_digest for seed in (0, 0, 1))
    assert one == again != other


def test_who_equivocates_is_found_out_though_few_hear_each_update() -> None:
    liar = {"peer": 0, "kind": "equivocation"}
    result = sim.run(drawn(adversaries=[liar], membership={"heartbeat_s": 0.5}), seed=0)
    assert all(report.stopped == "rounds" for report in result.peers[1:])
    assert sum(report.offences_seen for report in result.peers[1:]) > 0


@pytest.mark.slow
def test_two_recipients_of_eight_learn_nearly_as_much_for_a_quarter_of_the_bytes() -> None:
    some = tomllib.loads(EPIDEMIC.read_text(encoding="utf-8"))
    to_all = {key: value for key, value in some["schedule"].items() if key != "recipients"}
    few, many = (sim.run(it, seed=0) for it in (some, {**some, "schedule": to_all}))
    assert sum(few.bytes_sent) < 0.27 * sum(many.bytes_sent)
    few_score, many_score = few.metrics["mean_accuracy"], many.metrics["mean_accuracy"]
    assert few_score is not None
    assert many_score is not None
    assert few_score > many_score - 0.03
