"""When processes run: faults, churn and availability together."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from p2pfed.core.effects import Effect
from p2pfed.core.events import Event
from sim.availability import Absence, Presence, absences
from sim.faults import Crash, Fault, Heal, Restart
from sim.host import Host
from sim.identities import random_for
from sim.lives import Churn, combine
from sim.watching import Watcher
from tests.sim.short import SHORT

FEW = settings(max_examples=60)
PEERS = 4
Outage = tuple[int, float, float]  # who is down, from when to when


class Attendance(Watcher):
    """Remembers when a peer did something, in virtual seconds."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.times_s: list[float] = []

    def event_handled(self, host: Host, event: Event, effects: Sequence[Effect]) -> None:
        del event, effects
        if host.index == self.number:
            self.times_s.append(host.now_s)


def away(peer: int, from_s: float, until_s: float = math.inf) -> Absence:
    return Absence(peer=peer, from_s=from_s, until_s=until_s, silent=True)


def make_churn(seed: int = 3, *, peers: int = PEERS, **times_s: float) -> Churn:
    return Churn(peers=range(peers), generator=random_for(seed, "test"), **times_s)


def outages(happened: Sequence[Fault], trace: Sequence[Absence] = ()) -> list[Outage]:
    """Return when peers are down; crashes must hit who is up, and restarts who is down."""
    late = [it for it in trace if it.from_s == 0.0]  # the world starts them
    faults: list[Any] = [Crash(at_s=0.0, peers=(it.peer,)) for it in late]
    faults += [*happened, *(Restart(at_s=it.until_s, peers=(it.peer,)) for it in late)]
    departures = {(it.peer, it.from_s) for it in trace}
    since_s: dict[int, float] = {}
    found = []
    for fault in sorted(faults, key=lambda it: it.at_s):
        [peer] = fault.peers
        if isinstance(fault, Crash):
            assert peer not in since_s or (peer, fault.at_s) in departures
            since_s.setdefault(peer, fault.at_s)
        else:
            found.append((peer, since_s.pop(peer), fault.at_s))
    return found + [(peer, from_s, math.inf) for peer, from_s in since_s.items()]


@st.composite
def traces(draw: st.DrawFn) -> list[Absence]:
    """Draw when some peers are away; the others never are."""
    presences = []
    for peer in draw(st.sets(st.integers(0, PEERS - 1))):
        for _ in range(draw(st.integers(1, 3))):
            from_s = draw(st.floats(0.0, 200.0))
            until_s = draw(st.none() | st.floats(from_s + 1.0, from_s + 100.0))
            presences.append(Presence(peer=peer, from_s=from_s, until_s=until_s))
    return absences(presences, silent=draw(st.booleans()))


@st.composite
def churns(draw: st.DrawFn) -> Churn:
    return make_churn(
        draw(st.integers(0, 2**32)),
        from_s=draw(st.floats(0.0, 50.0)),
        until_s=200.0,
        period_s=draw(st.floats(0.5, 20.0)),
        down_s=draw(st.floats(0.5, 50.0)),
    )


@pytest.mark.slow
@FEW
@given(churning=st.lists(churns(), max_size=2), trace=traces())
def test_nobody_is_up_while_its_trace_says_that_it_is_away(
    churning: list[Churn], trace: list[Absence]
) -> None:
    down = outages(combine([], churns=churning, absences=trace), trace)
    for it in trace:
        assert any(
            peer == it.peer and from_s <= it.from_s and it.until_s <= until_s
            for peer, from_s, until_s in down
        )


@pytest.mark.slow
@FEW
@given(churning=churns(), trace=traces())
def test_a_churn_s_absence_lasts_what_was_drawn_unless_a_trace_lengthens_it(
    churning: Churn, trace: list[Absence]
) -> None:
    departures = {(it.peer, it.from_s) for it in trace}
    for peer, from_s, until_s in outages(combine([], churns=[churning], absences=trace), trace):
        if (peer, from_s) in departures:
            continue
        assert until_s - from_s >= 0.5 * churning.down_s - 1e-9
        if not any(it.peer == peer and from_s <= it.from_s <= until_s for it in trace):
            assert until_s - from_s <= 1.5 * churning.down_s + 1e-9


