"""Liars of every kind: honest peers finish, blame the right one, and are moved little."""

from typing import Any

import pytest

from p2pfed.core.events import OffenceKind
from p2pfed.core.notices import Notice, PeerOffended, RoundFinished
from p2pfed.errors import ConfigError
from sim.adversaries import registry
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES, StubBench
from sim.host import Host
from sim.rounds.threat import lie_of_kind
from sim.watching import Watcher
from sim.world import World

LIAR = 0
NODES = 4
ROUNDS = 30  # so many that a liar with a chance of a fifth is caught
HONEST = list(range(1, NODES))


class Blame(Watcher):
    """Remembers what honest peers hold against the liar, and what weight it got."""

    def __init__(self, liar: bytes) -> None:
        self.liar = liar
        self.kinds: list[OffenceKind] = []
        self.bans: dict[int, float] = {}
        self.weights: list[float] = []

    def notice_given(self, host: Host, notice: Notice) -> None:
        if not host.is_honest:
            return
        if isinstance(notice, PeerOffended) and notice.peer == self.liar:
            self.kinds.append(notice.kind)
            if notice.banned_s > 0.0:
                self.bans[host.index] = notice.banned_s
        if isinstance(notice, RoundFinished):
            self.weights += [v.weight for v in notice.verdicts if v.peer == self.liar]


def attack(make_world: Any, kind: str, mode: str, payload_bytes: int) -> tuple[World, Blame]:
    world = make_world(
        "complete",
        NODES,
        mode=mode,
        rounds_max=ROUNDS,
        payload_bytes=payload_bytes,
        adversaries={LIAR: kind},
        schedule={"deadline_s": 5.0},
    )
    blame = Blame(world.hosts[LIAR].peer)
    world.watch(blame)
    assert world.run(until_s=600.0, stop=lambda: world.all_done(HONEST))
    assert [world.status(number).round for number in HONEST] == [ROUNDS] * len(HONEST)
    return world, blame


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_a_liar_about_what_it_learned_gets_no_weight(make_world: Any, mode: str) -> None:
    world, blame = attack(make_world, "scaled-difference", mode, INLINE_PAYLOAD_BYTES)
    assert blame.weights
    assert set(blame.weights) == {0.0}
    assert blame.kinds == []  # well-formed lies are for the rules, not for the protocol
    for number in HONEST:
        bench = world.hosts[number].bench
        assert isinstance(bench, StubBench)
        assert min(bench.vector) > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
@pytest.mark.parametrize(
    ("kind", "payload_bytes", "offences"),
    [
        ("garbage", INLINE_PAYLOAD_BYTES, {"frame", "schema", "signature", "limit", "mismatch"}),
        ("wrong-bytes", LARGE_PAYLOAD_BYTES, {"payload-hash"}),
        ("wrong-size", LARGE_PAYLOAD_BYTES, {"payload-size"}),
        ("equivocation", INLINE_PAYLOAD_BYTES, {"equivocation"}),
        ("equivocation", LARGE_PAYLOAD_BYTES, {"equivocation"}),
    ],
)
def test_a_liar_in_the_protocol_is_banned(
    make_world: Any, kind: str, mode: str, payload_bytes: int, offences: set[str]
) -> None:
    _, blame = attack(make_world, kind, mode, payload_bytes)
    assert set(map(str, blame.kinds)) <= offences
    assert set(blame.bans) == set(HONEST)


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_old_frames_do_no_harm(make_world: Any, mode: str) -> None:
    attack(make_world, "replay", mode, INLINE_PAYLOAD_BYTES)


def test_every_attack_has_its_name() -> None:
    needed: dict[str, dict[str, Any]] = {
        "backdoor": {"positions": [0]},
        "mirror-labels": {"class_count": 10},
        "shift-labels": {"class_count": 10},
    }
    for name in registry.names():
        registry.create(name, seed=0, index=1, params=needed.get(name))
    with pytest.raises(ConfigError, match="scaled-difference"):
        registry.create("unknown", seed=0, index=1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("min-max", "a liar knows no row but its own, and this needs those of others"),
        ("sleeper+alie", "a liar knows no row but its own, and this needs those of others"),
        ("non-finite", "no codec encodes NaN or infinity"),
        ("silent", "a peer that sends nothing is one of [[faults]], a crash"),
    ],
)
def test_what_rounds_have_alone_is_refused_with_reason_and_fix(name: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.create(name, seed=0, index=1)
    fix = 'write fidelity = "rounds", which has it, or write one of backdoor, '
    assert caught.value.fix.startswith(f"with messages, {reason}; {fix}")
    lie_of_kind(name, {})  # rounds do have it
