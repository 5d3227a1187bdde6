"""What is counted of what peers tell their applications."""

from typing import Any

import networkx as nx
import pytest

import topologies
from p2pfed.core.config import ScheduleConfig
from p2pfed.core.effects import Notify
from p2pfed.core.events import JobFailed, Verdict
from p2pfed.core.notices import (
    Finished,
    JobTrouble,
    RoundFinished,
    StopReason,
    UpdateRejected,
)
from sim.result import Recorder
from sim.stubs import stub_world
from sim.world import World

LIARS = {0: "sign-flip", 1: "stale"}


@pytest.fixture
def world() -> World:
    graph = topologies.create("complete", nodes=4).graph
    return stub_world(graph, ScheduleConfig(rounds_max=1))


@pytest.fixture
def recorder(world: World) -> Recorder:
    return Recorder(LIARS, [host.peer for host in world.hosts])


def finished(world: World, weights: dict[int, float]) -> RoundFinished:
    verdicts = [
        Verdict(peer=world.hosts[number].peer, weight=weight, reason="" if weight else "norm-cap")
        for number, weight in weights.items()
    ]
    own = 1.0 - sum(weights.values())
    common: dict[str, Any] = {"round": 0, "loss": None, "evaluation": None, "note": ""}
    return RoundFinished(verdicts=tuple(verdicts), own_weight=own, **common)


def test_mass_is_of_all_liars_of_an_integration_and_a_mean_over_those_with_any(
    world: World, recorder: Recorder
) -> None:
    recorder.notice_given(world.hosts[2], finished(world, {0: 0.25, 1: 0.125, 3: 0.5}))
    recorder.notice_given(world.hosts[2], finished(world, {0: 0.0, 3: 0.5}))
    recorder.notice_given(world.hosts[3], finished(world, {2: 0.5}))
    assert recorder.hostile_weight_mass() == (0.375 + 0.0) / 2
    assert recorder.rows_used() == {"honest": 3, "hostile": 2}
    assert recorder.rejected() == {"norm-cap": {"honest": 0, "hostile": 1}}


def test_what_liars_tell_of_others_is_not_counted(world: World, recorder: Recorder) -> None:
    recorder.notice_given(world.hosts[0], finished(world, {1: 0.25, 2: 0.5}))
    for teller in (0, 2):
        rejected = UpdateRejected(peer=world.hosts[3].peer, reason="stale")
        recorder.notice_given(world.hosts[teller], rejected)
    assert recorder.hostile_weight_mass() is None
    assert recorder.rows_used() == {"honest": 0, "hostile": 0}
    assert recorder.rejected() == {"stale": {"honest": 1, "hostile": 0}}


def test_updates_that_all_were_refused_are_warned_of(world: World, recorder: Recorder) -> None:
    refused = UpdateRejected(peer=world.hosts[3].peer, reason="too large")
    recorder.notice_given(world.hosts[0], refused)  # a liar's affair
    assert recorder.warning() is None
    recorder.notice_given(world.hosts[2], refused)
    said = recorder.warning()
    assert said is not None
    assert said.endswith("1 update refused before, so that nobody learned from others: too large")
    recorder.notice_given(world.hosts[2], finished(world, {3: 0.5}))
    assert recorder.warning() is None


def test_rounds_to_which_no_row_came_are_warned_of(world: World, recorder: Recorder) -> None:
    recorder.notice_given(world.hosts[0], finished(world, {}))  # a liar's affair
    assert recorder.warning() is None
    recorder.notice_given(world.hosts[2], finished(world, {}))
    said = "no row of a neighbor ever came, so that nobody learned from others"
    assert recorder.warning() == said
    recorder.notice_given(world.hosts[2], finished(world, {3: 0.5}))
    assert recorder.warning() is None


def test_who_has_no_neighbors_misses_no_rows() -> None:
    alone = stub_world(nx.empty_graph(2), ScheduleConfig(rounds_max=1))
    recorder = Recorder({}, [host.peer for host in alone.hosts])
    recorder.notice_given(alone.hosts[0], finished(alone, {}))
    assert recorder.warning() is None


def test_jobs_that_fail_at_liars_are_told_of_them_and_warn_of_nothing(
    world: World, recorder: Recorder
) -> None:
    event = JobFailed(job=1, reason="out of memory", cancelled=False)
    recorder.event_handled(world.hosts[0], event, [Notify(notice=JobTrouble(reason="it"))])
    assert recorder.reports[0].trouble == "out of memory"
    assert recorder.warning() is None
    recorder.event_handled(world.hosts[2], event, [Notify(notice=JobTrouble(reason="it"))])
    assert recorder.warning() is not None


def test_a_liar_that_gives_up_is_warned_of(world: World, recorder: Recorder) -> None:
    recorder.reports[1].trouble = "the vector has NaN"
    recorder.notice_given(world.hosts[1], Finished(reason=StopReason.FAILED, rounds=0))
    said = "hostile peer 1 (stale) gave up, and attacks no more: the vector has NaN"
    assert recorder.warning() == said
