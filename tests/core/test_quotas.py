"""How often neighbors get the own updates, by what they have earned."""

from dataclasses import replace

import pytest

from p2pfed.core.config import StandingConfig
from p2pfed.core.effects import AnswerPayload
from p2pfed.core.events import PayloadWanted, UploadEnded
from p2pfed.identity import Identity
from p2pfed.messages import Announce, Deliver, RequestFull, RequestHeads
from p2pfed.wire.hashes import content_hash
from tests.core.earning import ALIKE, HONEST, LIAR, NEIGHBORS, POLICY, do_round, make_peer
from tests.core.inspection import state_of
from tests.core.peers import ANNA, BERT, CARL, DORA, stranger
from tests.core.solo import Solo, beat, messages_to, of_kind, plain

QUOTAS = StandingConfig(policy=POLICY, has_quotas=True)
FREE_RIDER = {BERT.peer: 0.8, CARL.peer: 0.8, DORA.peer: 0.4}


def served(peer: Solo, rounds: range, agreements: dict[bytes, float]) -> dict[bytes, int]:
    """Count the own updates that are offered to each neighbor over some rounds."""
    counts = dict.fromkeys(HONEST, 0)
    for number in rounds:
        before = len(peer.effects)
        do_round(peer, number, agreements)
        for neighbor in NEIGHBORS:
            sent = messages_to([plain(effect) for effect in peer.effects[before:]], neighbor)
            own = [
                it
                for it in sent
                if isinstance(it, Deliver | Announce) and it.update.header.author == ANNA.peer
            ]
            counts[neighbor.peer] += len(own)
    return counts


def test_neighbors_are_served_as_often_as_they_have_earned() -> None:
    peer = make_peer(QUOTAS)
    fresh = served(peer, range(1), FREE_RIDER)
    assert fresh == dict.fromkeys(HONEST, 1)  # nobody has earned anything: nobody is behind
    served(peer, range(1, 10), FREE_RIDER)
    counts = served(peer, range(10, 30), FREE_RIDER)
    assert counts[BERT.peer] == counts[CARL.peer] == 20
    assert 9 <= counts[DORA.peer] <= 11
    unbound = served(make_peer(), range(30), FREE_RIDER)
    assert unbound == dict.fromkeys(HONEST, 30)


def test_what_a_neighbor_has_not_earned_it_cannot_ask_for() -> None:
    peer = make_peer(QUOTAS)
    served(peer, range(12), FREE_RIDER)
    answers = []
    for number in range(12, 14):  # of two in a row, one is above a quota of a half
        do_round(peer, number, FREE_RIDER)
        peer.now_s += 60.0
        asked = peer.receive(DORA, RequestFull(author=ANNA.peer))
        wanted = peer.do(
            PayloadWanted(peer=DORA.peer, token=number, content_hash=content_hash(b"own"), offset=0)
        )
        (answer,) = of_kind(wanted, AnswerPayload)
        answers.append((len(messages_to(asked, DORA)), answer.refusal))
    assert sorted(answers) == [(0, "above the quota of this peer"), (1, "")]


@pytest.mark.parametrize(("rounds", "answers"), [(6, 0), (60, 1)], ids=["in a ban", "after it"])
def test_a_peer_that_comes_back_knows_whose_bans_are_over(rounds: int, answers: int) -> None:
    standing = StandingConfig(policy=replace(POLICY, ban_rounds_first=10), has_quotas=True)
    peer = make_peer(standing)
    for number in range(4):
        do_round(peer, number, LIAR)
    for number in range(4, rounds):
        do_round(peer, number, ALIKE)
    reborn = make_peer(standing, records=peer.disk)
    assert len(messages_to(reborn.receive(BERT, RequestFull(author=ANNA.peer)), BERT)) == 1
    assert len(messages_to(reborn.receive(DORA, RequestFull(author=ANNA.peer)), DORA)) == answers


def test_a_quota_of_a_half_is_every_second_update_and_the_first_one_is_not_of_them() -> None:
    peer = make_peer(QUOTAS)
    do_round(peer, 0, FREE_RIDER)
    # From here on, Dora has earned half of what the others have.
    offered = [served(peer, range(n, n + 1), FREE_RIDER)[DORA.peer] for n in range(1, 9)]
    assert offered == [1, 0] * 4  # sequences 2 to 9


def may_pull(peer: Solo, who: Identity) -> bool:
    """Ask for the newest own update and for its payload."""
    peer.now_s += 60.0
    asked = peer.receive(who, RequestFull(author=ANNA.peer))
    wanted = PayloadWanted(peer=who.peer, token=1, content_hash=content_hash(b"own"), offset=0)
    (answer,) = of_kind(peer.do(wanted), AnswerPayload)
    peer.do(UploadEnded(peer=who.peer, token=1))
    assert len(messages_to(asked, who)) == (answer.offset is not None)
    return answer.offset is not None


def test_what_was_offered_is_served_and_what_was_not_is_not() -> None:
    peer = make_peer(QUOTAS)
    served(peer, range(11), FREE_RIDER)
    # Sequence 12 is due at a quota of 0.5, and not at 0.45, which it is after its round.
    assert served(peer, range(11, 12), {**FREE_RIDER, DORA.peer: 0.0})[DORA.peer] == 1
    assert may_pull(peer, DORA)
    # Sequence 13 is not due at 0.45, and would be at 0.48.
    assert served(peer, range(12, 13), {**FREE_RIDER, DORA.peer: 0.6})[DORA.peer] == 0
    assert not may_pull(peer, DORA)


def test_asking_twice_changes_nothing_the_second_time() -> None:
    peer = make_peer(QUOTAS)
    served(peer, range(12), FREE_RIDER)
    for message in (RequestFull(author=ANNA.peer), RequestHeads(after=None), beat()):
        peer.receive(DORA, message)
        once = state_of(peer.core)
        peer.receive(DORA, message)
        assert state_of(peer.core) == once


def test_who_comes_after_an_update_is_judged_when_it_asks() -> None:
    peer = make_peer(QUOTAS)
    served(peer, range(10), FREE_RIDER)
    peer.greet(stranger(1))
    assert may_pull(peer, stranger(1))  # of ten updates, newcomers get the tenth
    served(peer, range(10, 11), FREE_RIDER)
    peer.greet(stranger(2))
    assert not may_pull(peer, stranger(2))
