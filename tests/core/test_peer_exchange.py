"""Learning from neighbors where other peers can be dialed."""

import pytest

from p2pfed.core.config import MembershipConfig, NeighborAddress
from p2pfed.core.effects import Dial
from p2pfed.core.events import DialFailed, OffenceKind
from p2pfed.core.timers import TimerKind
from p2pfed.limits import ADDRESS_BYTES_MAX, ADDRESSES_MAX, PEER_RECORDS_MAX, Limits
from p2pfed.messages import Goodbye, GoodbyeReason, PeerRecord, PeerRecords
from p2pfed.wire import headers
from tests.core.peers import (
    ANNA,
    BERT,
    CARL,
    DORA,
    RUN_ID,
    START_S,
    address_of,
    flip,
    make_config,
    make_core,
    make_update,
    stranger,
)
from tests.core.solo import Solo, Told, messages_to, of_kind

SEEKING = MembershipConfig(neighbors_wanted=2, announce=("/ip4/192.0.2.99/tcp/9",))


def record_of(identity, *, version: int = 1, address: str | None = None, run_id=RUN_ID):
    return headers.sign_record(
        run_id=run_id,
        version=version,
        addresses=(address or address_of(identity),),
        identity=identity,
    )


def records_of(*identities) -> PeerRecords:
    found = sorted((record_of(identity) for identity in identities), key=lambda r: r.peer)
    return PeerRecords(records=tuple(found))


def seeker(**limits) -> Solo:
    peer = Solo(make_core(make_config(membership=SEEKING, limits=Limits(**limits))))
    peer.start()
    return peer


def told_to(peer: Solo, who) -> tuple[PeerRecord, ...]:
    (found,) = [m for m in messages_to(peer.greet(who), who) if isinstance(m, PeerRecords)]
    return found.records


def test_a_neighbor_is_told_of_this_peer_and_of_others() -> None:
    peer = seeker()
    (own,) = told_to(peer, BERT)
    assert own == headers.sign_record(
        run_id=RUN_ID, version=int(START_S * 1000), addresses=SEEKING.announce, identity=ANNA
    )
    peer.receive(BERT, records_of(BERT, DORA))
    assert {record.peer for record in told_to(peer, CARL)} == {ANNA.peer, BERT.peer, DORA.peer}


def test_what_is_learned_is_passed_on_once_with_the_heartbeat() -> None:
    # Else two peers that came at the same time would never hear of each other.
    peer = seeker()
    peer.greet(BERT)
    peer.greet(CARL)
    news = records_of(DORA)
    assert peer.receive(BERT, news) == []
    assert news in messages_to(peer.fire(TimerKind.HEARTBEAT), CARL)
    assert news not in messages_to(peer.fire(TimerKind.HEARTBEAT), CARL)


def test_a_flood_of_news_is_passed_on_as_one_frame() -> None:
    peer = seeker()
    peer.greet(BERT)
    peer.greet(CARL)
    for start in range(0, 48, 24):
        flood = [stranger(number) for number in range(start, start + 24)]
        peer.receive(BERT, records_of(*flood))
    passed_on = [
        message
        for message in messages_to(peer.fire(TimerKind.HEARTBEAT), CARL)
        if isinstance(message, PeerRecords)
    ]
    assert [len(message.records) for message in passed_on] == [PEER_RECORDS_MAX]


def test_what_pushes_out_others_is_not_passed_on_but_what_is_newer_is() -> None:
    # Else peers of a network larger than what they remember would tell each other for ever.
    peer = seeker(known_peers_max=2)
    peer.greet(BERT)
    peer.greet(CARL)
    for number in (1, 2):
        peer.receive(BERT, records_of(stranger(number)))
    peer.fire(TimerKind.HEARTBEAT)
    newer = PeerRecords(records=(record_of(stranger(2), version=2),))
    peer.receive(BERT, records_of(stranger(3)))
    peer.receive(BERT, newer)
    told = messages_to(peer.fire(TimerKind.HEARTBEAT), CARL)
    assert [it for it in told if isinstance(it, PeerRecords)] == [newer]


def test_peers_learned_are_dialed_while_neighbors_are_wanted() -> None:
    peer = seeker()
    peer.greet(BERT)
    peer.receive(BERT, records_of(CARL, DORA))
    (dial,) = of_kind(peer.fire(TimerKind.HEARTBEAT), Dial)
    assert dial.peer in (CARL.peer, DORA.peer)
    assert of_kind(peer.fire(TimerKind.HEARTBEAT), Dial) == []  # two are wanted, two are there