@pytest.mark.slow
@FEW
@given(
    seed=st.integers(0, 2**32),
    peers=st.integers(1, 50),
    period_s=st.floats(0.2, 20.0),
    down_s=st.floats(1.0, 50.0),
)
def test_peers_are_away_for_as_long_as_was_asked_for(
    seed: int, peers: int, period_s: float, down_s: float
) -> None:
    until_s = 60.0 * max(period_s, down_s / peers)
    churning = make_churn(seed, peers=peers, until_s=until_s, period_s=period_s, down_s=down_s)
    down = outages(combine([], churns=[churning]))
    away_s = [until_s - from_s for _, from_s, until_s in down]
    # The deviation of one is 0.29 down_s; five times that of the mean.
    assert fmean(away_s) == pytest.approx(down_s, rel=1.45 / math.sqrt(len(away_s)))
    assert {peer for peer, _, until_s in down if until_s == math.inf} == set()


def test_crashes_are_as_far_apart_as_was_asked_for_while_somebody_is_up() -> None:
    churning = make_churn(peers=5, until_s=40_000.0, period_s=4.0, down_s=6.0)
    happened = combine([], churns=[churning])
    crashes = [fault for fault in happened if isinstance(fault, Crash)]
    assert 40_000.0 / len(crashes) == pytest.approx(4.0, rel=0.02)
    hit = [fault.peers for fault in crashes]
    assert all(hit.count((peer,)) == pytest.approx(len(hit) / 5, rel=0.1) for peer in range(5))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_as_many_crashes_are_silent_and_disks_lost_as_was_asked_for(ratio: float) -> None:
    churn = make_churn(until_s=1.0, period_s=1.0, down_s=1.0)
    churn = replace(churn, silent_ratio=ratio, lost_disk_ratio=ratio)
    outages = [churn.draw_outage(0, 0.0) for _ in range(1_000)]
    at_once = [crash.silent for crash, _ in outages if crash.after_effects is None]
    assert fmean(at_once) == pytest.approx(ratio, abs=0.05)
    assert fmean(it.lose_disk for _, it in outages) == pytest.approx(ratio, abs=0.05)
    in_an_event = [crash.silent for crash, _ in outages if crash.after_effects is not None]
    assert not any(in_an_event)  # the process alone ends then
    assert len(in_an_event) > 300


@pytest.mark.parametrize("silent", [False, True])
def test_who_goes_away_does_so_silently_or_not(silent: bool) -> None:
    gone = Absence(peer=0, from_s=1.0, until_s=2.0, silent=silent)
    assert combine([], absences=[gone])[0] == Crash(at_s=1.0, peers=(0,), silent=silent)


def test_a_crash_that_finds_nobody_up_is_left_out() -> None:
    churning = make_churn(peers=1, until_s=10_000.0, period_s=5.0, down_s=20.0)
    down = outages(combine([], churns=[churning]))
    assert len(down) == pytest.approx(10_000.0 / 22.5, rel=0.1)  # half a period until the next


def test_a_written_restart_is_kept_of_whom_nothing_has_ended() -> None:
    restart = Restart(at_s=15.0, peers=(0, 1), lose_disk=True)  # they may have left by themselves
    assert combine([restart], absences=[away(1, 20.0)])[0] == restart


def test_equal_seeds_give_equal_lives() -> None:
    def draw(seed: int) -> list[Fault]:
        churning = make_churn(seed, until_s=100.0, period_s=2.0, down_s=5.0)
        return combine([], churns=[churning], absences=[away(0, 10.0, 50.0)])

    assert draw(1) == draw(1) != draw(2)


