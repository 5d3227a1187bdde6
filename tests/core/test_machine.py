"""Random histories of three honest peers and a hostile one: safe always, done in the end.

Links break, frames come twice, peers are killed and come back with or without their disk, and a
fourth peer says whatever it likes, the frames of the others included. Meanwhile nothing that an
honest peer signs may contradict itself, and no honest peer may be blamed. When the faults stop,
all three finish.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from p2pfed.core.config import IntegrationMoment, ScheduleConfig, ScheduleMode
from p2pfed.core.events import Command, CommandGiven, FrameReceived, PeerConnected
from p2pfed.core.notices import Finished, IncarnationStarted, PeerOffended, StopReason
from p2pfed.core.schedule import Phase
from p2pfed.messages import Announce, Deliver, Evidence
from p2pfed.wire import frames
from tests.core.net import Net
from tests.core.peers import ANNA, BERT, CARL, DORA, make_hello
from tests.core.test_handle_contract import MESSAGES

HONEST = [ANNA, BERT, CARL]
NUMBERS = st.integers(0, 99)
INVENTED = [
    frames.encode(message)
    for message in MESSAGES.values()
    # Updates there are signed by Carl, who would rightly be held to them.
    if not isinstance(message, Announce | Deliver | Evidence)
]


class Histories(RuleBasedStateMachine):
    """One history; see the module."""

    @initialize(
        mode=st.sampled_from(ScheduleMode),
        integrate=st.sampled_from(IntegrationMoment),
        gossip_steps=st.integers(1, 2),
        inline=st.booleans(),
    )
    def begin(
        self, mode: ScheduleMode, integrate: IntegrationMoment, gossip_steps: int, inline: bool
    ) -> None:
        schedule = ScheduleConfig(
            mode=mode,
            gossip_steps=gossip_steps if mode is ScheduleMode.SYNCHRONOUS else 1,
            integrate=integrate,
            arrivals=2,
            rounds_max=3,
            evaluate_every_rounds=0,
        )
        self.net = Net(HONEST, schedule, inline=inline)
        self.peers = [identity.peer for identity in HONEST]
        self.rounds = dict.fromkeys(self.peers, 0)
        self.checked = 0
        self.signed: dict[tuple[bytes, int, int], bytes] = {}
        for peer in self.peers:
            self.net.do(peer, CommandGiven(command=Command.START))

    # What usually happens ------------------------------------------------------------------

    @precondition(lambda self: self.net.arrivals())
    @rule(number=NUMBERS, twice=st.booleans())
    def arrive(self, number: int, twice: bool) -> None:
        arrivals = self.net.arrivals()
        self.net.arrive(*arrivals[number % len(arrivals)], twice=twice)

    @precondition(lambda self: self.net.arrivals())
    @rule(number=NUMBERS, count=st.integers(1, 20))
    def arrive_many(self, number: int, count: int) -> None:
        for _ in range(count):
            arrivals = self.net.arrivals()
            if arrivals:
                self.net.arrive(*arrivals[number % len(arrivals)])

    @precondition(lambda self: self.net.workers())
    @rule(number=NUMBERS)
    def work(self, number: int) -> None:
        workers = self.net.workers()
        self.net.work(workers[number % len(workers)])

    @rule()
    def pass_time(self) -> None:
        self.net.pass_time()

    # What goes wrong -----------------------------------------------------------------------

    @precondition(lambda self: self.net.links)
    @rule(number=NUMBERS)
    def cut(self, number: int) -> None:
        links = sorted(sorted(link) for link in self.net.links)
        self.net.cut(*links[number % len(links)])

    @rule(number=NUMBERS, loses_disk=st.booleans())
    def restart(self, number: int, loses_disk: bool) -> None:
        peer = self.peers[number % len(self.peers)]
        self.net.restart(peer, loses_disk=loses_disk)
        if loses_disk:
            self.rounds[peer] = 0

    @rule(number=NUMBERS)
    def hostile_connects(self, number: int) -> None:
        peer = self.peers[number % len(self.peers)]
        self.net.do(peer, PeerConnected(peer=DORA.peer))
        hello = frames.encode(make_hello(newest_of_yours=(number, number + 1)))
        self.net.do(peer, FrameReceived(peer=DORA.peer, frame=hello))

    @rule(number=NUMBERS, which=NUMBERS)
    def hostile_replays(self, number: int, which: int) -> None:
        peer = self.peers[number % len(self.peers)]
        known = [frame for _, _, frame in self.net.sent] + INVENTED
        frame = known[which * 31 % len(known)]
        self.net.do(peer, FrameReceived(peer=DORA.peer, frame=frame))

    # What must hold always -----------------------------------------------------------------

    @invariant()
    def nothing_that_is_signed_contradicts_itself(self) -> None:
        for source, _, frame in self.net.sent[self.checked :]:
            message = frames.decode(frame)
            if not isinstance(message, Announce | Deliver):
                continue
            header = message.update.header
            if header.author == source:
                place = (header.author, header.incarnation, header.sequence)
                update_id = message.update.update_id
                assert self.signed.setdefault(place, update_id) == update_id
        self.checked = len(self.net.sent)

    @invariant()
    def no_honest_peer_is_blamed(self) -> None:
        for host in self.net.hosts.values():
            for notice in host.notices:
                if isinstance(notice, PeerOffended):
                    assert notice.peer == DORA.peer, notice

    @invariant()
    def rounds_never_go_back(self) -> None:
        for peer in self.peers:
            now = self.net.hosts[peer].core.status().round
            assert now >= self.rounds[peer]
            self.rounds[peer] = now

    @invariant()
    def a_lie_changes_the_incarnation_at_most_once_in_a_life(self) -> None:
        for host in self.net.hosts.values():
            changes = [n for n in host.notices if isinstance(n, IncarnationStarted)]
            assert len(changes) < host.lives

    # And in the end ------------------------------------------------------------------------

    def teardown(self) -> None:
        self.net.settle(steps_max=5_000)
        for host in self.net.hosts.values():
            assert host.core.status().phase is Phase.LEFT
            reasons = [n.reason for n in host.notices if isinstance(n, Finished)]
            assert reasons[-1] is StopReason.ROUNDS
        self.no_honest_peer_is_blamed()
        self.nothing_that_is_signed_contradicts_itself()


@pytest.mark.slow
@pytest.mark.no_cover
class TestHistories(Histories.TestCase):
    settings = settings(max_examples=150, stateful_step_count=80)


@pytest.mark.nightly
class TestManyHistories(Histories.TestCase):
    settings = settings(max_examples=10_000, stateful_step_count=150, derandomize=False)
