"""Random worlds: faults first, then everything must come right; a failing seed says its replay."""

import os
from dataclasses import fields, replace
from typing import Any, Final

import pytest

from p2pfed.core.anti_entropy import AntiEntropy
from p2pfed.core.config import (
    IntegrationMoment,
    MembershipConfig,
    ParticipationConfig,
    ScheduleConfig,
    UpdateFamily,
)
from p2pfed.core.rows import Rows
from p2pfed.errors import ConfigError
from sim import swarm
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES, StubBench, StubIntegration
from sim.cases import Case, draw_case
from sim.faults import Crash, Leave, Partition, Restart, plan_faults
from sim.host import Power
from sim.links import LinkModel
from sim.network import PeerLine
from sim.shrinking import cut_case, describe, shrink
from sim.swarm import (
    Failure,
    explain,
    find_failure,
    main,
    make_world,
    play,
    why_ledgers_may_differ,
    why_models_may_differ,
)

SEEDS = range(200)
SEEDS_MEASURED = 40  # the others look for failures, without coverage
NIGHTLY = range(len(SEEDS), int(os.environ.get("SWARM_SEEDS", "10000")))
FAILURES_MAX = 5  # then a nightly search has found enough for a day


def make_case(**others: object) -> Case:
    return replace(
        Case(
            seed=0,
            topology="complete",
            nodes=6,
            schedule=ScheduleConfig(rounds_max=8),
            payload_bytes=INLINE_PAYLOAD_BYTES,
            link=LinkModel(latency_s=0.2),
            start_spread_s=0.1,
            relays=(5,),
            adversaries={0: "garbage", 4: "replay"},
            faults=(
                Crash(at_s=1.0, peers=(1, 5)),
                Partition(at_s=2.0, groups=((0, 4), (5,))),
                Restart(at_s=3.0, peers=(5,)),
            ),
        ),
        **others,
    )


def has_lost_disk(case: Case) -> bool:
    return any(isinstance(fault, Restart) and fault.lose_disk for fault in case.faults)


def digest_of(case: Case) -> bytes:
    return play(case).trace.digest