@pytest.mark.parametrize(
    ("faults", "happened"),
    [
        ([Crash(at_s=15.0, peers=(0,))], []),
        ([Restart(at_s=15.0, peers=(0,))], []),
        ([Crash(at_s=15.0, peers=(0, 1))], [Crash(at_s=15.0, peers=(1,))]),
        ([Heal(at_s=15.0)], [Heal(at_s=15.0)]),
    ],
    ids=["crash", "restart", "of-two", "heal"],
)
def test_a_fault_inside_an_absence_hits_the_others_alone(
    faults: list[Fault], happened: list[Fault]
) -> None:
    gone, back = Crash(at_s=10.0, peers=(0,), silent=True), Restart(at_s=20.0, peers=(0,))
    assert combine(faults, absences=[away(0, 10.0, 20.0)]) == [gone, *happened, back]


def test_a_restart_inside_an_absence_waits_for_its_end_and_then_finds_no_disk() -> None:
    crash = Crash(at_s=5.0, peers=(0,))
    restart = Restart(at_s=15.0, peers=(0,), lose_disk=True)
    happened = combine([crash, restart], absences=[away(0, 10.0, 20.0), away(0, 30.0, 40.0)])
    assert happened == [
        crash,
        Restart(at_s=20.0, peers=(0,), lose_disk=True),
        Crash(at_s=30.0, peers=(0,), silent=True),
        Restart(at_s=40.0, peers=(0,)),
    ]


def test_an_absence_that_ends_does_not_bring_back_who_crashed() -> None:
    crash, restart = Crash(at_s=5.0, peers=(0,)), Restart(at_s=25.0, peers=(0,))
    assert combine([crash, restart], absences=[away(0, 10.0, 20.0)]) == [crash, restart]


def test_a_crash_that_waits_for_effects_does_not_outlast_the_presence() -> None:
    crash = Crash(at_s=9.9, peers=(0,), after_effects=7)
    gone = Crash(at_s=10.0, peers=(0,), silent=True)
    assert combine([crash], absences=[away(0, 10.0)]) == [crash, gone]


def test_a_churn_does_not_end_what_another_crash_began() -> None:
    churning = make_churn(peers=1, until_s=8.0, period_s=5.0, down_s=20.0)
    own, back = combine([], churns=[churning])
    faults = [
        Restart(at_s=own.at_s + 1.0, peers=(0,)),
        Crash(at_s=own.at_s + 2.0, peers=(0,)),
        Restart(at_s=back.at_s + 50.0, peers=(0,)),
    ]
    churning = make_churn(peers=1, until_s=8.0, period_s=5.0, down_s=20.0)
    assert combine(faults, churns=[churning]) == [own, *faults]


def test_peers_go_before_others_come_at_the_same_time() -> None:
    gone = [away(0, 10.0, 30.0), away(1, 10.0), away(2, 0.0, 20.0), away(2, 30.0)]
    assert combine([], absences=gone) == [
        Crash(at_s=10.0, peers=(0,), silent=True),
        Crash(at_s=10.0, peers=(1,), silent=True),
        Crash(at_s=30.0, peers=(2,), silent=True),
        Restart(at_s=30.0, peers=(0,)),
    ]


@pytest.mark.parametrize(
    ("table", "from_s", "until_s"),
    [({"from_s": 60.0}, 60.0, math.inf), ({"until_s": 6.0}, 0.0, 6.0)],
    ids=["late", "gone"],
)
def test_no_churn_starts_a_machine_that_is_away(
    table: dict[str, float], from_s: float, until_s: float
) -> None:
    churning = {"at_s": 1.0, "until_s": 50.0, "period_s": 3.0, "down_s": 4.0, "peers": [0]}
    scenario = {
        **SHORT,
        "schedule": {"rounds_max": 10, "linger_s": 1.0},
        "availability": [{"peers": [0], **table}],
        "faults": [{"kind": "churn", **churning}],
        "until_s": 90.0,
    }
    attendance = Attendance(0)
    sim.run(scenario, seed=0, watchers=[attendance])
    assert attendance.times_s
    assert all(from_s <= it <= until_s for it in attendance.times_s)
