"""The method `adapter-set` in a run: ranks of one's own, compactions, and what waits."""

import logging
from typing import Any

import pytest
import torch

from p2pfed.errors import ConfigError
from p2pfed.messages import UpdateKind
from p2pfed.updates.adapter_set.increment import make_increment
from p2pfed.updates.adapter_set.operation import Operation
from tests.learn.ledger_peers import (
    LedgerPeer,
    log_of,
    main_of,
    make_ledger_assembly,
    make_peers,
    reasons,
    sign_entry,
)


def operation_of(peer: LedgerPeer, sequence: int) -> Operation:
    payload = peer.payloads[peer.said[sequence - 1].payload_hash]
    made: Operation = peer.bench.ledger.decode(main_of(payload))
    return made


def test_peers_of_different_ranks_are_in_one_run_and_hold_the_same_bits() -> None:
    payloads: dict[bytes, bytes] = {}
    ranks = (2, 4, 8, 16)
    peers = [
        LedgerPeer(payloads, "adapter-set", index, count=4, rank=rank)
        for index, rank in enumerate(ranks)
    ]
    run_ids = {
        make_ledger_assembly("adapter-set", index, count=4, rank=rank).agreement.run_id
        for index, rank in enumerate(ranks)
    }
    assert len(run_ids) == 1
    for peer in peers:
        peer.publish()
    for peer in peers:
        peer.integrate(*(other.said for other in peers if other is not peer))
    found = [operation_of(peer, 1).increment.layers for peer in peers]
    # Of the layer of 32 rows; a bias has rank 1.
    assert [max(it.left.shape[1] for it in layers if it) for layers in found] == list(ranks)
    assert len({peer.bench.digest() for peer in peers}) == 1


def test_a_full_log_is_compacted_and_checked_by_others() -> None:
    author, witness, newcomer = make_peers("adapter-set", open_max=3, rank=2)
    for _ in range(7):
        author.publish()
    author.integrate()
    compacted = [operation_of(author, it).compaction is not None for it in range(1, 8)]
    assert compacted == [False, False, False, True, False, True, False]
    assert reasons(witness.integrate(author.said)) == [""]
    snapshot = author.publish(needs_full=True)
    assert snapshot.kind is UpdateKind.SNAPSHOT
    author.integrate()
    for peer in (witness, newcomer):
        assert reasons(peer.integrate([snapshot])) == [""]
        assert peer.bench.digest() == author.bench.digest()
    assert len(log_of(author).increments) <= 3


def test_a_compaction_that_is_something_else_ends_the_log() -> None:
    liar, other = make_peers("adapter-set", 2, open_max=2)
    liar.publish()
    liar.publish()
    terms = other.bench.ledger.terms
    nothing = make_increment([None] * len(terms.shapes), terms, epoch=9)
    lie = Operation(increment=nothing, compaction=nothing, digest=bytes(32))
    header = sign_entry(liar, lie, 3)
    other.bench.validate(header, liar.payloads[header.payload_hash])
    assert reasons(other.integrate([*liar.said, header])) == ["codec"]
    assert len(other.bench.ledger.version_vector()) == 1


@pytest.mark.parametrize(("share", "told"), [(0.4, 0), (0.9, 1)])
def test_a_share_that_does_not_fit_the_number_of_peers_is_told_once(
    share: float, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    peers = make_peers("adapter-set", 3, share=share)
    for peer in peers:
        peer.publish()
    peers[0].integrate(*(other.said for other in peers[1:]))
    with caplog.at_level(logging.WARNING):
        peers[0].publish()
        peers[0].publish()
    assert caplog.text.count("with 3 peers the model moves 2.7 times as far") == told
    assert caplog.text.count("set it to 0.33") == told


def test_a_liar_stays_within_the_terms() -> None:
    liar, other = make_peers("adapter-set", 2, entry_max=0.1, budget=0.2)
    object.__setattr__(liar.bench.exchange, "before_publish", lambda difference: -1e4 * difference)
    for _ in range(5):
        liar.publish()
    assert reasons(other.integrate(liar.said)) == [""]
    moved = other.bench.learner.vector() - other.bench.initial
    assert 0.0 < float(moved.abs().max()) <= 0.2


def test_a_relay_adds_nothing() -> None:
    relay, other = make_peers("adapter-set", 2)
    for _ in range(2):
        relay.publish(train=False)
    relay.integrate()
    assert reasons(other.integrate(relay.said)) == [""]
    assert torch.equal(other.bench.learner.vector(), other.bench.initial)
    assert relay.bench.digest() == other.bench.digest()


@pytest.mark.parametrize(
    ("constants", "tables", "field"),
    [
        ({}, {"codec": {"name": "float32"}}, "codec.name"),
        ({"rank": 0}, {}, "method.rank"),
        ({"rank": 65}, {}, "method.rank"),
        ({"bits": 4}, {}, "method.bits"),
        ({"budget": 1.0}, {}, "method.budget"),
        ({"open_max": 1}, {}, "method.open_max"),
        ({"share": 0.0}, {}, "method.share"),
        ({"feedback": 1.5}, {}, "method.feedback"),
    ],
)
def test_mistakes_are_named(constants: dict[str, Any], tables: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_ledger_assembly("adapter-set", 0, tables=tables, **constants)
    assert caught.value.field == field


@pytest.mark.parametrize("change", [{"bits": 16}, {"rank_max": 32}, {"open_max": 8}])
def test_the_terms_are_part_of_the_genesis(change: dict[str, Any]) -> None:
    run_ids = [make_ledger_assembly("adapter-set", 0, **it).agreement.run_id for it in ({}, change)]
    assert run_ids[0] != run_ids[1]
