"""Updates of others by themselves: what they take of the payload store."""

import random

import pytest

from p2pfed.core.held import HeldUpdates, Stage
from p2pfed.limits import Limits
from p2pfed.messages import Announce
from tests.core.peers import BERT, CARL, make_config, make_core, make_update, stranger
from tests.core.solo import Solo


def test_a_payload_takes_room_once_from_when_it_is_on_its_way() -> None:
    generator = random.Random(0)
    updates = HeldUpdates()
    kept = []
    for number in range(500):
        if len(kept) < 5 or generator.random() < 0.3:
            payload = bytes(generator.randrange(1, 5))
            kept.append(updates.add(make_update(stranger(number), payload=payload)))
        elif generator.random() < 0.3:
            updates.remove(kept.pop(generator.randrange(len(kept))))
        else:
            updates.move(generator.choice(kept), generator.choice(list(Stage)))
        sizes = {held.signed.header.payload_bytes for held in kept if held.stage != Stage.WAITING}
        assert updates.payload_bytes() == sum(sizes)


def test_room_is_summed_once_for_all_that_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(payload_store_bytes_max=3)
    authors = [stranger(number) for number in range(20)]
    peer = Solo(make_core(make_config(neighbors=(BERT, CARL, *authors), limits=limits)))
    peer.greet(BERT)
    for author in (BERT, *authors):
        peer.receive(BERT, Announce(update=make_update(author, payload=author.peer[:3])))
    walks = []
    walk = HeldUpdates.all
    monkeypatch.setattr(HeldUpdates, "all", lambda self: walks.append(self) or walk(self))
    peer.receive(BERT, Announce(update=make_update(CARL, payload=b"new")))
    assert len(walks) <= 1
