"""Payloads that nobody can read cost their author its place, whether pushed or fetched."""

import math
from collections import defaultdict

import pytest

import topologies
from p2pfed.core.config import ScheduleConfig, ScheduleMode
from p2pfed.core.events import OffenceKind
from p2pfed.core.notices import Notice, PeerOffended, RoundFinished
from p2pfed.identity import PeerId
from sim.adversaries.adversary import Adversary
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES, StubBench, unchanged
from sim.checkers.standard import standard_checkers
from sim.host import Host
from sim.overlay import overlay
from sim.stubs import stub_config
from sim.watching import Watcher
from sim.world import World

LIAR = 0


class Blame(Watcher):
    """Keeps whom each peer blamed, and whose rows it counted."""

    def __init__(self) -> None:
        self.offences: defaultdict[int, list[PeerOffended]] = defaultdict(list)
        self.counted: defaultdict[int, set[PeerId]] = defaultdict(set)

    def notice_given(self, host: Host, notice: Notice) -> None:
        if isinstance(notice, PeerOffended):
            self.offences[host.index].append(notice)
        elif isinstance(notice, RoundFinished):
            self.counted[host.index].update(verdict.peer for verdict in notice.verdicts)


def no_number(_: float) -> float:
    return math.nan


@pytest.mark.parametrize("payload_bytes", [INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES])
@pytest.mark.parametrize("mode", list(ScheduleMode))
def test_who_sends_what_nobody_can_read_is_banned_by_all(
    mode: ScheduleMode, payload_bytes: int
) -> None:
    graph = topologies.create("complete", nodes=4).graph
    config = stub_config(
        schedule=ScheduleConfig(mode=mode, rounds_max=20), payload_bytes=payload_bytes
    )

    def make_bench(index: int) -> StubBench:
        lie = no_number if index == LIAR else unchanged
        return StubBench(index, payload_bytes=payload_bytes, before_publish=lie)

    members = overlay(graph, config, make_bench, seed=0, adversaries={LIAR: Adversary()})
    blame = Blame()
    world = World(graph, members, seed=0, watchers=[*standard_checkers(), blame])
    honest = [index for index in graph if index != LIAR]
    assert world.run(until_s=300.0, stop=lambda: world.all_done(honest))
    liar = members[LIAR].identity.peer
    for index in honest:
        assert {it.peer for it in blame.offences[index]} == {liar}
        assert {it.kind for it in blame.offences[index]} == {OffenceKind.CODEC}
        assert blame.offences[index][-1].banned_s > 0.0
        assert blame.counted[index] == {
            members[other].identity.peer for other in honest if other != index
        }
