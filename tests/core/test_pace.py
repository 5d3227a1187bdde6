"""An honest peer sends no neighbor more than that accepts, whatever it hears and is asked for."""

from dataclasses import replace
from functools import cache

from msgspec import structs

from p2pfed.core.config import ScheduleConfig, UpdateFamily
from p2pfed.core.notices import PeerOffended
from p2pfed.identity import Identity
from p2pfed.limits import Limits
from p2pfed.messages import Head, Heads, Message, RequestRange, SignedHeader, UpdateKind
from p2pfed.wire import frames, headers
from tests.core.peers import (
    ANNA,
    BERT,
    CARL,
    LIFE,
    make_config,
    make_core,
    make_update,
    stranger,
)
from tests.core.solo import Solo, Told, messages_to, of_kind

LIMITS = Limits(frames_burst_max=100, frames_per_s_max=10.0)  # a twentieth, to be quick
HELD_BACK_S = 15.0  # a neighbor that is silent for longer is not connected any more


def greeted(identity: Identity, *others: Identity) -> Solo:
    schedule = ScheduleConfig(rounds_max=None, evaluate_every_rounds=0)
    config = make_config(neighbors=others, schedule=schedule, limits=LIMITS)
    peer = Solo(make_core(replace(config, family=UpdateFamily.LEDGER), identity=identity))
    peer.start()
    for other in others:
        peer.greet(other)
    return peer


@cache
def entries(author: Identity, count: int) -> list[SignedHeader]:
    bare = [make_update(author, number + 1).header for number in range(count)]
    return [headers.sign(structs.replace(it, kind=UpdateKind.OPERATION), author) for it in bare]


def asked(author: Identity) -> RequestRange:
    return RequestRange(author=author.peer, incarnation=LIFE, first=1, last=20)


def is_blamed(messages: list[Message]) -> bool:
    """Return whether Carl blames Anna, of whom he hears everything at once."""
    carl = greeted(CARL, ANNA)
    notices = [
        told.notice
        for message in messages
        for told in of_kind(carl.receive(ANNA, message), Told)
        if isinstance(told, Told)
    ]
    return any(isinstance(notice, PeerOffended) for notice in notices)


def with_log() -> Solo:
    """Return Anna, who has twenty entries of Bert's, none of them offered to Carl yet."""
    anna = greeted(ANNA, BERT)
    for signed in entries(BERT, 20):
        anna.take(BERT, signed)
    anna.greet(CARL)
    return anna


def test_who_asks_again_and_again_has_nothing_to_blame() -> None:
    anna = with_log()
    sent = []
    for _ in range(int(HELD_BACK_S / 0.1)):
        sent += messages_to(anna.receive(CARL, asked(BERT)), CARL)
        anna.now_s += 0.1
    assert len(sent) > 40
    assert not is_blamed(sent)


def test_who_asked_for_too_much_gets_the_rest_later() -> None:
    anna = with_log()
    first = messages_to(anna.receive(CARL, asked(BERT)), CARL)
    assert [it.update for it in first] == entries(BERT, 20)[: len(first)]
    assert len(first) == 10
    assert anna.counted("refused.answer") == 1
    anna.now_s += 2.0
    assert len(messages_to(anna.receive(CARL, asked(BERT)), CARL)) == 5


def test_entries_are_passed_on_at_a_neighbors_pace() -> None:
    anna = greeted(ANNA, BERT, CARL)
    sent: list[Message] = []
    for number in range(30):
        far = stranger(number)
        anna.now_s += HELD_BACK_S / 30.0
        for signed in entries(far, 3):
            effects = anna.deliver(BERT, signed)
            while anna.validations:
                effects += anna.validate()
            sent += messages_to(effects, CARL)
    assert 10 <= len(sent) < 50
    assert not is_blamed(sent)


def test_own_entries_are_pushed_at_a_neighbors_pace() -> None:
    anna = greeted(ANNA, CARL)
    sent: list[Message] = []
    for number in range(40):
        sent += messages_to(anna.train(b"%d" % number) + anna.integrate(), CARL)
    assert len(sent) == 10
    assert not is_blamed(sent)


def test_others_are_asked_at_their_pace() -> None:
    anna = greeted(ANNA, CARL)
    heads = tuple(
        sorted(
            (Head(author=stranger(it).peer, incarnation=LIFE, sequence=9) for it in range(100)),
            key=lambda head: head.author,
        )
    )
    message = Heads(digest=frames.heads_digest(heads), entries=heads, cursor=None)
    sent = messages_to(anna.receive(CARL, message), CARL)
    assert len(sent) == 20
    assert not is_blamed(sent)