# Of each field of a case, another value than that of the case which is played without it.
OTHERWISE: Final[dict[str, Any]] = {
    "seed": 1,
    "topology": "ring",
    "nodes": 3,
    "schedule": ScheduleConfig(rounds_max=11, linger_s=5.0),
    "payload_bytes": LARGE_PAYLOAD_BYTES,
    "link": LinkModel(latency_s=0.1),
    "start_spread_s": 10.0,
    "relays": (2,),
    "adversaries": {3: "replay"},
    "faults": (),
    "family": UpdateFamily.LEDGER,
    "membership": MembershipConfig(heartbeat_s=1.0),
    "clocks_ahead_s": (0.0, 3.0, 0.0, 0.0),
    "participation": ParticipationConfig(),
    "endless": (0,),
    "training_s": 3.0,
    "lines": (PeerLine(), PeerLine(upload_bytes_per_s=1e5), PeerLine(), PeerLine()),
    "clock_rates": (1.0, 1.33, 1.0, 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed",
    [
        *SEEDS[:SEEDS_MEASURED],
        *(pytest.param(seed, marks=pytest.mark.no_cover) for seed in SEEDS[SEEDS_MEASURED:]),
    ],
)
def test_safety_then_liveness(seed: int) -> None:
    failure = find_failure(draw_case(seed))
    if failure is not None:
        pytest.fail(explain(seed, failure), pytrace=False)


@pytest.mark.nightly
def test_safety_then_liveness_of_many_seeds() -> None:
    found: list[str] = []
    for seed in NIGHTLY:
        failure = find_failure(draw_case(seed))
        if failure is not None:
            found.append(explain(seed, failure))
            print(found[-1], flush=True)
        if len(found) == FAILURES_MAX:
            break
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


@pytest.mark.parametrize("name", [field.name for field in fields(Case)])
def test_every_field_of_a_case_changes_what_is_played(name: str) -> None:
    first = make_case(
        nodes=4,
        relays=(),
        adversaries={},
        faults=(Crash(at_s=3.0, peers=(1,)), Restart(at_s=8.0, peers=(1,))),
        schedule=ScheduleConfig(rounds_max=12, linger_s=5.0),
    )
    digests = {digest_of(first), digest_of(replace(first, **{name: OTHERWISE[name]}))}
    assert len(digests) == 2


def test_whoever_is_endless_trains_on_until_it_is_stopped() -> None:
    case = make_case(nodes=3, relays=(), adversaries={}, faults=(), endless=(0, 2))
    world = play(case)
    rounds = [world.status(peer).round for peer in range(3)]
    assert [it > 8 for it in rounds] == [True, False, True]


@pytest.mark.slow
def test_drawn_worlds_go_dark_and_lose_disks() -> None:
    # What a case says is one thing, and what its machines then do another.
    crashes, restarts = set(), set()
    for case in list(filter(has_lost_disk, map(draw_case, SEEDS)))[:3]:
        world = make_world(case)
        plan_faults(world, case.faults)
        for fault in sorted(case.faults, key=lambda it: it.at_s):
            world.run(until_s=fault.at_s - 1e-6)
            hosts = [world.hosts[peer] for peer in getattr(fault, "peers", ())]
            before = [(host.power, host.disk) for host in hosts]
            world.run(until_s=fault.at_s + 1e-6)
            for host, (power, disk) in zip(hosts, before, strict=True):
                if isinstance(fault, Crash) and fault.after_effects is None:
                    crashes |= {(fault.silent, host.power)} if power is Power.RUNNING else set()
                elif isinstance(fault, Restart) and power is not Power.RUNNING:
                    restarts.add((fault.lose_disk, host.disk is not disk))
    assert crashes == {(True, Power.DARK), (False, Power.REFUSING)}
    assert restarts == {(True, True), (False, False)}


def test_ledgers_are_compared_unless_something_may_be_lost() -> None:
    ledger = make_case(
        family=UpdateFamily.LEDGER,
        faults=(Partition(at_s=2.0, groups=((0,),)),),
        adversaries={0: "scaled-difference"},
    )
    assert why_ledgers_may_differ(ledger) is None
    assert why_ledgers_may_differ(make_case()) is not None
    for fault in (Crash(at_s=1.0, peers=(1,)), Leave(at_s=1.0, peers=(1,))):
        assert why_ledgers_may_differ(replace(ledger, faults=(fault,))) is not None
    for attack in ("equivocation", "garbage"):
        assert why_ledgers_may_differ(replace(ledger, adversaries={0: attack})) is None
    split = replace(ledger, topology="star")
    assert why_ledgers_may_differ(split) == "liars, who are banned, stand between honest peers"


def test_some_seeds_compare_ledgers() -> None:
    ledgers = [case for case in map(draw_case, SEEDS) if case.family is UpdateFamily.LEDGER]
    compared = [case for case in ledgers if why_ledgers_may_differ(case) is None]
    assert len(compared) >= 10


def test_most_seeds_ask_for_rows_and_many_for_models_near_each_other() -> None:
    cases = [draw_case(seed) for seed in SEEDS]
    assert sum(bool(case.endless) for case in cases) >= 130
    assert sum(0 < len(case.endless) < case.nodes for case in cases) >= 30
    assert sum(why_models_may_differ(case) is None for case in cases) >= 20


def test_models_near_each_other_are_asked_for_where_nothing_keeps_them_apart() -> None:
    case = make_case(endless=tuple(range(6)))
    assert why_models_may_differ(case) is None
    assert why_models_may_differ(replace(case, family=UpdateFamily.DIFFERENCE)) is not None
    assert why_models_may_differ(replace(case, endless=(1, 2))) is not None
    assert why_models_may_differ(replace(case, adversaries={0: "scaled-difference"})) is not None
    assert why_models_may_differ(replace(case, topology="star")) is not None
    assert why_models_may_differ(replace(case, nodes=3, relays=(2,))) is not None


@pytest.mark.interpreted
def test_rows_that_are_not_used_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(
        nodes=4, endless=(0, 1, 2, 3), relays=(), adversaries={0: "garbage"}, faults=()
    )
    assert find_failure(case) is None
    monkeypatch.setattr(Rows, "choose", lambda *_: ())
    failure = find_failure(case)
    assert failure is not None
    assert failure.kind == "exchange"
    assert "(1, 2)" in failure.detail


def test_models_that_stay_apart_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    integrate = StubBench.integrate

    def integrate_in_vain(bench: StubBench, *given: Any) -> StubIntegration:
        before = bench.vector
        outcome = integrate(bench, *given)
        bench.vector = before
        return outcome

    case = make_case(
        nodes=4, endless=(0, 1, 2, 3), relays=(), adversaries={0: "garbage"}, faults=()
    )
    assert find_failure(case) is None
    monkeypatch.setattr(StubBench, "integrate", integrate_in_vain)
    failure = find_failure(case)
    assert failure is not None
    assert failure.kind == "models"


@pytest.mark.interpreted
def test_a_last_update_that_is_not_sent_again_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Peer 1 trains its last round behind a partition; the others go on.
    case = make_case(
        nodes=3,
        schedule=ScheduleConfig(rounds_max=8, linger_s=150.0),
        relays=(),
        adversaries={},
        endless=(0, 2),
        faults=(Partition(at_s=2.0, groups=((1,),)),),
    )
    assert find_failure(case) is None
    for name in ("on_heads", "on_sightings"):
        monkeypatch.setattr(AntiEntropy, name, lambda *_: None)
    failure = find_failure(case)
    assert failure is not None
    assert failure.detail.endswith("[(0, 1), (2, 1)]")


def test_a_checker_and_a_stuck_peer_are_failures() -> None:
    # Of rounds without an end nobody is ever done.
    endless = make_case(schedule=ScheduleConfig(rounds_max=None), nodes=3, faults=(), relays=())
    failure = find_failure(replace(endless, adversaries={}))
    assert failure is not None
    assert failure.kind == "swarm"
    assert "not finished" in failure.detail


def test_what_a_core_raises_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(case: Case) -> None:
        raise KeyError(case.seed)

    monkeypatch.setattr(swarm, "play", stumble)
    assert find_failure(make_case()) == Failure(kind="KeyError in stumble", detail="0")


def test_cuts_take_out_what_they_name() -> None:
    case = make_case()
    assert cut_case(case, []) == case
    assert cut_case(case, ["fault-0", "fault-2"]).faults == case.faults[1:2]
    assert cut_case(case, ["liar-0"]).adversaries == {4: "replay"}
    trains_on = replace(case, endless=(1, 4), training_s=3.0)
    assert cut_case(trains_on, ["endless"]) == case
    assert cut_case(trains_on, ["peers-3"]).endless == (1,)
    assert cut_case(case, ["relays", "network", "rounds-3"]) == replace(
        case, relays=(), link=LinkModel(), schedule=ScheduleConfig(rounds_max=3)
    )


def test_lines_and_clock_rates_are_played_and_cut() -> None:
    lines = (PeerLine(), PeerLine(upload_bytes_per_s=1e5), PeerLine(download_bytes_per_s=1e6))
    case = make_case(lines=lines * 2, clock_rates=(1.0, 1.33, 0.67) * 2)
    hosts = make_world(case).hosts
    assert [host.member.clock_rate_ratio for host in hosts] == list(case.clock_rates)
    assert cut_case(case, ["lines", "rates"]) == make_case()
    cut = cut_case(case, ["peers-3"])
    assert (cut.lines, cut.clock_rates) == (lines, case.clock_rates[:3])
    assert "lines=(PeerLine(), PeerLine(upload_bytes_per_s=100000.0), " in describe(cut)
    assert "clock_rates=(1.0, 1.33, 0.67, )" in describe(cut)


def test_lines_that_cannot_take_large_entries_of_logs_are_left_out() -> None:
    # As seed 467 had it: all had left before the middle of a star had passed on what they made.
    ledgers = [case for case in map(draw_case, SEEDS) if case.family is UpdateFamily.LEDGER]
    large = [case for case in ledgers if case.payload_bytes == LARGE_PAYLOAD_BYTES]
    bounds = {line.upload_bytes_per_s for case in large for line in case.lines}
    bounds |= {line.download_bytes_per_s for case in large for line in case.lines}
    assert bounds == {None, 1e6}


def test_cuts_bring_back_the_usual_pace() -> None:
    usual = make_case(schedule=ScheduleConfig(rounds_max=8, deadline_s=2.0))
    moment = IntegrationMoment.ARRIVALS
    schedule = replace(
        usual.schedule, gossip_steps=3, integrate=moment, arrivals=3, staleness_rounds_max=0
    )
    case = replace(usual, schedule=schedule, participation=ParticipationConfig())
    assert cut_case(case, ["pace", "participation"]) == usual
    assert cut_case(case, ["pace", "rounds-3"]).schedule == replace(usual.schedule, rounds_max=3)


def test_recipients_and_rounds_are_cut_together() -> None:
    case = make_case(schedule=ScheduleConfig(rounds_max=9, recipients=2))
    cut = cut_case(case, ["recipients", "rounds-3"])
    assert cut.schedule == ScheduleConfig(rounds_max=3)


def test_peers_that_are_cut_leave_faults_and_liars_too() -> None:
    cut = cut_case(make_case(), ["peers-3"])
    assert (cut.nodes, cut.relays, cut.adversaries) == (3, (), {0: "garbage"})
    assert cut.faults == (Crash(at_s=1.0, peers=(1,)), Partition(at_s=2.0, groups=((0,),)))


def test_a_shape_that_has_no_such_size_becomes_a_line() -> None:
    assert cut_case(make_case(topology="ring"), ["peers-2"]).topology == "line"


def test_an_unknown_cut_is_named() -> None:
    with pytest.raises(ConfigError, match="cut = 'faults-0': write fault-K"):
        cut_case(make_case(), ["faults-0"])


def test_shrinking_keeps_what_the_failure_needs() -> None:
    def fails(case: Case) -> bool:
        crashes = any(isinstance(it, Crash) and 1 in it.peers for it in case.faults)
        return crashes and case.adversaries.get(0) == "garbage" and case.nodes > 2

    case = make_case()
    smallest = cut_case(case, shrink(case, fails))
    assert smallest == replace(
        case,
        nodes=3,
        relays=(),
        link=LinkModel(),
        schedule=ScheduleConfig(rounds_max=1),
        adversaries={0: "garbage"},
        faults=(Crash(at_s=1.0, peers=(1,)),),
    )


def test_what_could_not_be_cut_at_first_is_tried_again() -> None:
    def fails(case: Case) -> bool:
        return not case.faults or 4 in case.adversaries

    assert cut_case(make_case(), shrink(make_case(), fails)).adversaries == {}


def test_fewer_peers_and_rounds_take_the_place_of_more() -> None:
    def fails(case: Case) -> bool:
        rounds = case.schedule.rounds_max or 0
        return not case.faults or (case.nodes > 3 and rounds > 1)

    cuts = shrink(make_case(), fails)
    assert {it for it in cuts if it.startswith(("peers", "rounds"))} == {"peers-2", "rounds-1"}


def test_shrinking_is_bounded() -> None:
    played: list[Case] = []
    assert shrink(make_case(), lambda case: bool(played.append(case)), tries_max=7) == []
    assert len(played) == 7


def test_a_description_is_python_and_short() -> None:
    case = make_case(relays=(), faults=(Crash(at_s=1.0, peers=(1,)),))
    assert "faults=(Crash(at_s=1.0, peers=(1, )), )" in describe(case)
    assert "deadline_s" not in describe(case)


def test_a_smaller_case_with_another_failure_is_not_the_smallest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def play(case: Case) -> None:
        raise swarm.InvariantError("Crowd" if case.nodes > 3 else "Few", f"{case.nodes} peers")

    monkeypatch.setattr(swarm, "play", play)
    seed = next(seed for seed in SEEDS if draw_case(seed).nodes > 4)
    failure = find_failure(draw_case(seed))
    assert failure is not None
    assert "--cut peers-4" in explain(seed, failure)


def test_a_failing_seed_prints_how_to_play_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(case: Case) -> None:
        if case.nodes > 2:
            raise swarm.InvariantError("Checker", "three are a crowd")

    monkeypatch.setattr(swarm, "play", play)
    assert main(["17"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Checker: three are a crowd"
    assert lines[1] == "replay:   python -m sim.swarm 17"
    assert lines[2].startswith("smallest: python -m sim.swarm 17 --cut peers-3,")
    cuts = lines[2].split("--cut ")[1]
    assert main(["17", "--cut", cuts]) == 1
    assert main(["17", "--cut", "peers-2"]) == 0
    with pytest.raises(SystemExit):
        main(["17", "--cut", "luck"])
