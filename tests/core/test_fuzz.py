"""Hostile frames: whatever a neighbor sends, the core neither raises nor blames another."""

import random

import pytest

from p2pfed.core.effects import Disconnect
from p2pfed.core.equivocation import make_evidence
from p2pfed.core.events import FrameReceived
from p2pfed.core.notices import PeerOffended
from p2pfed.limits import Limits
from p2pfed.messages import Announce, Deliver, Evidence
from p2pfed.wire import frames
from tests.core.peers import BERT, CARL, flip, make_config, make_core, make_update
from tests.core.solo import Saved, Solo, Told, of_kind
from tests.core.test_handle_contract import MESSAGES
from tests.wire.mutations import mutate

FRAMES = 20_000
# So many frames and offences that the mutants get a hearing to the end.
PATIENT = Limits(offences_max=10**9, frames_per_s_max=1e9, frames_burst_max=10**9)
UPDATE = make_update(CARL, 3)
FORGED = make_evidence(UPDATE, flip(make_update(CARL, 3, payload=b"never signed")))
# Nothing in it proves that Carl has lied: else a mutant could rightly get Carl banned.
CORPUS = [
    *(m for m in MESSAGES.values() if not isinstance(m, Announce | Deliver | Evidence)),
    Announce(update=UPDATE),
    Deliver(update=UPDATE, payload=b"row"),
    FORGED,
]


@pytest.mark.slow
@pytest.mark.no_cover
def test_mutated_frames_of_a_greeted_neighbor_never_raise_and_harm_nobody_else() -> None:
    generator = random.Random(20_250_101)
    corpus = [frames.encode(message) for message in CORPUS]
    peer = Solo(make_core(make_config(neighbors=(BERT, CARL), limits=PATIENT)))
    peer.start()
    peer.greet(CARL)
    peer.take(CARL, make_update(CARL, 2))
    accepted = 0
    peer.greet(BERT)
    for _ in range(FRAMES):
        frame = mutate(generator.choice(corpus), corpus, generator)
        effects = peer.do(FrameReceived(peer=BERT.peer, frame=frame))
        accepted += not of_kind(effects, Saved)
        for told in of_kind(effects, Told):
            if isinstance(told.notice, PeerOffended):
                assert told.notice.peer == BERT.peer
        if of_kind(effects, Disconnect):
            peer.greet(BERT)  # some mutants are goodbyes
        peer.effects.clear()
    assert accepted > 100
    assert peer.counted("stale.frame") == 0
    assert CARL.peer in peer.core.status().neighbors


@pytest.mark.slow
def test_frames_cut_anywhere_never_raise() -> None:
    peer = Solo(make_core(make_config(limits=PATIENT)))
    peer.greet(BERT)
    for message in MESSAGES.values():
        frame = frames.encode(message)
        for end in range(len(frame)):
            peer.do(FrameReceived(peer=BERT.peer, frame=frame[:end]))
    assert BERT.peer in peer.core.status().neighbors