def test_a_peer_that_cannot_be_reached_is_tried_thrice_and_forgotten() -> None:
    peer = seeker()
    peer.greet(BERT)
    peer.receive(BERT, records_of(DORA))
    for _ in range(3):
        assert of_kind(peer.fire(TimerKind.HEARTBEAT), Dial)
        peer.do(DialFailed(peer=DORA.peer, reason="no route"))
    assert of_kind(peer.fire(TimerKind.HEARTBEAT), Dial) == []


def test_a_peer_that_refuses_is_not_dialed_again() -> None:
    peer = seeker()
    peer.greet(BERT)
    peer.receive(BERT, records_of(DORA))
    peer.fire(TimerKind.HEARTBEAT)
    peer.connect(DORA)
    peer.receive(DORA, Goodbye(reason=GoodbyeReason.TOO_MANY_NEIGHBORS, text=""))
    assert of_kind(peer.fire(TimerKind.HEARTBEAT), Dial) == []


def test_a_lost_stranger_is_dialed_again_only_while_neighbors_are_wanted() -> None:
    peer = seeker()
    peer.greet(BERT)
    peer.receive(BERT, records_of(BERT))
    peer.disconnect(BERT)
    assert of_kind(peer.fire(TimerKind.HEARTBEAT), Dial) == [
        Dial(peer=BERT.peer, addresses=(address_of(BERT),))
    ]


def test_a_configured_neighbor_that_moved_is_dialed_at_both_places() -> None:
    edge = NeighborAddress(peer=BERT.peer, addresses=("/ip4/192.0.2.1/tcp/1",))
    peer = Solo(make_core(make_config(membership=MembershipConfig(neighbors=(edge,)))))
    peer.start()
    peer.greet(CARL)
    peer.receive(CARL, records_of(BERT))
    peer.do(DialFailed(peer=BERT.peer, reason="no route"))
    (dial,) = peer.fire(TimerKind.REDIAL)
    assert dial.addresses == ("/ip4/192.0.2.1/tcp/1", address_of(BERT))


def test_older_records_foreign_runs_and_the_own_record_are_ignored() -> None:
    peer = seeker()
    peer.greet(BERT)
    new = record_of(DORA, version=2, address="/ip4/192.0.2.2/tcp/2")
    for record in (
        new,
        record_of(DORA, version=1),
        record_of(CARL, run_id=bytes(32)),
        record_of(ANNA, version=2**40),
    ):
        assert peer.receive(BERT, PeerRecords(records=(record,))) == []
    told = {record.peer: record for record in told_to(peer, CARL)}
    assert told[DORA.peer] == new
    assert CARL.peer not in told
    assert told[ANNA.peer].version == int(START_S * 1000)


def test_a_forged_record_is_the_senders_offence() -> None:
    peer = seeker()
    peer.greet(BERT)
    honest = record_of(DORA)
    forged = headers.read_record(
        [*headers.record_value(honest)[:4], flip(make_update(DORA)).signature]
    )
    (told,) = of_kind(peer.receive(BERT, PeerRecords(records=(forged,))), Told)
    assert told.notice.kind is OffenceKind.SIGNATURE
    assert told.notice.peer == BERT.peer


@pytest.mark.parametrize("is_first", [True, False])
def test_a_flood_of_invented_peers_pushes_out_its_own_inventions(is_first: bool) -> None:
    honest, liar = (CARL, BERT) if is_first else (BERT, CARL)
    peer = seeker(known_peers_max=10)
    peer.greet(honest)
    peer.greet(liar)
    known = [stranger(number) for number in (200, 201)]
    peer.receive(honest, records_of(*known))
    for start in range(1, 97, 24):
        flood = [stranger(number) for number in range(start, start + 24)]
        peer.receive(liar, records_of(*flood))
    told = {record.peer for record in told_to(peer, stranger(100))}
    assert {identity.peer for identity in known} <= told
    assert len(told) == 11


def test_records_of_the_greatest_size_fit_into_a_frame() -> None:
    peer = seeker()
    peer.greet(BERT)
    longest = "/dns4/" + "x" * (ADDRESS_BYTES_MAX - 6)
    addresses = tuple(f"{longest[:-1]}{number}" for number in range(ADDRESSES_MAX))
    for number in range(PEER_RECORDS_MAX):
        record = headers.sign_record(
            run_id=RUN_ID, version=1, addresses=addresses, identity=stranger(number)
        )
        peer.receive(BERT, PeerRecords(records=(record,)))
    assert len(told_to(peer, CARL)) == PEER_RECORDS_MAX
